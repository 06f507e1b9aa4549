"""Clocks for controllers whose pauses and deadlines are too long to be waited for, on a machine that may be busy."""

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Final

_MOMENT_SECONDS: Final = 0.01


class PatientTime:
    """Makes the time of an event loop stand still while the loop is late, for as long as the loop lives.

    Controllers, proxy and pods share one loop. What their fast time makes of a deadline is a wait of milliseconds, and
    a core that is busy elsewhere for longer would let every answer come too late. So each of the loop's turns takes a
    moment at most: its timers measure how long others took, not how long nobody here could run.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._real = loop.time
        self._stood_still = 0.0
        self._until = self._real()
        loop.time = self.time  # type: ignore[method-assign]
        self._turn()

    def time(self) -> float:
        return min(self._real(), self._until) - self._stood_still

    def _turn(self) -> None:
        """Comes when the moment is over: timers that were due before it have run."""
        now = self._real()
        self._stood_still += max(0.0, now - self._until)
        self._until = now + _MOMENT_SECONDS
        self._loop.call_at(self._until - self._stood_still, self._turn)


class FastClock:
    """Time of the event loop passes ``factor`` times as fast; what people read is off by ``ahead``, nothing else."""

    def __init__(self, factor: float = 10.0) -> None:
        self._factor = factor
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() * self._factor

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._factor)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(None if seconds is None else seconds / self._factor)
