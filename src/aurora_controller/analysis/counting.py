"""What the pods counted: the canary's share of the requests, and whether a revision still gets any. Pure values.

Counters are cumulative and die with their process, so what counts are increases per (pod, process start).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aurora_runtime.contract import ServingCounters

VERIFIED_REQUESTS = 200
"""Below this many requests the share says nothing."""
TOLERANCE_POINTS = 2.0
"""Percent points that a router may be off beside chance."""


@dataclass(frozen=True, kw_only=True)
class PodCounters:
    """One pod's answer."""

    pod: str
    revision: str
    start_time: float
    requests: int

    @classmethod
    def of(cls, pod_uid: str, counters: ServingCounters) -> "PodCounters":
        return cls(pod=pod_uid, revision=counters.revision, start_time=counters.start_time, requests=counters.requests)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Requests by revision since the count began."""

    began: float
    """Unix seconds."""
    baseline: Mapping[str, tuple[float, int]] = field(default_factory=dict)
    """Pod → process start and count at its first sight; a process that started later counts from 0."""
    last: Mapping[str, PodCounters] = field(default_factory=dict)
    finished: Mapping[str, int] = field(default_factory=dict)
    """Requests of processes that ended, by revision."""
    idle: frozenset[str] = frozenset()
    """Revisions whose counters all stood still between the last two looks."""

    def seen(self, answers: Sequence[PodCounters]) -> "Tally":
        """With a new look at the pods; those that did not answer are left as they were."""
        baseline, last, finished = dict(self.baseline), dict(self.last), dict(self.finished)
        moved: set[str] = set()
        looked: set[str] = set()
        for answer in answers:
            before = last.get(answer.pod)
            if before is not None and before.start_time != answer.start_time:
                gone = before.requests - self._base(before)
                finished[before.revision] = finished.get(before.revision, 0) + gone
                before = None
            first = answer.requests if answer.start_time < self.began else 0
            if before is None:
                baseline[answer.pod] = (answer.start_time, first)
                moved.add(answer.revision)
            elif before.requests != answer.requests:
                moved.add(answer.revision)
            looked.add(answer.revision)
            last[answer.pod] = answer
        return Tally(began=self.began, baseline=baseline, last=last, finished=finished, idle=frozenset(looked - moved))

    def _base(self, counters: PodCounters) -> int:
        start, count = self.baseline.get(counters.pod, (counters.start_time, 0))
        return count if start == counters.start_time else 0

    def requests(self, revision: str) -> int:
        running = sum(c.requests - self._base(c) for c in self.last.values() if c.revision == revision)
        return running + self.finished.get(revision, 0)


@dataclass(frozen=True, kw_only=True)
class Share:
    """The canary's part of the requests of both revisions."""

    canary: int
    stable: int

    @property
    def total(self) -> int:
        return self.canary + self.stable

    @property
    def percent(self) -> float:
        return 100.0 * self.canary / self.total if self.total else 0.0


def is_as_asked(share: Share, weight: int) -> bool | None:
    """Whether the share fits the weight within three standard errors and the tolerance; None when too few to tell."""
    if share.total < VERIFIED_REQUESTS:
        return None
    wanted = weight / 100.0
    error = 100.0 * math.sqrt(wanted * (1.0 - wanted) / share.total)
    return abs(share.percent - weight) <= TOLERANCE_POINTS + 3.0 * error
