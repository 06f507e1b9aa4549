"""What a process of the controller holds over its life, read from ``/proc``, and whether that grew."""

import os
import re
import resource
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.faults.oracles import Violations

FLAT_RATIO: Final = 1.1
FEWEST_TO_JUDGE: Final = 9
MOST_THREADS: Final = 2 + min(32, (os.cpu_count() or 1) + 4)
"""The main one, the election's, and the executor of a loop, which grows to this size and no further."""
_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Vitals:
    rss_mb: float
    fds: int
    threads: int


@dataclass(kw_only=True)
class Life:
    """One process from its start to its end, sampled at regular times after it had warmed up.

    Connections come and go with the work, so files are compared at rest only.
    """

    began: float
    samples: list[Vitals] = field(default_factory=list)
    at_rest: list[Vitals] = field(default_factory=list)
    ended: float | None = None

    @property
    def rss_growth(self) -> float | None:
        return growth([sample.rss_mb for sample in self.samples])

    @property
    def fds_growth(self) -> float | None:
        return growth([sample.fds for sample in self.at_rest])

    @property
    def most_threads(self) -> int:
        return max((sample.threads for sample in self.samples), default=0)

    def violations(self) -> Violations:
        grown = {"memory": self.rss_growth, "files": self.fds_growth}
        found = [f"I12: {what} grew by {ratio:.2f}" for what, ratio in grown.items() if ratio and ratio > FLAT_RATIO]
        if self.most_threads > MOST_THREADS:
            found.append(f"I12: {self.most_threads} threads")
        return found


def growth(series: Sequence[float]) -> float | None:
    """Median of the last third by that of the first; None of a series too short to tell."""
    third = len(series) // 3
    if len(series) < FEWEST_TO_JUDGE:
        return None
    return statistics.median(series[-third:]) / statistics.median(series[:third])


def vitals_of(pid: int) -> Vitals:
    """Raises OSError when there is no such process."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = {name: int(number) for name, number in re.findall(r"^(VmRSS|Threads):\s+(\d+)", status, re.MULTILINE)}
    if "VmRSS" not in found:
        raise ProcessLookupError(pid)
    return Vitals(rss_mb=found["VmRSS"] / 1024, fds=len([*Path(f"/proc/{pid}/fd").iterdir()]), threads=found["Threads"])


def cpu_seconds() -> float:
    """User and system time so far of this process and all it ever started."""
    us = os.getpid()
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    running = [us, *(int(pid) for task in Path(f"/proc/{us}/task").iterdir() for pid in _children(task))]
    return ended.ru_utime + ended.ru_stime + sum(map(_cpu_seconds_of, running))


def _children(task: Path) -> Sequence[str]:
    return (task / "children").read_text().split()


def _cpu_seconds_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
