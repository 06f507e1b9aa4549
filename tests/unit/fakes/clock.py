"""Virtual time: nothing passes until a test says so."""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

_SETTLE_ROUNDS = 25
"""Turns of the event loop given to woken tasks; enough for what waits on tasks, not on sockets."""


class FakeClock:
    """``advance`` wakes sleepers in the order of their time, letting each run before the next wakes."""

    def __init__(self, now: datetime = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)) -> None:
        self._start = now
        self._elapsed = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        await self._wake_up_at(self._elapsed + seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return _VirtualTimeout(self, seconds)

    @property
    def sleeping(self) -> list[float]:
        """Seconds until each pending wake-up, soonest first."""
        return sorted(due - self._elapsed for due, _, future in self._sleepers if not future.done())

    async def advance(self, seconds: float) -> None:
        """Moves time forward; a sleeper that sleeps again within the span is woken again."""
        await settle()
        target = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= target:
            due, _, future = heapq.heappop(self._sleepers)
            if future.done():
                continue
            self._elapsed = max(self._elapsed, due)
            future.set_result(None)
            await settle()
        self._elapsed = target

    def _wake_up_at(self, due: float) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (due, next(self._order), future))
        return future


class QuickClock(FakeClock):
    """Sleeps take no time, and are written down."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 3))
        await asyncio.sleep(0)


class _VirtualTimeout:
    """``asyncio.timeout`` whose moment is reached by a FakeClock."""

    def __init__(self, clock: FakeClock, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._inner = asyncio.timeout(None)
        self._alarm: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        if self._seconds is not None:
            self._alarm = self._clock._wake_up_at(self._clock.monotonic() + self._seconds)
            self._alarm.add_done_callback(self._ring)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.remove_done_callback(self._ring)
            self._alarm.cancel()
        await self._inner.__aexit__(kind, error, trace)

    def _ring(self, alarm: asyncio.Future[None]) -> None:
        if not alarm.cancelled() and not self._inner.expired():
            self._inner.reschedule(asyncio.get_running_loop().time())


async def settle() -> None:
    """Lets every task that can run without new input run."""
    for _ in range(_SETTLE_ROUNDS):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """For what happens beyond a socket: waits in real time, as briefly as it can."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  there is no event to wait for
            await asyncio.sleep(0.001)
