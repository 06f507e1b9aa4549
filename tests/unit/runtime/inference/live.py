"""A server process that many tests share, seen from outside."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.runtime.inference.models import MODEL
from tests.unit.runtime.inference.processes import LIMIT_SECONDS, SOURCES


@dataclass(frozen=True, kw_only=True)
class LiveServer:
    """A ready process and where it listens, on 127.0.0.1."""

    pid: int
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def peak_memory_bytes(self) -> int:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


@contextmanager
def a_live_server(root: Path, *flags: str, model: str = MODEL) -> Iterator[LiveServer]:
    """Ends the process when it is left."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "aurora_runtime.inference", "--store", str(root), "--model", model),
            *("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", *flags),
        ],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": SOURCES},
        text=True,
    )
    overdue = threading.Timer(LIMIT_SECONDS, process.kill)
    overdue.start()
    reading: threading.Thread | None = None
    try:
        assert process.stderr is not None
        ports: dict[str, int] = {}
        said: list[dict[str, Any]] = []
        for text in process.stderr:
            said.append(json.loads(text))
            if said[-1]["event"] == "listening":
                ports[said[-1]["server"]] = int(said[-1]["port"])
            if said[-1]["event"] == "ready":
                break
        else:
            raise AssertionError(f"the server never was ready: {said}")
        overdue.cancel()
        # A pipe that nobody reads would stop the server when it is full.
        reading = threading.Thread(target=process.stderr.read)
        reading.start()
        yield LiveServer(pid=process.pid, port=ports["http"], metrics_port=ports["metrics"])
    finally:
        overdue.cancel()
        process.kill()
        process.wait()
        if reading is not None:
            reading.join()
        assert process.stderr is not None
        process.stderr.close()
