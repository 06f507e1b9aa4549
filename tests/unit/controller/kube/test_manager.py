"""The order of start and stop, and that nothing dies unnoticed. Time is virtual."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry
from structlog.typing import EventDict

from aurora_controller.kube.health import HealthServer
from aurora_controller.kube.manager import LeadershipLost, Manager
from tests.unit.fakes.clock import FakeClock, settle


class Story:
    """Everything a manager runs, each writing down what happens to it."""

    def __init__(self, clock: FakeClock) -> None:
        self.lines: list[str] = []
        self.clock = clock
        self.is_synced = asyncio.Event()
        self.is_leading = asyncio.Event()
        self.is_lost = asyncio.Event()
        self.stop = asyncio.Event()
        self.controllers = [ToyController(self, "jobs"), ToyController(self, "models")]
        self.caches_end: Exception | None = None
        self.caches_broken = asyncio.Event()

    def manager(self) -> Manager:
        return Manager(
            caches=ToyCaches(self),
            controllers=self.controllers,
            events=ToyRecorder(self),
            election=ToyElection(self),
            health=ToyHealth(self),
            clock=self.clock,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        task = asyncio.create_task(self.manager().run(self.stop))
        await settle()
        yield task
        task.cancel()
        await asyncio.wait([task])

    @asynccontextmanager
    async def told(self, what: str) -> AsyncIterator[None]:
        self.lines.append(f"{what} starts")
        try:
            yield
        finally:
            self.lines.append(f"{what} ends")


class ToyHealth(HealthServer):
    def __init__(self, story: Story) -> None:
        super().__init__(liveness={}, readiness={}, registry=CollectorRegistry())
        self._story = story

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        async with self._story.told("health"):
            yield


class ToyCaches:
    def __init__(self, story: Story) -> None:
        self._story = story

    async def run(self) -> None:
        async with self._story.told("caches"):
            await self._story.caches_broken.wait()
            if self._story.caches_end:
                raise self._story.caches_end

    async def synced(self) -> None:
        await self._story.is_synced.wait()

    def unsynced(self) -> Sequence[str]:
        return ["Pod"]


class ToyRecorder:
    def __init__(self, story: Story) -> None:
        self._story = story

    async def run(self) -> None:
        async with self._story.told("events"):
            await asyncio.Event().wait()

    async def flush(self) -> None:
        self._story.lines.append("events flushed")


class ToyElection:
    def __init__(self, story: Story) -> None:
        self._story = story

    async def start(self) -> None:
        self._story.lines.append("election starts")

    async def leading(self) -> None:
        await self._story.is_leading.wait()

    async def lost(self) -> None:
        await self._story.is_lost.wait()

    async def stop(self) -> None:
        self._story.lines.append("lease released")


class ToyController:
    def __init__(self, story: Story, name: str) -> None:
        self._story = story
        self.name = name
        self.on_stop: Callable[[], None] = self.end
        self._ending = asyncio.Event()

    async def run(self) -> None:
        async with self._story.told(self.name):
            await self._ending.wait()

    def stop(self) -> None:
        self.on_stop()

    def end(self) -> None:
        self._ending.set()


@pytest.fixture
async def story() -> Story:
    return Story(FakeClock())


@pytest.fixture(autouse=True)
def _thaw() -> Iterator[None]:
    yield
    gc.unfreeze()


def leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in leaves(inner)]
    return [error]


async def test_a_start_goes_from_probes_to_caches_to_the_lease_to_the_controllers(story: Story) -> None:
    async with story.running():
        assert story.lines == ["health starts", "caches starts"]

        story.is_synced.set()
        await settle()
        assert story.lines[2:] == ["election starts"]

        story.is_leading.set()
        await settle()
        assert story.lines[3:] == ["events starts", "jobs starts", "models starts"]


async def test_a_stop_goes_the_same_way_back_and_the_lease_is_given_back_last(story: Story) -> None:
    story.is_synced.set()
    story.is_leading.set()
    async with story.running() as task:
        story.lines.clear()
        story.stop.set()
        await task

    assert story.lines == [
        "jobs ends",
        "models ends",
        "events flushed",
        "events ends",
        "caches ends",
        "health ends",
        "lease released",
    ]


async def test_reconciles_have_thirty_seconds_to_end(story: Story) -> None:
    story.is_synced.set()
    story.is_leading.set()
    story.controllers[0].on_stop = lambda: None
    async with story.running() as task:
        story.stop.set()
        await settle()
        await story.clock.advance(29)
        assert not task.done()

        await story.clock.advance(1)
        await task

    assert story.lines[-1] == "lease released"


async def test_a_standby_stops_cleanly(story: Story) -> None:
    story.is_synced.set()
    async with story.running() as task:
        story.stop.set()
        await task

    assert "jobs starts" not in story.lines


async def test_a_stop_before_the_caches_are_synced_is_clean(story: Story) -> None:
    async with story.running() as task:
        story.stop.set()
        await task

    assert "election starts" not in story.lines


async def test_caches_that_do_not_sync_are_waited_for(story: Story) -> None:
    async with story.running() as task:
        await story.clock.advance(600)
        assert not task.done()

        story.is_synced.set()
        await settle()

    assert "election starts" in story.lines


async def test_a_lost_lease_ends_the_process_without_grace(story: Story) -> None:
    story.is_synced.set()
    story.is_leading.set()
    for controller in story.controllers:
        controller.on_stop = lambda: None
    async with story.running() as task:
        story.is_lost.set()
        await settle()

        assert task.done()
        [error] = leaves(task.exception() or AssertionError())
        assert isinstance(error, LeadershipLost)
    assert "jobs ends" in story.lines


@pytest.mark.parametrize("error", [None, OSError("out of files")])
async def test_a_dead_cache_fails_the_process(story: Story, error: Exception | None) -> None:
    story.is_synced.set()
    story.is_leading.set()
    story.caches_end = error
    async with story.running() as task:
        story.caches_broken.set()
        await settle()

        assert task.done()
        assert isinstance(task.exception(), ExceptionGroup)
    assert "jobs ends" in story.lines


async def test_a_dead_controller_fails_the_process_and_the_lease_is_given_back(story: Story) -> None:
    story.is_synced.set()
    story.is_leading.set()
    async with story.running() as task:
        story.controllers[0].end()
        await settle()

        assert task.done()
        assert "controller jobs ended by itself" in str(leaves(task.exception() or AssertionError()))
    assert story.lines[-1] == "lease released"


async def test_two_controllers_of_one_name_are_refused(story: Story) -> None:
    story.controllers[1].name = "jobs"

    with pytest.raises(ValueError, match="names of their own"):
        story.manager()


async def test_garbage_is_not_looked_for_while_the_caches_fill_unless_that_takes_long(story: Story) -> None:
    async with story.running():
        assert not gc.isenabled()
        await story.clock.advance(60)
        assert gc.isenabled()
        story.is_synced.set()
        await settle()
        assert gc.isenabled()


async def test_garbage_is_looked_for_after_a_stop_in_the_middle_of_the_start(story: Story) -> None:
    async with story.running():
        assert not gc.isenabled()
        story.stop.set()
        await settle()
        assert gc.isenabled()


async def test_a_blocked_loop_is_measured_and_said_aloud(story: Story, logged: list[EventDict]) -> None:
    """A timer that wakes late was held up by somebody's step, and with it every watch and probe."""
    async with story.running():
        await story.clock.advance(10)
        assert "event loop was blocked" not in [entry["event"] for entry in logged]

        story.clock._elapsed += 12
        await story.clock.advance(1)

    assert [entry["seconds"] for entry in logged if entry["event"] == "event loop was blocked"] == [11.5]
