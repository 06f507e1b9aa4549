"""Single decisions, in situations that the world brings about only by bad luck."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aurora_controller.api.v1alpha1.mldeployment import MLDeploymentStatus, ObservedTraffic, RolloutPhase
from aurora_controller.kube.clock import format_time
from aurora_controller.kube.meta import INGRESS, SECRET, Manifest
from aurora_controller.kube.reconcile import Apply, Create, Delete
from aurora_controller.rollout.facts import Facts, RevisionFacts
from aurora_controller.rollout.leaving import leave, noted_leaving
from aurora_controller.rollout.plan import next_step
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.state import State, count_in, remembered
from aurora_controller.rollout.world import canary_weight, world
from aurora_controller.traffic.router import Split
from tests.unit.controller.rollout.world import NAME, a_world_with_a_canary

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
ONE = Revision(name="1-a", version=1, digest="sha256:1")
TWO = Revision(name="2-b", version=2, digest="sha256:2")
THREE = Revision(name="3-c", version=3, digest="sha256:3")
GOOD = RevisionFacts(ready=2, available=2, pods_ready=2, asked=2)
ROUTED = Split(stable_service="m", canary_service="m-2-b", canary_weight=10)


def a_state(phase: RolloutPhase, *, seconds: float = 0, **given: Any) -> State:
    """A canary of version 2 beside version 1, ``seconds`` into its phase."""
    since = NOW - timedelta(seconds=seconds)
    defaults: dict[str, Any] = {"stable": ONE, "canary": TWO, "was_available": True, "rollout": 2}
    return State(phase=phase, since=since, weight_since=since, **defaults | given)


def facts(**given: Any) -> Facts:
    defaults: dict[str, Any] = {
        "target": TWO,
        "stable": GOOD,
        "canary": GOOD,
        "replicas": 2,
        "route": ROUTED,
        "route_leads_to_canary": True,
        "selected": "1-a",
        "existing": {"1-a": GOOD, "2-b": GOOD},
    }
    return Facts(**defaults | given)


def test_a_service_that_was_switched_before_the_status_was_written_is_not_switched_back() -> None:
    """Even when the new revision is a pod short by then."""
    short = replace(GOOD, ready=1, available=1)
    step = next_step(a_state(RolloutPhase.SCALING), facts(selected="2-b", canary=short), NOW)
    assert step.state.phase is RolloutPhase.SWITCHING
    assert world(step.state, facts(selected="2-b", canary=short), NOW).selected == "2-b"


def test_settling_begins_when_the_endpoints_have_followed_and_not_before() -> None:
    waiting = next_step(a_state(RolloutPhase.SWITCHING, seconds=50), facts(selected="2-b", is_switched=False), NOW)
    assert waiting.state.phase is RolloutPhase.SWITCHING
    followed = next_step(a_state(RolloutPhase.SWITCHING, seconds=50), facts(selected="2-b", is_switched=True), NOW)
    assert followed.state.phase is RolloutPhase.SETTLING


def test_endpoints_of_the_old_revision_that_come_back_are_waited_for_again() -> None:
    step = next_step(a_state(RolloutPhase.SETTLING, seconds=4), facts(selected="2-b", is_switched=False), NOW)
    assert step.state.phase is RolloutPhase.SWITCHING


@pytest.mark.parametrize("phase", [RolloutPhase.UNROUTING, RolloutPhase.ABORTING])
def test_a_route_is_not_removed_while_it_has_weight_by_whatever_hand(phase: RolloutPhase) -> None:
    state = a_state(phase, seconds=60, weight=0)
    assert canary_weight(state, facts(), NOW) == 0
    assert canary_weight(state, facts(route=replace(ROUTED, canary_weight=0)), NOW) is None


def test_a_rolling_update_that_answers_is_finished_before_the_next_one() -> None:
    now_newer = facts(target=THREE, is_rolling=True, route=None)
    assert next_step(a_state(RolloutPhase.STARTING), now_newer, NOW).state.phase is RolloutPhase.SCALING
    not_yet = replace(now_newer, canary=replace(GOOD, ready=0))
    assert next_step(a_state(RolloutPhase.STARTING), not_yet, NOW).state.phase is RolloutPhase.ABORTING


def test_a_stamp_of_a_clock_that_runs_ahead_does_not_hold_a_phase_up() -> None:
    ahead = MLDeploymentStatus(phase=RolloutPhase.SETTLING, phase_since=format_time(NOW + timedelta(hours=1)))
    state = remembered(ahead, NOW)
    assert state.seconds_in_phase(NOW) == 0


def test_a_clock_that_was_ahead_keeps_nothing_longer_than_for_its_window() -> None:
    state = leave(a_state(RolloutPhase.IDLE, canary=None), TWO, now=NOW + timedelta(hours=1), window=30, drain=60)
    [leaving] = noted_leaving(state, facts(existing={TWO.name: GOOD}), NOW).leaving
    assert (leaving.until, leaving.deadline) == (NOW + timedelta(seconds=30), NOW + timedelta(seconds=90))


def test_a_clock_that_was_ahead_does_not_hold_a_count_up() -> None:
    ahead = format_time(NOW + timedelta(hours=1))
    count = count_in(ObservedTraffic(canary_percent="0.0", requests=0, canary_requests=0, since=ahead, at=ahead), NOW)
    assert count is not None
    assert (count.since, count.at) == (NOW, NOW)


@pytest.mark.parametrize("phase", [RolloutPhase.CANARY, RolloutPhase.SWITCHING, RolloutPhase.UNROUTING])
def test_a_phase_without_the_canary_that_it_is_about_is_given_up(phase: RolloutPhase) -> None:
    step = next_step(a_state(phase, canary=None), facts(target=ONE, route=None), NOW)
    assert (step.state.phase, step.state.canary) == (RolloutPhase.IDLE, None)


def test_a_canary_that_is_stable_already_is_none() -> None:
    step = next_step(a_state(RolloutPhase.CANARY, canary=ONE), facts(target=ONE, route=None), NOW)
    assert (step.state.phase, step.state.canary) == (RolloutPhase.IDLE, None)


def test_nothing_moves_while_the_target_cannot_be_had() -> None:
    for phase in (RolloutPhase.STARTING, RolloutPhase.CANARY):
        step = next_step(a_state(phase), facts(target=None, canary=RevisionFacts()), NOW)
        assert (step.state.phase, step.state.canary) == (phase, TWO)


async def test_traffic_is_taken_off_a_canary_before_anything_else_is_written() -> None:
    """What fails to be written cannot hold it up then."""
    in_trouble = await a_world_with_a_canary()
    in_trouble.remove(SECRET, f"{NAME}-api-keys")
    in_trouble.edit(replicas=5)
    in_trouble.crash(in_trouble.pods(in_trouble.revision("canary"))[0], times=2)
    in_trouble.act()
    in_trouble.restart()  # a new process does not know that there was a Secret
    _, plan = await in_trouble.plan()
    writes = [write for write in plan.writes if isinstance(write, Create | Apply)]
    assert writes[0].manifest["metadata"]["name"] == f"{NAME}-canary"
    assert writes[1].manifest["kind"] == "Secret"


async def test_what_is_being_deleted_already_is_not_deleted_again() -> None:
    stuck = await a_world_with_a_canary()
    stuck.request("abort")
    await stuck.tick(0)
    stuck.edit_child(INGRESS, f"{NAME}-canary", {"metadata": {"deletionTimestamp": "2026-11-23T10:00:00Z"}})
    stuck.clock.at += timedelta(seconds=30)
    _, plan = await stuck.plan()
    deleted: list[Manifest] = [write.existing for write in plan.writes if isinstance(write, Delete)]
    assert deleted == []
