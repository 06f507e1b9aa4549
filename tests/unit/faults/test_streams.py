"""A gate in a watch hands over what others saw in between as one event."""

import asyncio
from collections.abc import AsyncIterator

import orjson

from tests.faults.streams import Gate, line_of
from tests.unit.fakes.clock import settle


def changed(version: int, name: str = "one") -> bytes:
    metadata = {"name": name, "resourceVersion": str(version)}
    return line_of({"type": "MODIFIED", "object": {"metadata": metadata}})


class Watched:
    """What has passed a gate of the lines that a test sends."""

    def __init__(self, gate: Gate) -> None:
        self._sent: asyncio.Queue[bytes] = asyncio.Queue()
        self._gate = gate
        self.passed: list[bytes] = []

    async def run(self) -> None:
        async for line in self._gate.edit.lines(self._lines()):
            self.passed.append(line)

    async def _lines(self) -> AsyncIterator[bytes]:
        while True:
            yield await self._sent.get()

    async def send(self, *lines: bytes) -> None:
        for line in lines:
            self._sent.put_nowait(line)
        await settle()


async def test_what_comes_after_the_release_still_counts_as_one_event() -> None:
    gate = Gate()
    async with asyncio.TaskGroup() as group:
        watched = Watched(gate)
        task = group.create_task(watched.run())
        await watched.send(changed(1))
        gate.hold()
        await watched.send(changed(2), changed(3, "other"))
        gate.release(4, is_expired=False)
        await watched.send()
        assert watched.passed == [changed(1)]
        await watched.send(changed(4))
        assert watched.passed == [changed(1), changed(4), changed(3, "other")]
        await watched.send(changed(5))
        assert watched.passed[-1] == changed(5)
        task.cancel()


async def test_a_history_that_is_gone_ends_the_watch_when_the_change_is_in_the_servers_cache() -> None:
    gate = Gate()
    gate.hold()
    watched = Watched(gate)
    task = asyncio.create_task(watched.run())
    gate.release(4, is_expired=True)
    await watched.send(changed(2))
    assert watched.passed == []
    await watched.send(changed(4))
    await task
    [last] = map(orjson.loads, watched.passed)
    assert (last["type"], last["object"]["code"]) == ("ERROR", 410)
