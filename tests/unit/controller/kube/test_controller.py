"""The whole loop on a cluster in memory: it converges, stays quiet, survives, and says what is wrong."""

import asyncio
import itertools
from typing import Any

import pytest
from structlog.typing import EventDict

from aurora_controller.kube.controller import Controller
from aurora_controller.kube.errors import Forbidden, Invalid, NamespaceTerminating, OutcomeUnknown, ServerError
from aurora_controller.kube.meta import DEPLOYMENT, SECRET, SERVICE
from aurora_controller.kube.metrics import REGISTRY
from aurora_controller.kube.reconcile import Request, Stalled, Waiting
from tests.unit.controller.kube.widgets import WIDGET, a_widget, child
from tests.unit.controller.kube.world import World, kill_at, refuse
from tests.unit.fakes.clock import settle

CONVERGED = ["create Secret wheel", "apply Deployment wheel", "apply Service wheel", "patch status Widget wheel"]


@pytest.fixture
async def world() -> World:
    return World()


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


# Failing


async def test_waiting_is_told_once_and_asked_again_when_it_said(world: World) -> None:
    world.fails_with(Waiting("ModelNotFound", "no version of housing", retry_after_seconds=30))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(100)

        assert world.conditions() == {"Ready": ("False", "ModelNotFound"), "Reconciling": ("True", "ModelNotFound")}
        assert world.cluster.writes == ["patch status Widget wheel"]
        assert world.notes.sent == [("Warning", "ModelNotFound")]
        assert world.reconciler.plans == 5  # at once, after its own status write, and then every 30 s
        assert world.count("controller_runtime_reconcile_errors_total") == 0

        world.reconciler.before_plan = lambda _: None
        await world.clock.advance(30)
        assert world.conditions() == {"Ready": ("True", "Applied")}


async def test_stalled_is_told_once_and_asked_again_when_the_object_changes(world: World) -> None:
    world.fails_with(Stalled("UnknownAlgorithm", "algorithm forest is unknown"))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(3600)
        assert world.reconciler.plans == 2  # at once, and after its own status write
        assert world.conditions() == {"Ready": ("False", "UnknownAlgorithm"), "Stalled": ("True", "UnknownAlgorithm")}
        assert world.cluster.writes == ["patch status Widget wheel"]
        assert world.count("controller_runtime_terminal_reconcile_errors_total") == 2

        world.reconciler.before_plan = lambda _: None
        world.cluster.edit(WIDGET, "wheel", {"spec": {"replicas": 2}})
        await settle()

        assert world.conditions() == {"Ready": ("True", "Applied")}


async def test_a_manifest_that_the_server_refuses_stalls_and_is_tried_again_after_five_minutes(world: World) -> None:
    world.cluster.on_write = refuse("apply Deployment", Invalid("spec.replicas: must not be negative", code=422))
    world.cluster.add(a_widget())
    async with world.controller():
        await settle()
        assert world.conditions()["Stalled"] == ("True", "Invalid")

        world.cluster.on_write = lambda _: None
        await world.clock.advance(300)

        assert world.conditions() == {"Ready": ("True", "Applied")}


async def test_a_refusal_is_told_and_tried_again_with_backoff(world: World) -> None:
    world.cluster.on_write = refuse("create Secret", Forbidden("exceeded quota", code=403, reason="Forbidden"))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(600)

        assert world.conditions() == {"Ready": ("Unknown", "Forbidden"), "Reconciling": ("True", "Forbidden")}
        assert world.cluster.writes == ["patch status Widget wheel"]
        assert world.notes.sent == [("Warning", "Forbidden")]
        assert 15 <= world.reconciler.plans <= 20

        world.cluster.on_write = lambda _: None
        await world.clock.advance(600)
        assert world.conditions() == {"Ready": ("True", "Applied")}


async def test_a_success_makes_the_next_failure_the_first(world: World) -> None:
    world.fails_with(RuntimeError("broken"))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(30)
        world.reconciler.before_plan = lambda _: None
        await world.clock.advance(30)
        assert world.conditions() == {"Ready": ("True", "Applied")}

        world.fails_with(RuntimeError("broken again"))
        plans = world.reconciler.plans
        world.cluster.edit(WIDGET, "wheel", {"spec": {"replicas": 2}})
        await world.clock.advance(0.02)

    assert world.reconciler.plans >= plans + 3


async def test_a_bug_costs_its_own_key_alone(world: World) -> None:
    def fail(observed: Any) -> None:
        if observed.widget["metadata"]["name"] == "poisoned":
            raise KeyError("spec")

    world.reconciler.before_plan = fail
    world.cluster.add(a_widget("poisoned"), a_widget("wheel"))
    async with world.controller():
        await world.clock.advance(60)

    assert world.conditions("wheel") == {"Ready": ("True", "Applied")}
    assert world.conditions("poisoned")["Reconciling"] == ("True", "InternalError")
    assert world.count("controller_runtime_reconcile_panics_total") > 5


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({"conditions": "none"}, id="conditions that are no list"),
        pytest.param({"conditions": ["none", {"type": "Ready"}, {"status": "True"}]}, id="conditions that are none"),
        pytest.param({"conditions": {"type": "Ready"}}, id="one condition"),
        pytest.param("none", id="status that is no object"),
        pytest.param(["none"], id="status that is a list"),
    ],
)
async def test_a_status_that_no_schema_would_let_in_is_replaced_and_costs_nobody_else(
    world: World, status: Any
) -> None:
    """It may be in etcd all the same; and a failure is told in the very status."""

    def fail(observed: Any) -> None:
        if observed.widget["metadata"]["name"] == "poisoned":
            raise Stalled("InvalidObject", "status: should be an object")

    world.reconciler.before_plan = fail
    world.cluster.add(a_widget("poisoned") | {"status": status})
    async with world.controller():
        world.cluster.add(a_widget())
        await world.clock.advance(60)

    assert world.conditions("poisoned") == {"Ready": ("False", "InvalidObject"), "Stalled": ("True", "InvalidObject")}
    assert world.conditions() == {"Ready": ("True", "Applied")}


async def test_a_failure_that_cannot_be_told_costs_its_own_key_alone(
    world: World, logged: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise TypeError("a bug in telling")

    monkeypatch.setattr("aurora_controller.kube.controller.failure_status", broken)
    world.fails_with(RuntimeError("broken"))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(60)
        failures = world.reconciler.plans
        world.reconciler.before_plan = lambda _: None
        await world.clock.advance(60)

        assert world.conditions() == {"Ready": ("True", "Applied")}
    assert failures > 5
    assert "failure not told" in {entry["event"] for entry in logged}


async def test_a_poisoned_key_backs_off_to_a_minute_and_more_and_starves_nobody(world: World) -> None:
    tries: list[float] = []

    def fail(observed: Any) -> None:
        if observed.widget["metadata"]["name"] == "poisoned":
            tries.append(world.clock.monotonic())
            raise KeyError("spec")

    world.reconciler.before_plan = fail
    world.cluster.add(a_widget("poisoned"))
    async with world.controller(workers=1):
        await world.clock.advance(600)
        world.cluster.add(a_widget())
        for replicas in range(10):
            world.cluster.edit(WIDGET, "wheel", {"spec": {"replicas": replicas}})
            await settle()
            assert world.cluster.live(DEPLOYMENT, "wheel")["spec"]["replicas"] == replicas
        await world.clock.advance(3000)

    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert pauses[-1] >= 60
    assert max(pauses) <= 1000
    assert len(tries) <= 22


async def test_an_error_that_words_itself_anew_each_time_is_no_write_each_time(world: World) -> None:
    attempts = itertools.count()

    def fail(_: Any) -> None:
        raise RuntimeError(f"attempt {next(attempts)}")

    world.reconciler.before_plan = fail
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(60)

    assert len(world.cluster.writes) <= 6


async def test_a_server_that_is_away_for_a_moment_is_nothing_to_tell(world: World) -> None:
    world.cluster.on_write = refuse("create Secret", ServerError("etcd is away", code=503))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(0.5)
        assert world.conditions() == {}

        await world.clock.advance(10)
        assert world.conditions()["Reconciling"] == ("True", "ServerError")


async def test_a_server_that_says_when_to_come_back_is_obeyed(world: World) -> None:
    world.cluster.on_write = refuse("create Secret", ServerError("busy", code=503, retry_after_seconds=60))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(59)
        assert world.reconciler.plans == 1

        await world.clock.advance(1)
        assert world.reconciler.plans == 2


async def test_a_terminating_namespace_ends_a_reconcile_quietly(world: World) -> None:
    world.cluster.on_write = refuse("create", NamespaceTerminating("being terminated", code=403, reason="Forbidden"))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(600)

    assert world.reconciler.plans == 1
    assert world.conditions() == {}
    assert world.count("controller_runtime_reconcile_errors_total") == 0


async def test_a_strangers_child_is_an_owner_conflict_until_it_is_gone(world: World) -> None:
    stranger = world.cluster.add(a_widget("stranger"))
    service = child(stranger, SERVICE, spec={"port": 1})
    service["metadata"]["name"] = "wheel"
    world.cluster.add(service, a_widget())
    async with world.controller():
        await world.clock.advance(1)
        assert world.conditions()["Ready"] == ("False", "OwnerConflict")
        assert world.cluster.live(SERVICE, "wheel")["spec"] == {"port": 1}

        world.cluster.remove(SERVICE, "wheel")
        await world.clock.advance(30)

        assert world.conditions() == {"Ready": ("True", "Applied")}


async def test_a_reconcile_that_hangs_is_stopped_and_told(world: World) -> None:
    async def hang(request: Request) -> None:
        await asyncio.Event().wait()

    world.cluster.add(a_widget())
    async with world.controller(timeout_seconds=20) as controller:
        controller._own_writes.ready = hang  # type: ignore[method-assign]
        world.cluster.edit(WIDGET, "wheel", {"spec": {"replicas": 2}})
        await world.clock.advance(21)

        assert world.conditions()["Reconciling"] == ("True", "DeadlineExceeded")
        assert world.count("controller_runtime_reconcile_timeouts_total") == 1


async def test_a_watched_object_that_a_mapping_cannot_read_does_not_stop_the_others(world: World) -> None:
    async with world.controller():
        odd = child(a_widget("odd") | {"metadata": {"namespace": "team", "name": "odd", "uid": "x"}}, SERVICE)
        odd["metadata"]["ownerReferences"] = [{"controller": True}]
        world.cluster.add(odd)
        world.cluster.add(a_widget())
        await settle()

    assert world.conditions() == {"Ready": ("True", "Applied")}


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
        series = [
            REGISTRY.get_sample_value(
                "controller_runtime_reconcile_total", {"controller": world.reconciler.name, "result": result}
            )
            for result in ("error", "requeue_after", "requeue", "success")
        ]

    assert series == [0, 0, 0, 0]
    assert world.count("controller_runtime_max_concurrent_reconciles") == 3
    assert world.count("workqueue_depth", name=world.reconciler.name, priority="0") == 0
