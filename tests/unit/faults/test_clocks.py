"""The time of the fault tests: it passes while others are waited for, and stands still while nobody here could run."""

import asyncio
import itertools

import pytest

from tests.faults.clocks import FastClock, PatientTime
from tests.unit.fakes.clock import settle


class Machine:
    """Real time as the loop reads it: a little passes with each look, more when a test says so."""

    def __init__(self) -> None:
        self._looks = itertools.count()
        self.away = 0.0

    def time(self) -> float:
        return 1000.0 + next(self._looks) * 1e-6 + self.away


@pytest.fixture
async def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "time", machine.time)
    PatientTime(loop)
    return machine


async def test_while_the_loop_is_late_no_time_passes_beyond_a_moment(machine: Machine) -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    async with FastClock(factor=50).timeout(1.0):
        machine.away += 5.0
        await settle()
    assert loop.time() - before < 0.02


async def test_time_passes_moment_by_moment_for_whoever_waits(machine: Machine) -> None:
    loop = asyncio.get_running_loop()
    before, elapsed = loop.time(), 0.0
    for _ in range(100):
        machine.away += 0.005
        elapsed += 0.005
        await settle()
    assert loop.time() - before == pytest.approx(elapsed, abs=0.01)


async def test_a_deadline_that_passes_while_others_are_waited_for_is_over(machine: Machine) -> None:
    async def wait() -> None:
        async with FastClock(factor=10).timeout(1.0):
            for _ in range(100):
                machine.away += 0.005
                await settle()

    with pytest.raises(TimeoutError):
        await wait()


async def test_deadlines_of_asyncio_itself_are_as_patient(machine: Machine) -> None:
    async with asyncio.timeout(0.1):
        machine.away += 0.2
        await settle()
