"""The program under test, and what Linux says of its CPU and memory."""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import time
from collections import deque
from pathlib import Path

from bench.controller.mirror import NotConverged

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
REPOSITORY = Path(__file__).parents[2]


class Controller:
    """The program under test, on a core of its own."""

    def __init__(self, command: str, kubeconfig: Path, core: int, log: Path) -> None:
        self._command = ["taskset", "-c", str(core), *shlex.split(command)]
        python_path = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "src")))
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": python_path}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def gone(self, seconds: float) -> None:
        """Returns once the process has ended by itself."""
        assert self._process is not None
        await asyncio.to_thread(self._process.wait, seconds)
        self._process = None

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, self._tree()))

    def resident_mib(self) -> float:
        pages = 0
        for pid in self._tree():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * PAGE / 2**20

    async def quiet(self, seconds: float) -> float:
        """Waits for a second in which the tree used under 5 % of a core; returns when that second began."""
        samples: deque[tuple[float, float]] = deque()
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline:
            if self._process is not None and self._process.poll() is not None:
                raise NotConverged(f"the controller exited with {self._process.returncode}; see {self._log}")
            samples.append((time.perf_counter(), self.cpu_seconds()))
            while len(samples) > 1 and samples[-1][0] - samples[1][0] >= 1:
                samples.popleft()
            (start, used), (end, used_now) = samples[0], samples[-1]
            if end - start >= 1 and used_now - used < 0.05 * (end - start):
                return start
            await asyncio.sleep(0.1)
        raise NotConverged(f"the controller was still busy after {seconds:.0f} s")

    def _tree(self) -> list[int]:
        if self._process is None:
            return []
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    parents[int(entry.name)] = int(stat_fields(int(entry.name))[1])
        tree = [self._process.pid]
        for pid in tree:
            tree += [child for child, parent in parents.items() if parent == pid]
        return tree


def stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat after the program's name, which may itself hold spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    try:
        fields = stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_seconds() -> dict[str, float]:
    fields = [int(field) / TICKS for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, stolen = fields[:8]
    return {"busy": user + nice + system + irq + softirq, "stolen": stolen}
