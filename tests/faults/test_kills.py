"""T1 with the program itself: SIGKILL at writes that the seed chooses, and a successor that waits for the Lease.

What ``test_crash_points.py`` cannot show is here: the election on its thread, the process's end, a cold start.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from tests.faults.controllers import ControllerProcess
from tests.faults.proxy import Door, Proxy
from tests.faults.rules import Action, Delay, LoseAnswer, Refuse, Rule
from tests.faults.runs import Case, Learn, OpenStage, compare
from tests.faults.scenarios import ROLLOUT, SCENARIOS, Scenario

POINTS: Final[tuple[Action, ...]] = (Refuse(), LoseAnswer(), Delay(seconds=0))
KILLS: Final = {"training": 3, "rollout": 7}
LEASE: Final[dict[str, Any]] = {"lease_seconds": 3.0, "renew_deadline_seconds": 2.0, "retry_seconds": 0.5}
LONGER_THAN_ANY_TEST: Final = 600.0
AT_ONCE: Final = 4
"""Each has its processes, and a start of one is a second of CPU."""


class Program:
    """The process behind a door, started again whenever it ends, as a kubelet does."""

    def __init__(self, door: Door, process: ControllerProcess) -> None:
        self._door, self._process = door, process

    async def run(self) -> None:
        while not self._door.is_shut:
            self._process.start()
            await self._process.ended(LONGER_THAN_ANY_TEST)

    async def kill(self) -> None:
        """The door is shut first, so that the write it died at is known."""
        self._door.shut()
        self._process.kill()


@asynccontextmanager
async def program(door: Door, namespace: str, *, folder: Path) -> AsyncIterator[Program]:
    program = Program(door, ControllerProcess(door, namespace, folder, name=door.name.replace("#", "-"), **LEASE))
    running = asyncio.create_task(program.run())
    try:
        yield program
    finally:
        running.cancel()
        await program.kill()


@pytest.mark.parametrize("scenario", [SCENARIOS[0], ROLLOUT], ids=lambda one: one.name)
async def test_a_killed_program_is_followed_by_one_that_ends_at_the_same_state(
    scenario: Scenario,
    *,
    proxy: Proxy,
    open_stage: OpenStage,
    learned: Learn,
    dice: random.Random,
    tmp_path: Path,
) -> None:
    reference = await learned(scenario)
    numbers = sorted(dice.sample(range(1, len(reference.steps) + 1), KILLS[scenario.name]))
    cases = [
        Case(
            name=f"SIGKILL at write {number} ({reference.steps[number - 1].call}), {action}",
            rules=[Rule(action=action, steps_only=True, nth=number, kills=True)],
        )
        for number, action in ((number, dice.choice(POINTS)) for number in numbers)
    ]
    slots, employ = asyncio.Semaphore(AT_ONCE), partial(program, folder=tmp_path)
    assert await compare(reference, cases, proxy, open_stage, slots=slots, employ=employ) == []
