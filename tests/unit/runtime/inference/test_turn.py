"""What comes at the same time is done in phases; what comes alone, at once."""

import asyncio
from typing import Any

import pytest

from aurora_runtime.inference.eager import Eager, Promise
from aurora_runtime.inference.turn import ENOUGH, Turn


class Story(list[str]):
    """What happened, in order; written to as a transport is."""

    def write(self, data: Any) -> None:
        self.append(f"written {data.decode()}")


class Client:
    """Takes a turn: is handled, and writes an answer."""

    def __init__(self, turn: Turn, story: Story) -> None:
        self._turn = turn
        self._story = story

    def comes(self, *names: str) -> None:
        for name in names:
            self._turn.take(self._handle, name)

    def _handle(self, name: str) -> None:
        self._story.append(f"handled {name}{' alone' if self._turn.alone else ''}")
        self._turn.write(self._story, name.encode())  # type: ignore[arg-type]  # all of a transport that is asked for


async def looks(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def client(turn: Turn, story: Story) -> Client:
    return Client(turn, story)


async def test_what_comes_one_by_one_is_done_at_once(client: Client, story: Story) -> None:
    for name in ("a", "b"):
        client.comes(name)
        assert story[-2:] == [f"handled {name} alone", f"written {name}"]
        await looks()


async def test_when_several_come_all_are_handled_before_any_is_written(client: Client, story: Story) -> None:
    client.comes("a", "b", "c")
    assert story == ["handled a alone", "written a"]
    await looks()
    client.comes("d", "e")
    assert story[2:] == ["handled b", "handled c", "written b", "written c"]
    await looks()
    assert story[6:] == ["handled d", "handled e", "written d", "written e"]


async def test_as_long_as_each_look_brings_more_the_loop_looks_again(client: Client, story: Story) -> None:
    client.comes("a", "b")
    await looks()
    for number in range(5):
        client.comes(f"{number}")
        await asyncio.sleep(0)
        assert len(story) == 4
    await looks()
    assert story[4:9] == [f"handled {number}" for number in range(5)]


async def test_who_has_enough_looks_no_more(client: Client, story: Story) -> None:
    client.comes("a", "b")
    await looks()
    client.comes(*map(str, range(ENOUGH)))
    await asyncio.sleep(0)
    assert len(story) == 4 + 2 * ENOUGH


async def test_a_step_asked_for_by_a_step_is_done_in_the_same_turn_before_anything_is_written(
    turn: Turn, client: Client, story: Story
) -> None:
    turn.soon(turn.soon, story.append, "later")
    turn.soon(client._handle, "a")
    await asyncio.sleep(0)
    assert story == ["handled a", "later", "written a"]


async def test_a_step_that_fails_is_told_and_stops_no_other(turn: Turn, client: Client, story: Story) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    turn.soon([].pop)
    turn.soon(client._handle, "a")
    await asyncio.sleep(0)
    assert story == ["handled a", "written a"]
    assert [type(one["exception"]) for one in told] == [IndexError]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_promise_wakes_an_eager_one_in_the_turn_that_keeps_it_and_a_task_too(turn: Turn, fails: bool) -> None:
    promises: list[Promise[str]] = [Promise(turn), Promise(turn)]

    async def waits(promise: Promise[str]) -> str:
        return await promise

    def keep() -> None:
        for promise in promises:
            if fails:
                promise.set_exception(KeyError("gone"))
            else:
                promise.set_result("kept")

    ended: list[Eager[str]] = []
    eager = Eager(waits(promises[0]), ended.append)
    eager.go_on()
    task = asyncio.create_task(waits(promises[1]))
    await asyncio.sleep(0)
    turn.soon(keep)
    await asyncio.sleep(0)
    assert ended == [eager]
    await asyncio.wait([task])
    assert repr(eager.error) == repr(task.exception()) == ("KeyError('gone')" if fails else "None")
    assert eager.result == (None if fails else "kept")


async def test_who_gave_up_is_not_woken(turn: Turn) -> None:
    promise: Promise[str] = Promise(turn)

    async def waits() -> str:
        return await promise

    ended: list[Eager[str]] = []
    eager = Eager(waits(), ended.append)
    eager.go_on()
    eager.cancel()
    await asyncio.sleep(0)
    assert ended == [eager]
    assert promise.cancelled()
