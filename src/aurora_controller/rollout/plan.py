"""The state machine of a change of revision. Pure: state and facts → next state.

    Idle ─ target differs ─► Starting ─ canary has ready endpoints ─► Canary ─ promote ─► Scaling
      ▲                         │  ▲────── it lost them ───────────────┘                     │ full capacity is ready
      │                         └── abort, or a newer target ──► Aborting ──┐                ▼
      └────────────────────── Unrouting ◄─ settled ─ Settling ◄─ Switching ◄┼─────── stable Service re-pointed
                                  └──────────── settled ────────────────────┴─► Idle

A revision that was never available is no stable: until then the candidate is replaced directly. From Switching on
there is no way back but a new rollout, because the stable Service already points at the new revision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aurora_controller.api.v1alpha1.mldeployment import HistoryEntry, LastRequest, RolloutPhase, StrategyType
from aurora_controller.kube.clock import format_time
from aurora_controller.rollout.revision import Revision

DRAIN_LIMIT_SECONDS = 60.0
"""A replaced revision leaves this long after its window at the latest, whatever its counters say."""

ON_TRIAL = (RolloutPhase.STARTING, RolloutPhase.CANARY, RolloutPhase.SCALING)
SWITCHED = (RolloutPhase.SWITCHING, RolloutPhase.SETTLING, RolloutPhase.UNROUTING)


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """A revision without traffic that is kept warm until ``until``."""

    revision: Revision
    until: datetime


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """A revision that is not tried again while it is the target."""

    revision: str
    rollout: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class State:
    """What a rollout remembers, in the object's status."""

    rollout: int = 0
    phase: RolloutPhase = RolloutPhase.IDLE
    since: datetime
    stable: Revision | None = None
    canary: Revision | None = None
    leaving: Leaving | None = None
    given_up: GivenUp | None = None

    def enter(self, phase: RolloutPhase, now: datetime) -> "State":
        return self if phase is self.phase else replace(self, phase=phase, since=now)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is observed, as far as the next state depends on it."""

    target: Revision | None
    """What is asked for; None when it cannot be had."""
    first: Revision | None = None
    """What a deployment without history begins with instead."""
    is_paused: bool = False
    strategy: StrategyType = StrategyType.CANARY
    is_routed: bool = True
    """Whether a router splits traffic by weight."""
    replicas: int = 1
    stable_version: int | None = None
    promote: str | None = None
    abort: str | None = None
    stable_ready: int = 0
    stable_replicas: int = 0
    canary_ready: int = 0
    canary_endpoints: int = 0
    canary_is_crashing: bool = False
    is_switched: bool = False
    """The stable Service points at the canary, and only its pods are behind it."""
    leaving_is_idle: bool = False
    """Its counters stand still."""
    settle_seconds: float = 5.0
    rollback_window_seconds: float = 30.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """The next state, and what there is to tell."""

    state: State
    history: Sequence[HistoryEntry] = ()
    request: LastRequest | None = None


def next_step(state: State, facts: Facts, now: datetime) -> Step:
    """At most one transition; called again once its writes are visible."""
    state = _let_go(state, facts, now)
    if state.stable is None:
        return _first_revision(state, facts, now)
    if state.phase is RolloutPhase.IDLE:
        return _open(state, facts, now)
    if state.phase in ON_TRIAL:
        return _on_trial(state, facts, now)
    return _after_the_decision(state, facts, now)


def _after_the_decision(state: State, facts: Facts, now: datetime) -> Step:
    """Endpoints and time alone bring these phases on."""
    match state.phase:
        case RolloutPhase.SWITCHING if facts.is_switched:
            return Step(state=state.enter(RolloutPhase.SETTLING, now))
        case RolloutPhase.SETTLING if not facts.is_switched:  # endpoints of the old revision came back
            return Step(state=state.enter(RolloutPhase.SWITCHING, now))
        case RolloutPhase.SETTLING if _settled(state, facts, now):
            return Step(state=state.enter(RolloutPhase.UNROUTING, now))
        case RolloutPhase.UNROUTING if _settled(state, facts, now):
            return _promoted(state, facts, now)
        case RolloutPhase.ABORTING if _settled(state, facts, now):
            return _withdrawn(state, now)
    return Step(state=state)


def seconds_to_next_step(state: State, facts: Facts, now: datetime) -> float | None:
    """When time alone will bring the next transition."""
    if state.phase in (RolloutPhase.SETTLING, RolloutPhase.UNROUTING, RolloutPhase.ABORTING):
        return max(0.0, facts.settle_seconds - (now - state.since).total_seconds())
    return None


def _settled(state: State, facts: Facts, now: datetime) -> bool:
    """Routers have no acknowledgement for annotations: they are given time."""
    needed = facts.settle_seconds if facts.is_routed else 0.0
    return (now - state.since).total_seconds() >= needed


def _let_go(state: State, facts: Facts, now: datetime) -> State:
    """Forgets the leaving revision when nobody needs it any more."""
    leaving = state.leaving
    if leaving is None:
        return state
    over = now >= leaving.until and (
        facts.leaving_is_idle or now >= leaving.until + timedelta(seconds=DRAIN_LIMIT_SECONDS)
    )
    in_use = {revision.name for revision in (state.stable, state.canary) if revision is not None}
    return replace(state, leaving=None) if over or leaving.revision.name in in_use else state


def _first_revision(state: State, facts: Facts, now: datetime) -> Step:
    """Until one has been available once, the newest candidate takes the place directly."""
    if state.canary is not None and facts.canary_endpoints > 0:
        first = replace(state, stable=state.canary, canary=None)
        entry = _entry(state, "Promoted", "first revision that became available", now)
        return Step(state=first.enter(RolloutPhase.IDLE, now), history=(entry,))
    wanted = facts.first or facts.target
    if wanted is None or (state.canary is not None and state.canary.name == wanted.name):
        return Step(state=state)
    opened = replace(state, canary=wanted, rollout=state.rollout + 1, since=now, phase=RolloutPhase.STARTING)
    return Step(state=opened)


def _open(state: State, facts: Facts, now: datetime) -> Step:
    target = facts.target
    if target is None or state.stable is None or facts.is_paused or target.name == state.stable.name:
        return Step(state=state)
    if state.given_up is not None and state.given_up.revision == target.name:
        return Step(state=state)
    opened = replace(state, canary=target, given_up=None, rollout=state.rollout + 1)
    return Step(state=opened.enter(RolloutPhase.STARTING, now))


def _on_trial(state: State, facts: Facts, now: datetime) -> Step:
    canary = state.canary
    if canary is None:  # cannot happen by our own hand; a status written by somebody else is put right
        return Step(state=state.enter(RolloutPhase.IDLE, now))
    key = f"{canary.name}@{state.rollout}"
    request = _judge_request(facts, key)
    if facts.abort == key:
        given_up = GivenUp(revision=canary.name, rollout=state.rollout, at=now)
        return Step(state=replace(state, given_up=given_up).enter(RolloutPhase.ABORTING, now), request=request)
    if facts.target is not None and facts.target.name != canary.name:
        return Step(state=state.enter(RolloutPhase.ABORTING, now), request=request)
    if _wants_promotion(state, facts, key):
        return Step(state=_promoting(state, facts, now), request=request)
    has_traffic = facts.canary_endpoints > 0 and not facts.canary_is_crashing
    return Step(state=state.enter(RolloutPhase.CANARY if has_traffic else RolloutPhase.STARTING, now), request=request)


def _wants_promotion(state: State, facts: Facts, key: str) -> bool:
    if facts.is_paused or state.canary is None or state.stable is None:
        return False
    by_git = facts.stable_version == state.canary.version and facts.stable_version != state.stable.version
    instead_of_nothing = facts.stable_ready == 0 and facts.canary_endpoints > 0
    by_strategy = facts.strategy is StrategyType.ROLLING_UPDATE
    return facts.promote == key or by_git or by_strategy or instead_of_nothing


def _promoting(state: State, facts: Facts, now: datetime) -> State:
    full = facts.replicas if facts.stable_ready == 0 else max(facts.replicas, facts.stable_replicas)
    needed = min(full, facts.canary_ready) if facts.stable_ready == 0 else full
    is_ready = facts.canary_ready >= needed > 0 and facts.canary_endpoints > 0 and not facts.canary_is_crashing
    return state.enter(RolloutPhase.SWITCHING if is_ready else RolloutPhase.SCALING, now)


def _promoted(state: State, facts: Facts, now: datetime) -> Step:
    assert state.stable is not None  # noqa: S101  a switch needs something to switch from
    until = now + timedelta(seconds=facts.rollback_window_seconds)
    done = replace(
        state, stable=state.canary, canary=None, leaving=Leaving(revision=state.stable, until=until), given_up=None
    )
    return Step(
        state=done.enter(RolloutPhase.IDLE, now), history=(_entry(state, "Promoted", "all traffic switched", now),)
    )


def _withdrawn(state: State, now: datetime) -> Step:
    """The canary's routing goes now; its pods when their counters stand still."""
    assert state.canary is not None  # noqa: S101  only a canary is aborted
    aborted = state.given_up is not None and state.given_up.rollout == state.rollout
    entry = (
        _entry(state, "Aborted", "asked for by annotation", now)
        if aborted
        else _entry(state, "Replaced", "the target changed", now)
    )
    done = replace(state, canary=None, leaving=Leaving(revision=state.canary, until=now))
    return Step(state=done.enter(RolloutPhase.IDLE, now), history=(entry,))


def _entry(state: State, outcome: str, reason: str, now: datetime) -> HistoryEntry:
    assert state.canary is not None  # noqa: S101
    return HistoryEntry(
        rollout=state.rollout,
        revision=state.canary.name,
        version=state.canary.version,
        outcome=outcome,
        reason=reason,
        at=format_time(now),
    )


def _judge_request(facts: Facts, key: str) -> LastRequest | None:
    """What becomes of the annotations; abort wins."""
    for action, value in (("abort", facts.abort), ("promote", facts.promote)):
        if value == key:
            paused = action == "promote" and facts.is_paused
            message = "spec.paused holds it back" if paused else ""
            return LastRequest(action=action, value=value, accepted=not paused, message=message)
    for action, value in (("abort", facts.abort), ("promote", facts.promote)):
        if value is not None:
            return LastRequest(
                action=action, value=value, accepted=False, message=f"not the present canary; write {key!r}"
            )
    return None


def canary_weight(state: State, facts: Facts, asked: int) -> int:
    """Percent that the canary is to get now. More than 0 only with ready endpoints."""
    if state.stable is None or not facts.is_routed or state.canary is None:
        return 0
    if state.phase in (RolloutPhase.SWITCHING, RolloutPhase.SETTLING):
        return asked if facts.canary_endpoints > 0 else 0
    if state.phase in (RolloutPhase.CANARY, RolloutPhase.SCALING):
        return asked if facts.canary_endpoints > 0 and not facts.canary_is_crashing else 0
    return 0
