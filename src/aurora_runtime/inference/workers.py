"""A few threads: where blocking work goes, so that the event loop always answers.

asyncio's executor would do, but every call costs two locks and a wake-up of the loop. Here jobs pass through a
C queue, and answers that are finished together wake the loop once. The threads are daemons: a read from a dead
mount that never returns does not keep a stopped process alive.
"""

import asyncio
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Job(Generic[T]):
    """One call, and what became of it."""

    function: Callable[..., T]
    arguments: tuple[Any, ...]
    future: "asyncio.Future[T]"
    result: T | None = None
    error: BaseException | None = None

    def run(self) -> None:
        """Calls the function, on a worker."""
        try:
            self.result = self.function(*self.arguments)
        except BaseException as error:  # noqa: BLE001  it belongs to whoever asked
            self.error = error

    def settle(self) -> None:
        """Hands the outcome to whoever asked, on the loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)  # type: ignore[arg-type]  # set when there is no error
        else:
            self.future.set_exception(self.error)


class Workers:
    """Runs functions on ``threads`` threads, first come, first served. Whoever asks bounds how much waits."""

    def __init__(self, *, threads: int) -> None:
        self._threads = threads
        self._jobs: queue.SimpleQueue[Job[Any] | None] = queue.SimpleQueue()
        self._finished: deque[Job[Any]] = deque()
        self._wake_up_is_due = False

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        for number in range(self._threads):
            threading.Thread(target=self._work, name=f"worker-{number}", daemon=True).start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _ in range(self._threads):
            self._jobs.put(None)

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """The function's result."""
        return await self.submit(function, *arguments).future

    def submit(self, function: Callable[..., T], *arguments: object) -> Job[T]:
        """A job whose future ends with the function."""
        job = Job(function, arguments, self._loop.create_future())
        self._jobs.put(job)
        return job

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            # Whoever asked may have given up while this waited.
            if not job.future.cancelled():
                job.run()
            self._finished.append(job)
            if not self._wake_up_is_due:
                self._wake_up_is_due = True
                self._wake_up()

    def _wake_up(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle)
        except RuntimeError:
            # The loop is closed: the process ends, and nobody waits any more.
            return

    def _settle(self) -> None:
        # The flag goes first: a job that finishes after the last popleft finds it down and wakes the loop again.
        self._wake_up_is_due = False
        while self._finished:
            self._finished.popleft().settle()
