"""What one turn of the event loop brings, done together: read, handle, predict, write.

A system call leaves the processor's caches and branch predictors cold, and Python needs them more than most. Read,
handled and written one after the other, requests meet Python cold each time. So what several connections received in a
turn of the loop is handled in the next one, and then all answers are written. See docs/adr/0010.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any


class Turn:
    """Steps of the event loop's next turn, first come, first done, and what they write."""

    def __init__(self) -> None:
        self.alone = False
        """Whether the step at work is the only one that its turn brings, as far as one can tell."""
        self._steps: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._writes: list[tuple[asyncio.Transport, bytes]] = []
        self._is_due = False
        self._runs = False
        self._came = 0
        """Steps of ``take`` in this turn."""
        self._came_before = 0
        """Steps of ``take`` in the last turn that brought any."""

    def take(self, step: Callable[..., object], *arguments: object) -> None:
        """Does what begins with something that came: together with all that comes in this turn, in the next one.

        At once while such things come one by one: when none came earlier in this turn, and at most one in the last.
        """
        alone = self._came == 0 and self._came_before <= 1
        self._came += 1
        if not alone:
            self.soon(step, *arguments)
            return
        self._come_round()
        self.alone = True
        try:
            step(*arguments)
        finally:
            self.alone = False

    def soon(self, step: Callable[..., object], *arguments: object) -> None:
        """Does ``step`` in the next turn; in this one, after all others, when a step asks for it."""
        self._come_round()
        self._steps.append((step, arguments))

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Writes when all steps are done; at once when none is at work."""
        if self._runs:
            self._writes.append((transport, data))
        else:
            transport.write(data)

    def _come_round(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        if self._came:
            self._came_before, self._came = self._came, 0
        self._runs = True
        while self._steps:
            step, arguments = self._steps.popleft()
            try:
                step(*arguments)
            except Exception as error:  # noqa: BLE001  the others must not suffer for it
                told = {"message": "a step of a turn failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(told)
        self._is_due = self._runs = False
        writes, self._writes = self._writes, []
        for transport, data in writes:
            transport.write(data)
