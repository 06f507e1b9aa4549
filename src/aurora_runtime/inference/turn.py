"""What several connections bring at the same time, done together: read, handle, predict, write.

A system call leaves the processor's caches and branch predictors cold, and Python needs them more than most. Read,
handled and written one after the other, requests meet Python cold each time. So first everything is read that is there
to be read, then all of it is handled, and then all answers are written. See docs/adr/0010.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

ENOUGH: Final = 64
"""Who has read as much looks for no more: about what a batch holds."""


class Turn:
    """Steps that are done together, first come, first done, and what they write."""

    def __init__(self) -> None:
        self.alone = False
        """Whether the step at work is done apart from all others, since they come one by one."""
        self._steps: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._writes: list[tuple[asyncio.Transport, bytes]] = []
        self._is_due = False
        self._runs = False
        self._came = 0
        """Steps of ``take`` that are to be done together."""
        self._seen = 0
        """How many had come when it was looked last."""
        self._came_before = 0
        """Steps of ``take`` that were done together last."""

    def take(self, step: Callable[..., object], *arguments: object) -> None:
        """Does what begins with something that came: soon, together with all else that comes meanwhile.

        Nothing is waited for: the loop looks again, as long as each look brings more. What comes one by one is done at
        once: when nothing else is to be done, and at most one step was done last.
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
        """Does ``step`` soon; after all others, and before anything is written, when a step asks for it."""
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
        if self._steps and self._seen < self._came < ENOUGH:
            self._seen = self._came
            asyncio.get_running_loop().call_soon(self._run)
            return
        self._seen = 0
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
