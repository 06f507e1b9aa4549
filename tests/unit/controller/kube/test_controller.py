"""The whole loop on a cluster in memory: it converges, stays quiet, survives, and says what is wrong."""

import asyncio
import itertools
from typing import Any

import pytest

from aurora_controller.kube.controller import Controller
from aurora_controller.kube.errors import OutcomeUnknown
from aurora_controller.kube.meta import DEPLOYMENT, SECRET, SERVICE
from aurora_controller.kube.reconcile import Request
from tests.unit.controller.kube.widgets import WIDGET, a_widget
from tests.unit.controller.kube.world import World, kill_at
from tests.unit.fakes.clock import settle
from tests.unit.fakes.metrics import series

CONVERGED = ["create Secret wheel", "apply Deployment wheel", "apply Service wheel", "patch status Widget wheel"]


# Converging


async def test_a_new_object_gets_its_children_and_then_its_status(world: World) -> None:
    async with world.controller():
        world.cluster.add(a_widget())
        await settle()

    assert world.cluster.writes == CONVERGED
    assert world.conditions() == {"Ready": ("True", "Applied")}
    assert world.notes.sent == [("Normal", "Applied")]


async def test_running_again_sends_nothing(world: World) -> None:
    world.cluster.add(a_widget())
    await world.restart()
    world.cluster.writes.clear()

    await world.restart()
    async with world.controller():
        await world.clock.advance(3600)

    assert world.cluster.writes == []


@pytest.mark.parametrize("kind", [SECRET, DEPLOYMENT, SERVICE])
async def test_a_deleted_child_comes_back(world: World, kind: Any) -> None:
    world.cluster.add(a_widget())
    async with world.controller():
        before = world.cluster.live(kind, "wheel")["metadata"]["uid"]

        world.cluster.remove(kind, "wheel")
        await settle()

        assert world.cluster.live(kind, "wheel")["metadata"]["uid"] != before


async def test_a_child_deleted_while_the_controller_was_away_comes_back(world: World) -> None:
    world.cluster.add(a_widget())
    await world.restart()
    world.cluster.remove(SERVICE, "wheel")

    await world.restart()

    assert world.cluster.names(SERVICE) == ["wheel"]


async def test_a_changed_spec_reaches_the_children(world: World) -> None:
    world.cluster.add(a_widget())
    async with world.controller():
        world.cluster.edit(WIDGET, "wheel", {"spec": {"replicas": 3, "exposed": False}})
        await settle()

    assert world.cluster.live(DEPLOYMENT, "wheel")["spec"]["replicas"] == 3
    assert world.cluster.names(SERVICE) == []


async def test_a_deleted_object_is_left_alone(world: World) -> None:
    world.cluster.add(a_widget())
    async with world.controller():
        world.cluster.writes.clear()
        world.cluster.remove(WIDGET, "wheel")
        await settle()

    assert world.cluster.writes == []


async def test_a_controller_looks_again_when_it_planned_to(world: World) -> None:
    world.reconciler.requeue_after_seconds = 15
    world.cluster.add(a_widget())
    async with world.controller():
        plans = world.reconciler.plans

        await world.clock.advance(46)

    assert world.reconciler.plans == plans + 3
    assert world.count("controller_runtime_reconcile_total", result="requeue_after") >= 3


async def test_news_goes_before_what_a_start_brings(world: World) -> None:
    order: list[str] = []
    world.cluster.add(a_widget("a"), a_widget("b"), a_widget("c"))
    world.reconciler.before_plan = lambda observed: order.append(observed.widget["metadata"]["name"])

    def edit(_: Controller) -> None:
        world.cluster.edit(WIDGET, "c", {"spec": {"replicas": 2}})

    async with world.controller(before_start=edit):
        pass

    assert list(dict.fromkeys(order)) == ["c", "a", "b"]


async def test_the_event_loop_gets_a_turn_after_each_reconcile(world: World) -> None:
    for name in "abcdefgh":
        world.cluster.add(a_widget(name))
    await world.restart()
    turns = 0
    seen: list[int] = []
    world.reconciler = world.new_reconciler()
    world.reconciler.before_plan = lambda _: seen.append(turns)

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    async with world.controller():
        counting.cancel()

    assert len(seen) == 8
    assert len(set(seen)) == 8


# Surviving

CRASH_POINTS = [
    pytest.param(number, is_lost, id=f"{'after' if is_lost else 'before'} write {number + 1}")
    for number in range(4)
    for is_lost in (False, True)
]


@pytest.mark.parametrize(("number", "is_lost"), CRASH_POINTS)
async def test_a_crash_at_any_write_leads_to_the_same_end(world: World, number: int, is_lost: bool) -> None:
    world.cluster.add(a_widget())
    kill = kill_at(number)
    world.cluster.on_write = kill if not is_lost else lambda _: None
    world.cluster.after_write = kill if is_lost else lambda _: None
    async with world.controller():
        pass
    await world.restart()

    assert world.conditions() == {"Ready": ("True", "Applied")}
    assert [world.cluster.names(kind) for kind in (SECRET, DEPLOYMENT, SERVICE)] == [["wheel"]] * 3
    creates = [line for line in world.cluster.writes if line == "create Secret wheel"]
    assert len(creates) == 1
    world.cluster.writes.clear()
    await world.restart()
    assert world.cluster.writes == []


@pytest.mark.parametrize("number", range(4))
async def test_a_lost_answer_is_looked_up_and_nothing_is_made_twice(world: World, number: int) -> None:
    world.cluster.add(a_widget())
    seen = itertools.count()

    def lose(_: str) -> None:
        if next(seen) == number:
            raise OutcomeUnknown("connection reset")

    world.cluster.after_write = lose
    async with world.controller():
        await world.clock.advance(10)

    assert world.conditions() == {"Ready": ("True", "Applied")}
    assert world.cluster.writes == CONVERGED


async def test_a_cache_that_lags_behind_our_own_writes_makes_no_twins(world: World) -> None:
    """The widget changes while its first writes are not in the cache yet."""
    world.cluster.add(a_widget())
    with world.cluster.cache_held_back():
        async with world.controller() as controller:
            [watch, *_] = controller.watches
            controller.on_change(watch, None, world.cluster.live(WIDGET, "wheel"))
            await settle()
            assert world.reconciler.plans == 1
            world.cluster.resume_cache()
            await settle()

            assert world.reconciler.plans > 1
    assert world.cluster.writes == CONVERGED


async def test_a_status_decided_on_an_old_object_is_decided_again(world: World) -> None:
    world.cluster.add(a_widget())

    def interfere(line: str) -> None:
        if line.startswith("patch") and world.cluster.live(WIDGET, "wheel")["spec"]["replicas"] == 1:
            world.cluster.edit(WIDGET, "wheel", {"spec": {"replicas": 2}})

    world.cluster.on_write = interfere
    async with world.controller():
        await world.clock.advance(1)

    assert world.cluster.live(WIDGET, "wheel")["status"]["observedGeneration"] == 2
    assert world.count("controller_runtime_reconcile_errors_total") == 0


async def test_one_key_is_never_reconciled_twice_at_once(world: World) -> None:
    running: set[str] = set()
    most = 0

    async def slow_ready(request: Request) -> None:
        nonlocal most
        assert request.name not in running
        running.add(request.name)
        most = max(most, len(running))
        await world.clock.sleep(5)
        running.discard(request.name)

    for name in ("a", "b", "c"):
        world.cluster.add(a_widget(name))
    async with world.controller(workers=2) as controller:
        controller._own_writes.ready = slow_ready  # type: ignore[method-assign]
        for _ in range(10):
            for name in ("a", "b", "c"):
                world.cluster.edit(WIDGET, name, {"metadata": {"labels": {"tick": str(world.clock.monotonic())}}})
            await world.clock.advance(3)

    assert most == 2


async def test_a_stop_lets_the_reconcile_under_way_end_and_takes_no_other(world: World) -> None:
    async def slow(request: Request) -> None:
        await world.clock.sleep(5)

    world.cluster.add(a_widget())
    async with world.controller() as controller:
        controller._own_writes.ready = slow  # type: ignore[method-assign]
        world.cluster.writes.clear()
        world.cluster.edit(WIDGET, "wheel", {"spec": {"replicas": 2}})
        world.cluster.add(a_widget("next"))
        await settle()
        controller.stop()
        await world.clock.advance(20)

    assert world.cluster.writes == ["apply Deployment wheel", "patch status Widget wheel"]


async def test_every_result_has_its_series_from_the_start(world: World) -> None:
    async with world.controller(workers=3):
        results = [
            series("controller_runtime_reconcile_total", controller=world.reconciler.name, result=result)
            for result in ("error", "requeue_after", "requeue", "success")
        ]

    assert results == [[0], [0], [0], [0]]
    assert world.count("controller_runtime_max_concurrent_reconciles") == 3
    assert world.count("workqueue_depth", name=world.reconciler.name, priority="0") == 0


async def test_a_key_keeps_its_priority_when_it_is_asked_again(world: World) -> None:
    """Of two that are due at once, news goes before what a start brought, though that was there first."""
    world.cluster.add(a_widget("axle"), a_widget("wheel"))
    await world.restart()
    planned: list[str] = []
    world.reconciler = world.new_reconciler()
    world.reconciler.requeue_after_seconds = 30
    world.reconciler.before_plan = lambda observed: planned.append(observed.widget["metadata"]["name"])
    async with world.controller():
        world.cluster.edit(WIDGET, "wheel", {"metadata": {"labels": {"looked": "at"}}})
        await settle()
        planned.clear()
        await world.clock.advance(30)
    assert planned == ["wheel", "axle"]
