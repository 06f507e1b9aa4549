"""A coroutine that begins at once ends as a task would have ended it."""

import asyncio

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


async def test_what_waits_for_nothing_is_done_without_a_turn_of_the_loop() -> None:
    eager = Eager(nothing_to_wait_for())
    assert eager.result == "done"
    assert await eager == "done"


async def test_a_failure_is_for_who_awaits_it() -> None:
    eager = Eager(fails())
    assert eager.result is None
    with pytest.raises(ValueError, match="broken"):
        await eager


async def test_what_waits_goes_on_in_the_task_that_awaits_it() -> None:
    worker = Worker()
    eager = Eager(worker.work())
    assert eager.result is None

    async def go_on() -> str:
        return await eager

    task = asyncio.create_task(go_on())
    worker.first.set_result("a")
    await asyncio.sleep(0)
    worker.second.set_result("b")
    assert await task == "ab"


@pytest.mark.parametrize("future", ["first", "second"])
async def test_a_task_that_is_cancelled_cancels_what_is_awaited_and_ends_the_coroutine(future: str) -> None:
    worker = Worker()
    eager = Eager(worker.work())

    async def go_on() -> str:
        return await eager

    task = asyncio.create_task(go_on())
    if future == "second":
        worker.first.set_result("a")
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert getattr(worker, future).cancelled()
    assert worker.ended == "CancelledError"


async def test_what_nobody_took_on_is_cancelled_likewise() -> None:
    worker = Worker()
    eager = Eager(worker.work())
    eager.cancel()
    assert worker.first.cancelled()
    assert worker.ended == "CancelledError"
