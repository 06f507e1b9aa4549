"""Coroutines that begin at once. Most requests wait for nothing or for one prediction; a task costs more than that.

Python 3.12 knows tasks that start eagerly; this is what is needed of them in 3.11.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Eager(Generic[T]):
    """A coroutine that runs where it is begun, and goes on whenever what it waits for is done.

    It is no task: it waits for futures alone, ``asyncio.current_task`` does not know it, and ``asyncio.timeout``
    cannot be used in it.
    """

    __slots__ = ("_awaited", "_coroutine", "_ended", "error", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, T], ended: Callable[["Eager[T]"], None]) -> None:
        """``ended`` is called once, with this, when the coroutine has returned or failed."""
        self.result: T | None = None
        """What it returned; None as long as it waits, and when it failed."""
        self.error: BaseException | None = None
        """What it raised, the cancellation among it."""
        self._awaited: asyncio.Future[Any] | None = None
        self._coroutine = coroutine
        self._ended = ended

    def go_on(self, _: object = None, *, error: BaseException | None = None) -> None:
        """Runs to where it waits next, or to its end. ``error`` is raised where it waits."""
        try:
            awaited = self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        except StopIteration as end:
            self.result = end.value
        except (Exception, asyncio.CancelledError) as failure:  # noqa: BLE001  it belongs to who began this
            self.error = failure
        else:
            awaited.add_done_callback(self.go_on)
            self._awaited = awaited
            return
        self._awaited = None
        self._ended(self)

    def cancel(self) -> None:
        """Ends it where it waits, and cancels what it waits for, as a task does that is cancelled."""
        if self._awaited is not None:
            self._awaited.remove_done_callback(self.go_on)
            self._awaited.cancel()
            self.go_on(error=asyncio.CancelledError())
