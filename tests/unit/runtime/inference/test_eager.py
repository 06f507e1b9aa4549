"""A coroutine that begins at once goes on and ends as a task would have ended it."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from aurora_runtime.inference.eager import Eager


async def nothing_to_wait_for() -> str:
    return "done"


async def fails() -> str:
    raise ValueError("broken")


class Worker:
    """Waits for two futures, one after the other, and remembers how it ended."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[str] = loop.create_future()
        self.second: asyncio.Future[str] = loop.create_future()
        self.ended = ""

    async def work(self) -> str:
        try:
            answer = await self.first + await self.second
        except BaseException as error:
            self.ended = type(error).__name__
            raise
        self.ended = "well"
        return answer


class Ends(list[Eager[str]]):
    """What has ended, in order."""

    def begun(self, coroutine: Coroutine[Any, Any, str]) -> Eager[str]:
        eager = Eager(coroutine, self.append)
        eager.go_on()
        return eager


async def turns() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_waits_for_nothing_is_done_without_a_turn_of_the_loop() -> None:
    ends = Ends()
    eager = ends.begun(nothing_to_wait_for())
    assert ends == [eager]
    assert (eager.result, eager.error) == ("done", None)


async def test_a_failure_is_kept() -> None:
    ends = Ends()
    eager = ends.begun(fails())
    assert ends == [eager]
    assert (eager.result, repr(eager.error)) == (None, "ValueError('broken')")


async def test_it_goes_on_when_what_it_waits_for_is_done() -> None:
    ends, worker = Ends(), Worker()
    eager = ends.begun(worker.work())
    worker.first.set_result("a")
    await turns()
    assert not ends
    worker.second.set_result("b")
    await turns()
    assert ends == [eager]
    assert eager.result == "ab"


async def test_what_it_waits_for_may_fail() -> None:
    ends, worker = Ends(), Worker()
    eager = ends.begun(worker.work())
    worker.first.set_exception(KeyError("gone"))
    await turns()
    assert ends == [eager]
    assert repr(eager.error) == "KeyError('gone')"


@pytest.mark.parametrize("future", ["first", "second"])
async def test_cancelling_ends_it_once_and_cancels_what_it_waits_for(future: str) -> None:
    ends, worker = Ends(), Worker()
    eager = ends.begun(worker.work())
    if future == "second":
        worker.first.set_result("a")
        await turns()
    eager.cancel()
    await turns()
    assert getattr(worker, future).cancelled()
    assert worker.ended == "CancelledError"
    assert ends == [eager]
    eager.cancel()
    assert ends == [eager]
