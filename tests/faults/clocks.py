"""Clocks for controllers whose pauses and deadlines are too long to be waited for."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta


class FastClock:
    """Time between two moments passes ``factor`` times as fast; what people read is off by ``ahead``, nothing else."""

    def __init__(self, factor: float = 10.0) -> None:
        self._factor = factor
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        return time.monotonic() * self._factor

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._factor)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(None if seconds is None else seconds / self._factor)
