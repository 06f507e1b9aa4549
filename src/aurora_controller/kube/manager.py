"""Starts everything in order, keeps watch over it, and stops it in reverse.

    probes and metrics → caches, synced → leader election → controllers        (start)
    controllers, at most 30 s → Events → caches → probes → the Lease given back  (stop)

Standbys hold synced caches and filled queues, so a failover costs the Lease's time and no more. Anything that ends
by itself, a watch as well as the elector, ends the process: half a controller is worse than a restart. Whoever loses
the Lease stops at once, without grace.
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, Protocol

import structlog

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.metrics import LOOP_LAG_SECONDS

_SYNC_REPORT_SECONDS: Final = 30.0
_EVENT_FLUSH_SECONDS: Final = 2.0
_LAG_PROBE_SECONDS: Final = 0.5
_BLOCKED_SECONDS: Final = 1.0
"""So late, and every watch, probe and reconcile was as late."""

log = structlog.get_logger(__name__)


class LeadershipLost(Exception):
    """Another replica may be acting now."""


class Runnable(Protocol):
    """A controller: runs until ``stop``, then ends by itself once its reconciles did."""

    @property
    def name(self) -> str: ...
    async def run(self) -> None: ...
    def stop(self) -> None: ...


class Caches(Protocol):
    """``run`` never returns; ``synced`` does when every object of the start is known."""

    async def run(self) -> None: ...
    async def synced(self) -> None: ...
    def unsynced(self) -> Sequence[str]: ...


class Recorder(Protocol):
    async def run(self) -> None: ...
    async def flush(self) -> None: ...


class Election(Protocol):
    """See ``ElectionThread``."""

    async def start(self) -> None: ...
    async def leading(self) -> None: ...
    async def lost(self) -> None: ...
    async def stop(self) -> None: ...


class Health(Protocol):
    """See ``HealthServer``."""

    def serving(self) -> AbstractAsyncContextManager[None]: ...


class NoHealth:
    """For a program that nobody probes."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        yield


class NoElection:
    """For a single replica: leads from the start, and for good."""

    async def start(self) -> None: ...
    async def leading(self) -> None: ...
    async def stop(self) -> None: ...

    async def lost(self) -> None:
        await asyncio.Event().wait()

    def problem(self) -> None:
        """There is no Lease that could expire."""


class Manager:
    """Runs controllers over shared caches. ``run`` may be called once."""

    def __init__(
        self,
        *,
        caches: Caches,
        controllers: Sequence[Runnable],
        events: Recorder,
        election: Election,
        health: Health,
        clock: Clock,
        graceful_shutdown_seconds: float = 30.0,
    ) -> None:
        names = [controller.name for controller in controllers]
        if len(names) != len(set(names)):
            raise ValueError(f"controllers need names of their own, for their metrics: {names}")
        self._caches = caches
        self._controllers = controllers
        self._events = events
        self._election = election
        self._health = health
        self._clock = clock
        self._grace_seconds = graceful_shutdown_seconds

    async def run(self, stop: asyncio.Event) -> None:
        """Returns after a clean stop. Raises what broke, LeadershipLost included (perhaps in an ExceptionGroup)."""
        try:
            async with self._health.serving(), asyncio.TaskGroup() as group:
                lag = group.create_task(_endless("loop lag probe", _probe_loop_lag(self._clock)))
                async with _beside(group, "caches", self._caches.run()):
                    if await _unless(stop, self._synced()):
                        await self._compete(stop)
                lag.cancel()
        finally:
            await self._election.stop()
        log.info("stopped")

    async def _synced(self) -> None:
        waiting = asyncio.ensure_future(self._caches.synced())
        # Manifests are trees. Looking for cycles in them while they pour in takes four times as long as decoding them.
        gc.disable()
        try:
            while not waiting.done():
                try:
                    async with self._clock.timeout(_SYNC_REPORT_SECONDS):
                        await asyncio.shield(waiting)
                except TimeoutError:
                    # This may last for days, and other garbage must not pile up meanwhile.
                    gc.enable()
                    log.warning("caches not synced yet", missing=list(self._caches.unsynced()))
        finally:
            waiting.cancel()
            # What the caches hold now stays.
            gc.freeze()
            gc.enable()
        log.info("caches synced")

    async def _compete(self, stop: asyncio.Event) -> None:
        await self._election.start()
        if await _unless(stop, self._election.leading()):
            async with asyncio.TaskGroup() as group, _beside(group, "events", self._events.run()):
                lost = group.create_task(self._guard())
                await self._lead(stop, group)
                lost.cancel()
                await self._flush_events()

    async def _guard(self) -> None:
        await self._election.lost()
        raise LeadershipLost("the Lease was not renewed in time, or another replica took it")

    async def _lead(self, stop: asyncio.Event, group: asyncio.TaskGroup) -> None:
        running = [group.create_task(self._run(controller, stop)) for controller in self._controllers]
        await stop.wait()
        log.info("stopping")
        for controller in self._controllers:
            controller.stop()
        try:
            async with self._clock.timeout(self._grace_seconds):
                await asyncio.gather(*running)
        except TimeoutError:
            log.warning("reconciles cut short", after_seconds=self._grace_seconds)

    async def _run(self, controller: Runnable, stop: asyncio.Event) -> None:
        await controller.run()
        if not stop.is_set():
            raise RuntimeError(f"controller {controller.name} ended by itself")

    async def _flush_events(self) -> None:
        try:
            async with self._clock.timeout(_EVENT_FLUSH_SECONDS):
                await self._events.flush()
        except TimeoutError:
            log.info("some events were not sent")


@asynccontextmanager
async def _beside(group: asyncio.TaskGroup, name: str, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs endless work for the length of the block; should it end before, the group fails."""
    task = group.create_task(_endless(name, work))
    try:
        yield
    finally:
        task.cancel()


async def _endless(name: str, work: Coroutine[Any, Any, None]) -> None:
    await work
    raise RuntimeError(f"{name} ended by itself")


async def _unless(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Whether the work was completed before the stop; it is cancelled otherwise."""
    working: asyncio.Future[Any] = asyncio.ensure_future(work)
    stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return working.done() and not stop.is_set()
    finally:
        working.cancel()
        stopping.cancel()
        await asyncio.wait([working, stopping])


async def _probe_loop_lag(clock: Clock) -> None:
    """How late the loop wakes what asked to be woken; late by a second is worth a line in the log."""
    while True:
        asked = clock.monotonic() + _LAG_PROBE_SECONDS
        await clock.sleep(_LAG_PROBE_SECONDS)
        late = max(0.0, clock.monotonic() - asked)
        LOOP_LAG_SECONDS.observe(late)
        if late >= _BLOCKED_SECONDS:
            log.warning("event loop was blocked", seconds=round(late, 3))
