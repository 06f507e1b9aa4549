"""The promises of the work queue. Time is virtual."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from aurora_controller.kube.workqueue import LOW_PRIORITY, ShutDown, WorkQueue
from tests.unit.fakes.clock import FakeClock, settle


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def queue(clock: FakeClock) -> AsyncIterator[WorkQueue[str]]:
    queue: WorkQueue[str] = WorkQueue(clock=clock)
    yield queue
    queue.shut_down()


async def take(queue: WorkQueue[str]) -> str:
    key, _ = await queue.get()
    return key


async def give_a_worker(queue: WorkQueue[str]) -> None:
    """From now on, waiting counts."""
    queue.add("before")
    await take(queue)
    queue.done("before")


def ready(queue: WorkQueue[str]) -> int:
    return sum(queue.depth().values())


async def test_keys_come_out_in_the_order_they_came_in(queue: WorkQueue[str]) -> None:
    for key in ("a", "b", "c"):
        queue.add(key)

    assert [await take(queue) for _ in range(3)] == ["a", "b", "c"]


async def test_many_adds_of_a_waiting_key_are_one_run(queue: WorkQueue[str]) -> None:
    for _ in range(100):
        queue.add("a")

    await take(queue)

    assert ready(queue) == 0


async def test_adds_during_a_run_are_exactly_one_rerun_after_it(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await take(queue)
    queue.add("a")
    queue.add("a")
    second = asyncio.create_task(take(queue))
    await settle()
    assert not second.done()

    queue.done("a")

    assert await second == "a"
    queue.done("a")
    assert ready(queue) == 0


async def test_a_worker_waits_until_there_is_a_key(queue: WorkQueue[str]) -> None:
    worker = asyncio.create_task(take(queue))
    await settle()
    assert not worker.done()

    queue.add("a")

    assert await worker == "a"


async def test_a_delayed_key_comes_when_its_time_has_come(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a", after_seconds=30)
    worker = asyncio.create_task(take(queue))

    await clock.advance(29.9)
    assert not worker.done()
    await clock.advance(0.1)

    assert worker.done()


async def test_delayed_keys_are_not_counted_in_the_depth(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a", after_seconds=30)

    assert ready(queue) == 0
    await clock.advance(30)
    assert ready(queue) == 1


@pytest.mark.parametrize("delays", [(10, 60), (60, 10)])
async def test_of_two_delays_the_earlier_one_counts(
    queue: WorkQueue[str], clock: FakeClock, delays: tuple[int, int]
) -> None:
    for delay in delays:
        queue.add("a", after_seconds=delay)

    await clock.advance(10)

    assert ready(queue) == 1
    await take(queue)
    queue.done("a")
    await clock.advance(60)
    assert ready(queue) == 0


async def test_an_event_makes_a_delayed_key_ready_and_uses_up_its_delay(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    queue.add("a", after_seconds=30)
    queue.add("a")

    assert await take(queue) == "a"
    queue.done("a")
    await clock.advance(31)
    assert ready(queue) == 0


async def test_a_delay_that_ends_during_a_run_is_run_afterwards(queue: WorkQueue[str], clock: FakeClock) -> None:
    queue.add("a")
    await take(queue)
    queue.add("a", after_seconds=5)
    await clock.advance(6)
    rerun = asyncio.create_task(take(queue))
    await settle()
    assert not rerun.done()

    queue.done("a")

    assert await rerun == "a"


async def test_a_nearer_delay_wakes_a_worker_that_waits_for_a_farther_one(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    queue.add("far", after_seconds=100)
    worker = asyncio.create_task(take(queue))
    await settle()
    queue.add("near", after_seconds=1)

    await clock.advance(1)

    assert worker.result() == "near"


async def test_higher_priority_goes_first(queue: WorkQueue[str]) -> None:
    queue.add("old", priority=LOW_PRIORITY)
    queue.add("new")

    assert [await take(queue), await take(queue)] == ["new", "old"]


async def test_a_merge_keeps_the_higher_priority(queue: WorkQueue[str]) -> None:
    queue.add("a", priority=LOW_PRIORITY)
    queue.add("b")
    queue.add("a", priority=10)
    queue.add("a", priority=LOW_PRIORITY)

    assert await queue.get() == ("a", 10)


async def test_a_merge_takes_priority_and_time_from_whichever_has_the_better(
    queue: WorkQueue[str], clock: FakeClock
) -> None:
    queue.add("a", after_seconds=10)
    queue.add("a", priority=5, after_seconds=60)

    await clock.advance(10)

    assert await asyncio.wait_for(queue.get(), timeout=5) == ("a", 5)


async def test_a_raised_key_queues_behind_those_that_had_the_priority_before(queue: WorkQueue[str]) -> None:
    queue.add("raised", priority=LOW_PRIORITY)
    queue.add("first")
    queue.add("raised")

    assert [await take(queue), await take(queue)] == ["first", "raised"]


async def test_raising_a_key_does_not_cost_it_the_time_it_has_waited(queue: WorkQueue[str], clock: FakeClock) -> None:
    await give_a_worker(queue)
    queue.add("low", priority=LOW_PRIORITY)
    await clock.advance(150)
    queue.add("high")
    queue.add("low")

    assert [await take(queue), await take(queue)] == ["low", "high"]


async def test_a_low_key_is_not_starved_by_a_stream_of_high_ones(queue: WorkQueue[str], clock: FakeClock) -> None:
    await give_a_worker(queue)
    queue.add("low", priority=LOW_PRIORITY)
    taken = []
    for second in range(120):
        queue.add(f"high-{second}")
        await clock.advance(1)
        key = await take(queue)
        taken.append(key)
        queue.done(key)

    assert taken.index("low") == 100


async def test_what_waited_while_nobody_worked_goes_after_news(queue: WorkQueue[str], clock: FakeClock) -> None:
    """A standby holds every object in its queue for days; the first change after it takes over is not behind them."""
    for number in range(3):
        queue.add(f"old-{number}", priority=LOW_PRIORITY)
    await clock.advance(10_000)
    queue.add("old-2")
    queue.add("news")

    assert [await take(queue) for _ in range(4)] == ["old-2", "news", "old-0", "old-1"]


async def test_failures_back_off_exponentially_up_to_the_cap(queue: WorkQueue[str]) -> None:
    delays = [queue.add_rate_limited("a") for _ in range(20)]

    assert delays[:4] == [0.005, 0.01, 0.02, 0.04]
    assert delays[17] < 1000
    assert delays[18:] == [1000, 1000]


async def test_a_forgotten_key_starts_over(queue: WorkQueue[str]) -> None:
    for _ in range(5):
        queue.add_rate_limited("a")
    queue.forget("a")

    assert queue.failures("a") == 0
    assert queue.add_rate_limited("a") == 0.005


async def test_one_keys_failures_do_not_delay_another(queue: WorkQueue[str]) -> None:
    for _ in range(10):
        queue.add_rate_limited("poisoned")

    assert queue.add_rate_limited("healthy") == 0.005


async def test_shutdown_releases_every_waiting_worker(queue: WorkQueue[str]) -> None:
    workers = [asyncio.create_task(take(queue)) for _ in range(3)]
    await settle()

    queue.shut_down()

    results = await asyncio.gather(*workers, return_exceptions=True)
    assert [type(result) for result in results] == [ShutDown] * 3


async def test_after_shutdown_nothing_is_added_or_handed_out(queue: WorkQueue[str]) -> None:
    queue.add("queued")
    queue.shut_down()
    queue.add("late")

    with pytest.raises(ShutDown):
        await queue.get()
    assert ready(queue) == 1


async def test_drained_waits_for_the_keys_being_worked_on(queue: WorkQueue[str]) -> None:
    queue.add("a")
    await take(queue)
    queue.shut_down()
    drained = asyncio.create_task(queue.drained())
    await settle()
    assert not drained.done()

    queue.done("a")

    await drained


async def test_a_cancelled_worker_hands_its_key_on(queue: WorkQueue[str]) -> None:
    first = asyncio.create_task(take(queue))
    await settle()
    second = asyncio.create_task(take(queue))
    await settle()
    queue.add("a")
    first.cancel()

    assert await second == "a"


async def test_leftovers_of_replaced_delays_do_not_pile_up(queue: WorkQueue[str]) -> None:
    for _ in range(10_000):
        queue.add("a", after_seconds=600)
        queue.add("a")
        await take(queue)
        queue.done("a")

    assert len(queue._waiting) < 100
