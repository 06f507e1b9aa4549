"""Coroutines that begin at once. Most requests wait for nothing, and a task costs more than what they do.

Python 3.12 knows tasks that start eagerly; this is what is needed of them in 3.11.
"""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Eager(Generic[T]):
    """A coroutine run to where it first waits. Awaiting this gives its result, or takes it on from there."""

    __slots__ = ("_awaited", "_coroutine", "_error", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.result: T | None = None
        """What it returned without waiting; None when it waits or failed."""
        self._error: Exception | None = None
        self._awaited: asyncio.Future[Any] | None = None
        self._coroutine = coroutine
        try:
            self._awaited = coroutine.send(None)
        except StopIteration as end:
            self.result = end.value
        except Exception as error:  # noqa: BLE001  it belongs to whoever awaits
            self._error = error

    def cancel(self) -> None:
        """Ends it where it waits, as a task that is cancelled ends. Only before it is awaited."""
        if self._awaited is not None:
            self._awaited.cancel()
            try:
                self._coroutine.throw(asyncio.CancelledError())
            except asyncio.CancelledError:
                self._awaited = None

    def __await__(self) -> Generator[Any, Any, T]:
        if self._error is not None:
            raise self._error
        awaited: Any = self._awaited
        if awaited is None:
            return self.result  # type: ignore[return-value]  # it has ended, and so this is what it returned
        while True:
            try:
                try:
                    sent = yield awaited
                except BaseException as error:  # noqa: BLE001  the coroutine decides what becomes of it
                    awaited = self._coroutine.throw(error)
                else:
                    awaited = self._coroutine.send(sent)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # of the coroutine
