"""What a failure costs: it is told, tried again with patience, and paid by its own key alone."""

import asyncio
import itertools
from typing import Any

import pytest
from structlog.typing import EventDict

from aurora_controller.kube.errors import Forbidden, Invalid, NamespaceTerminating, ServerError
from aurora_controller.kube.meta import DEPLOYMENT, SERVICE
from aurora_controller.kube.reconcile import Request, Stalled, Waiting
from tests.unit.controller.kube.widgets import WIDGET, a_widget, child
from tests.unit.controller.kube.world import World, refuse
from tests.unit.fakes.clock import settle
from tests.unit.fakes.metrics import series


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


async def test_an_object_that_leads_to_no_request_is_counted_and_stops_no_other(world: World) -> None:
    """``requests`` of a watch meets every object of its kind."""
    skipped = {"kind": DEPLOYMENT.kind, "why": "no request"}
    before = sum(series("watch_events_skipped_total", **skipped))
    world.cluster.add(a_widget())
    async with world.controller() as controller:
        [odd] = [watch for watch in controller.watches if watch.kind == DEPLOYMENT]
        controller.on_change(odd, None, {"metadata": {"name": "odd", "ownerReferences": 5}})
        await settle()

        assert world.conditions() == {"Ready": ("True", "Applied")}
    assert series("watch_events_skipped_total", **skipped) == [before + 1]


@pytest.mark.parametrize(
    ("failure", "sent"),
    [
        pytest.param(
            Stalled("InvalidObject", "spec.size: odd"), [("Warning", "InvalidObject")], id="a person acts next"
        ),
        pytest.param(ValueError("odd"), [], id="tried again and again"),
    ],
)
async def test_what_no_status_can_tell_because_the_schema_stumbles_is_told_by_an_event(
    world: World, failure: Exception, sent: list[tuple[str, str]]
) -> None:
    """Validation rules that read a malformed field fail on every update of its object."""
    world.fails_with(failure)
    world.cluster.on_write = refuse("patch status", Invalid("expected int, got string", code=422, reason="Invalid"))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(60)

        assert world.notes.sent == sent


async def test_a_status_that_may_not_be_written_is_not_tried_twice_at_each_try(world: World) -> None:
    """Word of it would go to the very status."""
    tried: list[str] = []

    def forbid(line: str) -> None:
        if line.startswith("patch status"):
            tried.append(line)
            raise Forbidden("no rights", code=403, reason="Forbidden")

    world.cluster.on_write = forbid
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(9)
        assert len(tried) == world.reconciler.plans + 1


async def test_what_stalls_is_told_even_if_the_first_word_is_lost(world: World) -> None:
    """Nothing else asks again: it waits for an event of its own."""
    world.fails_with(Stalled("UnknownAlgorithm", "algorithm forest is unknown"))
    world.cluster.on_write = refuse("patch status", ServerError("etcd is away", code=500))
    world.cluster.add(a_widget())
    async with world.controller():
        await world.clock.advance(30)
        world.cluster.on_write = lambda _: None
        await world.clock.advance(60)

        assert world.conditions() == {"Ready": ("False", "UnknownAlgorithm"), "Stalled": ("True", "UnknownAlgorithm")}
        assert world.notes.sent == [("Warning", "UnknownAlgorithm")]
        plans = world.reconciler.plans
        await world.clock.advance(3600)
        assert world.reconciler.plans <= plans + 1
