"""Whatever is asked of the queue, in any order, it does what a model of one dictionary says. Time is virtual.

The model is the text of the module: one entry per key, merged by the higher priority and the earlier time, handed out
by rank (when it became ready, less what its priority is worth) and by order among equals, never to two workers at once.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from aurora_controller.kube.workqueue import AGEING_SECONDS_PER_POINT, ShutDown, WorkQueue
from tests.unit.fakes.clock import FakeClock, settle

KEYS = st.sampled_from("abcd")
PRIORITIES = st.sampled_from([-100, -10, 0, 5])
SECONDS = st.integers(1, 150)

T = TypeVar("T")


@dataclass
class Entry:
    priority: int
    ready_at: float
    order: int
    rank: float | None = None
    """None until it is ready."""


# Preconditions have names: hypothesis parses the source of a lambda to tell of it, while a test runs, and the parser of
# Python 3.11 does not always survive that.


def something_can_be_taken(machine: "QueueMachine") -> bool:
    return bool(machine.takeable())


def a_worker_may_wait(machine: "QueueMachine") -> bool:
    return not machine.takeable() and len(machine.waiting) < 3


def somebody_waits(machine: "QueueMachine") -> bool:
    return bool(machine.waiting)


def somebody_works(machine: "QueueMachine") -> bool:
    return bool(machine.processing)


class QueueMachine(RuleBasedStateMachine):
    """Workers that find nothing wait; the queue must wake them itself, for the model hands out at once."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.queue: WorkQueue[str] = WorkQueue(clock=self.clock)
        self.waiting: list[asyncio.Task[tuple[str, int]]] = []
        self.now = 0.0
        self.order = 0
        self.entries: dict[str, Entry] = {}
        self.failures: Counter[str] = Counter()
        self.processing: set[str] = set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        async def then_settle() -> T:
            result = await work
            await settle()
            return result

        return self.loop.run_until_complete(then_settle())

    async def ask(self, key: str, **given: float) -> None:
        self.queue.add(key, **given)  # type: ignore[arg-type]

    # The model

    def expect(self, key: str, priority: int, ready_at: float) -> None:
        """What an add must come to."""
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry(priority, ready_at, self.next_order())
        elif ready_at < entry.ready_at or priority > entry.priority:
            entry.priority, entry.ready_at = max(priority, entry.priority), min(ready_at, entry.ready_at)
            entry.order = self.next_order()
            if entry.rank is not None:
                entry.rank = min(entry.rank, rank_of(entry.priority, self.now))
        if entry.rank is None and entry.ready_at <= self.now:
            entry.rank = rank_of(entry.priority, entry.ready_at)
        self.hand_out()

    def next_order(self) -> int:
        self.order += 1
        return self.order

    def hand_out(self) -> None:
        """Each waiting worker has the first of the keys that are ready and that nobody works on."""
        self.run(settle())
        while self.waiting and (takeable := self.takeable()):
            got = [task for task in self.waiting if task.done()]
            assert got, f"{takeable} are ready, and a worker sleeps"
            self.waiting.remove(got[0])
            self.note_taken(*got[0].result())
        assert not any(task.done() for task in self.waiting), "a worker got what is not to be had"

    def ripen(self) -> None:
        """Delayed entries whose time has come are ready, and queue behind those that were."""
        due = [one for one in self.entries.values() if one.rank is None and one.ready_at <= self.now]
        for entry in sorted(due, key=lambda one: (one.ready_at, one.order)):
            entry.rank, entry.order = rank_of(entry.priority, entry.ready_at), self.next_order()

    def takeable(self) -> list[str]:
        return [key for key, entry in self.entries.items() if entry.rank is not None and key not in self.processing]

    def note_taken(self, key: str, priority: int) -> None:
        assert key not in self.processing, "one key with two workers"
        takeable = self.takeable()
        assert key in takeable, "a key that nobody asked for, or whose time has not come"
        entry = self.entries.pop(key)
        assert priority == entry.priority
        others = [self.entries[other] for other in takeable if other != key]
        assert all(place(entry) <= place(other) for other in others), "overtaken"
        self.processing.add(key)

    # What may happen

    @initialize(ends_by_shutdown=st.booleans())
    def a_first_worker_comes(self, ends_by_shutdown: bool) -> None:
        """Waiting counts from now on."""
        self.ends_by_shutdown = ends_by_shutdown
        self.run(self.ask("first"))
        self.run(self.queue.get())
        self.queue.done("first")
        self.order = 1

    @rule(key=KEYS, priority=PRIORITIES)
    def add(self, key: str, priority: int) -> None:
        self.run(self.ask(key, priority=priority))
        self.expect(key, priority, self.now)

    @rule(key=KEYS, priority=PRIORITIES, seconds=SECONDS)
    def add_later(self, key: str, priority: int, seconds: int) -> None:
        self.run(self.ask(key, priority=priority, after_seconds=seconds))
        self.expect(key, priority, self.now + seconds)

    @rule(key=KEYS)
    def fail(self, key: str) -> None:
        async def add_rate_limited() -> float:
            return self.queue.add_rate_limited(key)

        delay = self.run(add_rate_limited())
        assert delay == min(0.005 * 2.0 ** self.failures[key], 1000.0)
        self.failures[key] += 1
        self.expect(key, 0, self.now + delay)

    @rule(key=KEYS)
    def succeed(self, key: str) -> None:
        self.queue.forget(key)
        self.failures[key] = 0

    @precondition(something_can_be_taken)
    @rule()
    def take(self) -> None:
        self.note_taken(*self.run(self.queue.get()))

    @precondition(a_worker_may_wait)
    @rule()
    def wait(self) -> None:
        self.waiting.append(self.loop.create_task(self.queue.get()))
        self.run(settle())
        assert not self.waiting[-1].done()

    @precondition(somebody_waits)
    @rule()
    def a_waiting_worker_is_cancelled(self) -> None:
        self.waiting.pop(0).cancel()
        self.run(settle())

    @precondition(somebody_works)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        self.finish(data.draw(st.sampled_from(sorted(self.processing))))

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: int) -> None:
        self.advance(self.now + seconds)

    def finish(self, key: str) -> None:
        self.queue.done(key)
        self.processing.discard(key)
        self.hand_out()

    def advance(self, until: float) -> None:
        """From one moment at which an entry becomes ready to the next: a waiting worker gets it there and then."""
        for due in sorted({entry.ready_at for entry in self.entries.values() if self.now < entry.ready_at <= until}):
            self.step_to(due)
        self.step_to(until)

    def step_to(self, moment: float) -> None:
        self.run(self.clock.advance(moment - self.clock.monotonic()))
        self.now = self.clock.monotonic()
        self.ripen()
        self.hand_out()

    # What must hold at every moment

    @invariant()
    def the_depth_is_what_is_ready(self) -> None:
        ready = Counter(entry.priority for entry in self.entries.values() if entry.rank is not None)
        assert self.queue.depth() == ready

    @invariant()
    def as_many_are_worked_on_as_were_taken(self) -> None:
        assert len(self.queue.processing_seconds()) == len(self.processing)

    def teardown(self) -> None:
        if self.ends_by_shutdown:
            self.end_by_shutdown()
        else:
            self.end_by_working()
        self.loop.close()

    def end_by_working(self) -> None:
        """Every key that was asked for comes out, and no other."""
        while self.processing:
            self.finish(max(self.processing))
        self.advance(self.now + 2000)
        while self.entries:
            if not self.waiting:
                self.take()
            self.finish(max(self.processing))
        assert self.queue.depth() == {}
        self.queue.shut_down()
        self.run(settle())
        assert all(isinstance(task.exception(), ShutDown) for task in self.waiting)

    def end_by_shutdown(self) -> None:
        """Nothing is handed out any more, and it has drained once the last worker is through with its key."""
        self.queue.shut_down()
        late = self.loop.create_task(self.queue.get())
        drain = self.loop.create_task(self.queue.drained())
        self.run(self.ask("a"))
        for task in (late, *self.waiting):
            assert isinstance(task.exception(), ShutDown)
        for key in sorted(self.processing):
            assert not drain.done()
            self.queue.done(key)
            self.run(settle())
        assert drain.done()


def rank_of(priority: int, since: float) -> float:
    return since - priority * AGEING_SECONDS_PER_POINT


def place(entry: Entry) -> tuple[float, int]:
    assert entry.rank is not None
    return entry.rank, entry.order


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)
