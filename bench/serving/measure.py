"""One server from start to end: how long it takes to answer, whether it is right, its speed, CPU and memory."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.controller.process import cpu_seconds, stat_fields
from bench.serving.servers import Server

REPOSITORY = Path(__file__).parents[2]
SERVER_CORE, CLIENT_CORE = "0", "1"
START_SECONDS = 180
JSON = {"Content-Type": "application/json"}


class Failed(Exception):
    """A server that did not start, or answered wrongly."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What wrk saw."""

    per_second: float
    p50_ms: float
    p99_ms: float
    errors: int
    cpu_us: float
    """CPU of the server for a request, microseconds."""
    rss_mb: float


class Running:
    """A started server and everything it started."""

    def __init__(self, server: Server, log: Path) -> None:
        python_path = os.pathsep.join((str(REPOSITORY), str(REPOSITORY / "src")))
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {**os.environ, "PYTHONPATH": python_path, **one_thread, **server.environment}
        self.server = server
        self._log = log
        self._started = time.perf_counter()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                ["taskset", "-c", SERVER_CORE, *server.command],
                cwd=log.parent,  # BentoML leaves a folder where it is started
                env=environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def first_answer(self, body: bytes) -> float:
        """Seconds from the start to the first 200."""
        while time.perf_counter() - self._started < START_SECONDS:
            if self.process.poll() is not None:
                raise Failed(f"it ended with {self.process.returncode}; see {self._log}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.post(body, JSON)[0] == 200:
                    return time.perf_counter() - self._started
            time.sleep(0.02)
        raise Failed(f"no answer within {START_SECONDS} s; see {self._log}")

    def post(self, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        try:
            connection.request("POST", self.server.path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def check(self, bodies: list[bytes], expected: list[float]) -> float:
        """Largest difference to scikit-learn's predictions. Raises Failed when it is beyond the tolerance."""
        if self.server.tolerance is None:
            return 0.0
        worst = 0.0
        for body, right in zip(bodies, expected, strict=False):
            status, answer = self.post(body, JSON)
            if status != 200:
                raise Failed(f"status {status}: {answer[:200]!r}")
            found = json.loads(answer)["outputs"][0]["data"]
            worst = max(worst, abs(float(found[0]) - right))
        if worst > self.server.tolerance:
            raise Failed(f"predictions differ by {worst:g}")
        return worst

    def check_binary(self, body: bytes, expected: list[float]) -> None:
        """``body`` asks for its answers as bytes, which end the response. Raises Failed when they differ."""
        length = {"Inference-Header-Content-Length": str(body.index(b"\n") + 1)}
        status, answer = self.post(body, {"Content-Type": "application/octet-stream", **length})
        found = array("d", answer[-8 * len(expected) :])
        worst = max(abs(one - right) for one, right in zip(found, expected, strict=True))
        if status != 200 or worst > (self.server.tolerance or 0.0):
            raise Failed(f"binary tensors: status {status}, predictions differ by {worst:g}")

    def load(self, bodies: Path, *, connections: int, seconds: float) -> Load:
        """wrk on the other core."""
        before = self.cpu_seconds()
        output = subprocess.run(
            [
                *(
                    "taskset",
                    "-c",
                    CLIENT_CORE,
                    "wrk",
                    "-t1",
                    f"-c{connections}",
                    f"-d{seconds:g}s",
                    "--timeout",
                    "10s",
                ),
                *("--latency", "-s", str(Path(__file__).parent / "requests.lua"), self.server.url, "--", str(bodies)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        found = re.search(r"JSON(\{.*\})", output.stdout)
        if not found:
            raise Failed(f"wrk: {(output.stderr or output.stdout)[-300:]}")
        seen = json.loads(found[1])
        return Load(
            per_second=seen["requests"] / seen["microseconds"] * 1e6,
            p50_ms=seen["p50"] / 1000,
            p99_ms=seen["p99"] / 1000,
            errors=seen["errors"],
            cpu_us=(self.cpu_seconds() - before) / max(seen["requests"], 1) * 1e6,
            rss_mb=self.memory_mb("VmRSS"),
        )

    def cpu_seconds(self) -> float:
        return sum(map(cpu_seconds, self._tree()))

    def memory_mb(self, what: str) -> float:
        """VmRSS: now; VmHWM: the sum of what each process had at most."""
        total = 0
        for pid in self._tree():
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                total += next(int(line.split()[1]) for line in lines if line.startswith(what + ":"))
        return total / 1024

    def _tree(self) -> list[int]:
        """The server's process, its session, and whatever descends from them: some start sessions of their own."""
        parents, sessions = {}, {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = stat_fields(int(entry.name))
                    parents[int(entry.name)], sessions[int(entry.name)] = int(fields[1]), int(fields[3])
        tree = [pid for pid, session in sessions.items() if session == self.process.pid]
        for pid in tree:
            tree += [child for child, parent in parents.items() if parent == pid and child not in tree]
        return tree

    def end(self) -> None:
        """Ends all of it, also what does not end by itself."""
        pids = self._tree()
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)


@contextlib.contextmanager
def running(server: Server, log: Path) -> Iterator[Running]:
    """Ended with all it started. Raises Failed when somebody else listens on its port."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", server.port)) == 0:
            raise Failed(f"port {server.port} is taken, perhaps by a server of an earlier run")
    started = Running(server, log)
    try:
        yield started
    finally:
        started.end()
