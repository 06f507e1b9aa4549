"""The controller of Aurora with probes in it: ``python -m bench.controller.aurora.probed REPORT``.

Beside what its metrics tell, it notes how late its event loop wakes a timer every two milliseconds, and how long each
key waited in a queue. SIGUSR1 makes it write what it noted since the last one to REPORT, as JSON.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Final

from aurora_controller.app import open_manager
from aurora_controller.kube.cache import Cache
from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.config import load_config
from aurora_controller.kube.manager import Manager
from aurora_controller.kube.metrics import QUEUES, WorkQueueMetrics
from aurora_controller.settings import ControllerSettings
from aurora_runtime.logs import configure_logging
from bench.controller.report import percentile

PROBE_SECONDS: Final = 0.002


class Probes:
    """What was noted since the last report; moments are seconds since the epoch, or None before they came."""

    def __init__(self, cache: Cache, report: Path) -> None:
        self._cache = cache
        self._report = report
        self._lags: list[float] = []
        self._waits: list[float] = []
        self._synced_at: float | None = None
        self._sync_lags: list[float] = []
        self._drained_at: float | None = None

    def taken(self, waited_seconds: float) -> None:
        self._waits.append(waited_seconds)

    async def run(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(PROBE_SECONDS)
            self._lags.append(time.perf_counter() - before - PROBE_SECONDS)
            if self._synced_at is None and not self._cache.unsynced():
                self._synced_at = time.time()
                self._sync_lags, self._lags = self._lags, []

    async def watch_queues(self) -> None:
        """Notes when all that the start brought has been reconciled once."""
        while self._drained_at is None:
            await asyncio.sleep(0.25)
            if self._waits and not any(sum(queue.depth().values()) for queue in QUEUES._queues.values()):  # noqa: SLF001
                self._drained_at = time.time()

    def write(self) -> None:
        report = {
            "synced_at": self._synced_at,
            "drained_at": self._drained_at,
            "sync_lag_ms": summary(self._sync_lags if self._synced_at else self._lags),
            "lag_ms": summary(self._lags if self._synced_at else []),
            "queue_ms": summary(self._waits),
        }
        if self._synced_at is not None:
            self._lags, self._waits = [], []
        part = self._report.with_suffix(".part")
        part.write_text(json.dumps(report))
        part.rename(self._report)


def summary(seconds: list[float]) -> dict[str, Any]:
    """In milliseconds."""
    shares = {"p50": 50, "p99": 99, "p99.9": 99.9, "max": 100}
    found = {name: percentile(seconds, share) for name, share in shares.items()}
    return {"count": len(seconds)} | {name: None if value is None else 1000 * value for name, value in found.items()}


async def main(report: Path) -> None:
    settings = ControllerSettings.from_env(os.environ)
    configure_logging(settings.log_level)
    stop, loop, clock = asyncio.Event(), asyncio.get_running_loop(), SystemClock()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    config = await load_config(os.environ, clock=clock)
    async with open_manager(settings, config=config, clock=clock) as manager:
        probes = Probes(cache_of(manager), report)
        count = WorkQueueMetrics.taken

        def taken(self: WorkQueueMetrics, waited_seconds: float) -> None:
            count(self, waited_seconds)
            probes.taken(waited_seconds)

        WorkQueueMetrics.taken = taken  # type: ignore[method-assign]
        loop.add_signal_handler(signal.SIGUSR1, probes.write)
        probes.write()  # from now on it may be asked
        noting = [asyncio.create_task(work) for work in (probes.run(), probes.watch_queues())]
        await manager.run(stop)
        for task in noting:
            task.cancel()


def cache_of(manager: Manager) -> Cache:
    cache = manager._caches  # noqa: SLF001
    assert isinstance(cache, Cache)
    return cache


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
