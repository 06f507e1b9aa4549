"""How a controller under test is killed."""

import asyncio
from unittest.mock import create_autospec

import pytest

from aurora_controller.kube.manager import Manager
from tests.faults.controllers import Running
from tests.faults.proxy import Door
from tests.faults.rules import Call
from tests.unit.fakes.clock import settle


async def test_who_is_cancelled_while_a_controller_dies_does_not_go_on() -> None:
    """A run that is over ends whoever replaces its controllers: going on, that one would hire for ever."""
    is_dead = asyncio.Event()

    async def dies_slowly() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await is_dead.wait()

    task = asyncio.create_task(dies_slowly())
    door = Door(name="one", requests=[(0.0, Call(verb="get"))])
    running = Running(door=door, manager=create_autospec(Manager), task=task, stop=asyncio.Event())
    killing = asyncio.create_task(running.kill())
    await settle()
    killing.cancel()
    await settle()
    is_dead.set()
    with pytest.raises(asyncio.CancelledError):
        await killing
    await asyncio.wait([task])
    assert door.is_shut
    assert task.cancelled()
