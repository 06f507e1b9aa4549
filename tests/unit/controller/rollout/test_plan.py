"""The state machine, one transition at a time."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from aurora_controller.api.v1alpha1.mldeployment import RolloutPhase, StrategyType
from aurora_controller.rollout.plan import Facts, GivenUp, Leaving, State, canary_weight, next_step
from aurora_controller.rollout.revision import Revision

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
OLD = Revision(name="1-aaaaaaaa", version=1, digest="sha256:1")
NEW = Revision(name="2-bbbbbbbb", version=2, digest="sha256:2")
NEWER = Revision(name="3-cccccccc", version=3, digest="sha256:3")
IDLE = State(rollout=1, since=NOW - timedelta(minutes=5), stable=OLD)
ON_TRIAL = replace(IDLE, rollout=2, phase=RolloutPhase.CANARY, canary=NEW)
HEALTHY = Facts(target=NEW, stable_ready=2, stable_replicas=2, replicas=2, canary_ready=1, canary_endpoints=1)


def phase_after(state: State, facts: Facts) -> RolloutPhase:
    return next_step(state, facts, NOW).state.phase


def test_a_new_target_opens_a_numbered_rollout() -> None:
    state = next_step(IDLE, Facts(target=NEW), NOW).state
    assert (state.phase, state.canary, state.rollout) == (RolloutPhase.STARTING, NEW, 2)


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        pytest.param(IDLE, Facts(target=OLD), id="nothing differs"),
        pytest.param(IDLE, Facts(target=None), id="the target cannot be had"),
        pytest.param(IDLE, Facts(target=NEW, is_paused=True), id="paused"),
        pytest.param(
            replace(IDLE, given_up=GivenUp(revision=NEW.name, rollout=1, at=NOW)),
            Facts(target=NEW),
            id="the target was aborted",
        ),
    ],
)
def test_no_rollout_is_opened(state: State, facts: Facts) -> None:
    assert next_step(state, facts, NOW).state == state


def test_an_aborted_revision_does_not_hold_back_the_next_one() -> None:
    state = replace(IDLE, given_up=GivenUp(revision=NEW.name, rollout=1, at=NOW))
    after = next_step(state, Facts(target=NEWER), NOW).state
    assert (after.canary, after.given_up) == (NEWER, None)


def test_a_revision_becomes_stable_when_it_has_been_available_once() -> None:
    first = State(rollout=1, phase=RolloutPhase.STARTING, since=NOW, canary=OLD)
    step = next_step(first, Facts(target=OLD, canary_ready=1, canary_endpoints=1), NOW)
    assert (step.state.stable, step.state.canary, step.state.phase) == (OLD, None, RolloutPhase.IDLE)


def test_until_then_a_newer_target_replaces_it_directly() -> None:
    first = State(rollout=1, phase=RolloutPhase.STARTING, since=NOW, canary=OLD)
    assert next_step(first, Facts(target=NEW), NOW).state.canary == NEW


@pytest.mark.parametrize(
    ("facts", "phase"),
    [
        pytest.param(HEALTHY, RolloutPhase.CANARY, id="a ready canary is held on trial"),
        pytest.param(
            replace(HEALTHY, canary_endpoints=0), RolloutPhase.STARTING, id="a canary without endpoints starts again"
        ),
        pytest.param(
            replace(HEALTHY, canary_is_crashing=True), RolloutPhase.STARTING, id="a crashing canary starts again"
        ),
        pytest.param(
            replace(HEALTHY, promote="2-bbbbbbbb@2"), RolloutPhase.SCALING, id="promote brings it to capacity"
        ),
        pytest.param(
            replace(HEALTHY, promote="2-bbbbbbbb@2", canary_ready=2),
            RolloutPhase.SWITCHING,
            id="full capacity switches",
        ),
        pytest.param(replace(HEALTHY, stable_version=2, canary_ready=2), RolloutPhase.SWITCHING, id="git promotes"),
        pytest.param(
            replace(HEALTHY, strategy=StrategyType.ROLLING_UPDATE, canary_ready=2),
            RolloutPhase.SWITCHING,
            id="a rolling update promotes itself",
        ),
        pytest.param(
            replace(HEALTHY, stable_ready=0), RolloutPhase.SWITCHING, id="a ready canary replaces a stable without pods"
        ),
        pytest.param(
            replace(HEALTHY, promote="2-bbbbbbbb@1"), RolloutPhase.CANARY, id="another rollout's word is none"
        ),
        pytest.param(
            replace(HEALTHY, promote="2-bbbbbbbb@2", is_paused=True), RolloutPhase.CANARY, id="paused holds promotion"
        ),
        pytest.param(
            replace(HEALTHY, promote="2-bbbbbbbb@2", abort="2-bbbbbbbb@2"), RolloutPhase.ABORTING, id="abort wins"
        ),
        pytest.param(
            replace(HEALTHY, abort="2-bbbbbbbb@2", is_paused=True), RolloutPhase.ABORTING, id="abort works while paused"
        ),
        pytest.param(replace(HEALTHY, target=NEWER), RolloutPhase.ABORTING, id="a newer target replaces the canary"),
        pytest.param(replace(HEALTHY, target=None), RolloutPhase.CANARY, id="a lost target changes nothing"),
    ],
)
def test_a_canary_on_trial(facts: Facts, phase: RolloutPhase) -> None:
    assert phase_after(ON_TRIAL, facts) is phase


def test_a_request_that_does_not_count_says_what_to_write() -> None:
    request = next_step(ON_TRIAL, replace(HEALTHY, promote="1-aaaaaaaa@1"), NOW).request
    assert request is not None
    assert not request.accepted
    assert "2-bbbbbbbb@2" in request.message


def test_promotion_goes_through_every_phase_in_order() -> None:
    facts = replace(HEALTHY, promote="2-bbbbbbbb@2", canary_ready=2)
    state, now, phases = ON_TRIAL, NOW, []
    for switched in (False, False, True, True, True, True, True):
        state = next_step(state, replace(facts, is_switched=switched), now).state
        phases.append(state.phase)
        now += timedelta(seconds=6)
    assert phases == [
        RolloutPhase.SWITCHING,
        RolloutPhase.SWITCHING,
        RolloutPhase.SETTLING,
        RolloutPhase.UNROUTING,
        RolloutPhase.IDLE,
        RolloutPhase.IDLE,
        RolloutPhase.IDLE,
    ]
    assert (state.stable, state.canary) == (NEW, None)
    assert state.leaving is not None
    assert state.leaving.revision == OLD


def test_endpoints_of_the_old_revision_that_come_back_are_settled_anew() -> None:
    settling = replace(ON_TRIAL, phase=RolloutPhase.SETTLING, since=NOW - timedelta(seconds=60))
    assert phase_after(settling, replace(HEALTHY, is_switched=False)) is RolloutPhase.SWITCHING


def test_an_aborted_canary_is_pinned_and_leaves_after_the_router_has_settled() -> None:
    aborted = next_step(ON_TRIAL, replace(HEALTHY, abort="2-bbbbbbbb@2"), NOW).state
    assert phase_after(aborted, HEALTHY) is RolloutPhase.ABORTING
    step = next_step(aborted, HEALTHY, NOW + timedelta(seconds=5))
    assert (step.state.phase, step.state.canary) == (RolloutPhase.IDLE, None)
    assert step.state.leaving is not None
    assert step.state.leaving.revision == NEW
    assert step.state.given_up is not None
    assert [entry.outcome for entry in step.history] == ["Aborted"]


@pytest.mark.parametrize(
    ("seconds", "is_idle", "is_kept"),
    [
        pytest.param(10, True, True, id="within the window it is kept whatever its counters say"),
        pytest.param(31, True, False, id="after the window it leaves when its counters stand still"),
        pytest.param(31, False, True, id="it is kept while it still answers"),
        pytest.param(91, False, False, id="but not for ever"),
    ],
)
def test_a_replaced_revision_leaves(seconds: int, is_idle: bool, is_kept: bool) -> None:
    state = replace(IDLE, leaving=Leaving(revision=NEW, until=NOW + timedelta(seconds=30)))
    after = next_step(state, Facts(target=OLD, leaving_is_idle=is_idle), NOW + timedelta(seconds=seconds)).state
    assert (after.leaving is not None) is is_kept


@pytest.mark.parametrize(
    ("state", "facts", "weight"),
    [
        pytest.param(ON_TRIAL, HEALTHY, 10, id="on trial"),
        pytest.param(ON_TRIAL, replace(HEALTHY, canary_endpoints=0), 0, id="no ready endpoint, no weight"),
        pytest.param(ON_TRIAL, replace(HEALTHY, canary_is_crashing=True), 0, id="crashing, no weight"),
        pytest.param(ON_TRIAL, replace(HEALTHY, is_routed=False), 0, id="not routed"),
        pytest.param(replace(ON_TRIAL, phase=RolloutPhase.STARTING), HEALTHY, 0, id="starting"),
        pytest.param(replace(ON_TRIAL, phase=RolloutPhase.UNROUTING), HEALTHY, 0, id="weight 0 before routing goes"),
        pytest.param(replace(ON_TRIAL, phase=RolloutPhase.ABORTING), HEALTHY, 0, id="aborting"),
        pytest.param(replace(ON_TRIAL, stable=None), HEALTHY, 0, id="nothing to split with"),
    ],
)
def test_the_canary_has_weight_only_with_ready_endpoints(state: State, facts: Facts, weight: int) -> None:
    assert canary_weight(state, facts, 10) == weight
