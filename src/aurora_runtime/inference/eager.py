"""Coroutines that begin at once. Most requests wait for nothing or for one prediction; a task costs more than that.

Python 3.12 knows tasks that start eagerly; this is what is needed of them in 3.11.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from aurora_runtime.inference.turn import Turn

T = TypeVar("T")


class Promise(asyncio.Future[T]):
    """A future from which an Eager goes on in the turn of the loop that brings the result; tasks do in the next."""

    __slots__ = ("_turn", "go_on")

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self._turn = turn
        self.go_on: Callable[[], None] | None = None
        """Of the Eager that waits."""

    def set_result(self, result: T) -> None:
        super().set_result(result)
        self._wake()

    def set_exception(self, exception: type | BaseException) -> None:
        super().set_exception(exception)
        self._wake()

    def _wake(self) -> None:
        if self.go_on is not None:
            self._turn.soon(self.go_on)


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
            self._awaited = awaited
            if isinstance(awaited, Promise):
                awaited.go_on = self.go_on
            else:
                awaited.add_done_callback(self.go_on)
            return
        self._awaited = None
        self._ended(self)

    def cancel(self) -> None:
        """Ends it where it waits, and cancels what it waits for, as a task does that is cancelled."""
        if self._awaited is not None:
            if isinstance(self._awaited, Promise):
                self._awaited.go_on = None
            else:
                self._awaited.remove_done_callback(self.go_on)
            self._awaited.cancel()
            self.go_on(error=asyncio.CancelledError())
