"""The state machine of a change of revision. Pure: state and facts → next state.

    Idle ─ target differs ─► Starting ─ canary is ready ─► Canary ─ promote ─► Scaling ─ full capacity is ready ─┐
      ▲                          └────────── abort, or another target ──────────┴─► Aborting ─┐                  ▼
      │                                                                                       │              Switching
      ├───────────────────────────── canary's routing is gone ────────────────────────────────┘                  │
      └── canary's routing is gone ── Unrouting ◄── router has had its time ── Settling ◄── only new endpoints ──┘

One transition at a time: its writes and the new state are visible before the next. What the world should look like
follows from the state alone (``world.py``), so a controller that died between a write and the status arrives at the
same decision again. A revision that was never available is replaced directly. From Switching on the way leads forward,
unless the new pods are lost while the old ones are still there.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from aurora_controller.api.v1alpha1.mldeployment import HistoryEntry, LastRequest, RolloutPhase
from aurora_controller.kube.clock import format_time
from aurora_controller.rollout.facts import Facts
from aurora_controller.rollout.leaving import leave, noted_leaving
from aurora_controller.rollout.requests import Action, answer
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.state import SWITCHED, GivenUp, State
from aurora_controller.rollout.world import STABLE_RESTORE_SECONDS

ABORT_DRAIN_SECONDS: Final = 30.0
"""A canary that was given up leaves by then, whatever its counters say."""
WINDOW_DRAIN_SECONDS: Final = 60.0
"""A replaced revision leaves by this time after its rollback window."""
STABLE_LOST_SECONDS: Final = 30.0
"""Without a ready pod for so long, stable is given up for a ready canary: longer than a pod takes to be replaced."""
DRAIN_LOOK_SECONDS: Final = 4.0
"""Between two looks at the counters of a revision that is leaving."""
_SLACK_SECONDS: Final = 0.1
"""A moment is looked at when it has passed for sure."""
_TIMED: Final = (RolloutPhase.SETTLING, RolloutPhase.UNROUTING, RolloutPhase.ABORTING)
_FIRST: Final = "The first revision became available."
_STARTING_SECONDS: Final = 600.0
_WATCHED_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Step:
    """The next state, and what there is to tell."""

    state: State
    ended: tuple[HistoryEntry, ...] = ()
    """Rollouts that ended with this step."""
    told: LastRequest | None = None
    """What became of a promote or abort request; None when there is nothing new to say."""
    is_opening: bool = False
    """Whether a rollout begins."""


def next_step(state: State, facts: Facts, now: datetime) -> Step:
    """At most one transition."""
    state = _noted(_repaired(state, facts, now), facts, now)
    answered = answer(facts.asked, state, facts.history)
    step = _transition(state, facts, answered.action, now)
    return replace(step, state=noted_leaving(step.state, facts, now), told=answered.told)


def deadline_seconds(phase: RolloutPhase, settle_seconds: float) -> float | None:
    """How long a phase may take before it is reported as stuck; a canary on trial waits for people."""
    match phase:
        case RolloutPhase.STARTING | RolloutPhase.SCALING:
            return _STARTING_SECONDS
        case RolloutPhase.SWITCHING | RolloutPhase.SETTLING | RolloutPhase.UNROUTING:
            return _WATCHED_SECONDS + settle_seconds
        case RolloutPhase.ABORTING:
            return _WATCHED_SECONDS + STABLE_RESTORE_SECONDS + settle_seconds
        case _:
            return None


def seconds_to_next_step(state: State, facts: Facts, now: datetime) -> float | None:
    """When time alone may bring a transition or something to report, if nothing happens before."""
    moments = [one.until if now < one.until else one.deadline for one in state.leaving]
    limit = deadline_seconds(state.phase, facts.settle_seconds)
    waits = [facts.settle_seconds, STABLE_RESTORE_SECONDS] if state.phase in _TIMED else []
    moments += [state.since + timedelta(seconds=seconds) for seconds in [*waits, *([limit] if limit else [])]]
    if state.weight_since is not None and state.phase in _TIMED:
        moments.append(state.weight_since + timedelta(seconds=facts.settle_seconds))
    if state.stable_lost_since is not None and state.canary is not None:
        moments.append(state.stable_lost_since + timedelta(seconds=STABLE_LOST_SECONDS))
    left = [(moment - now).total_seconds() for moment in moments]
    waits = [seconds + _SLACK_SECONDS for seconds in left if seconds > -_SLACK_SECONDS]
    if any(now >= one.until for one in state.leaving):
        waits.append(DRAIN_LOOK_SECONDS)
    return min(waits, default=None)


def _transition(state: State, facts: Facts, action: Action | None, now: datetime) -> Step:
    if state.stable is None:
        return _begin(state, facts, now)
    match state.phase:
        case RolloutPhase.SCALING:
            return Step(state=_scaling(state, facts, action, now))
        case RolloutPhase.SWITCHING | RolloutPhase.SETTLING | RolloutPhase.UNROUTING:
            return _switched(state, facts, now)
        case RolloutPhase.ABORTING:
            return _aborting(state, facts, now)
        case _ if state.canary is not None:
            return Step(state=_on_trial(state, facts, action, now))
        case _:
            return _without_canary(state, facts, now)


def _repaired(state: State, facts: Facts, now: datetime) -> State:
    """Puts right what a lost status write, or somebody else's hand, left behind."""
    if state.canary is not None and state.stable is not None and state.canary.name == state.stable.name:
        state = replace(state, canary=None)
    if state.canary is None:
        known = (RolloutPhase.IDLE, RolloutPhase.STARTING, RolloutPhase.ABORTING)
        return state if state.phase in known else state.enter(RolloutPhase.IDLE, now)
    if state.phase is RolloutPhase.IDLE:
        return state.enter(RolloutPhase.STARTING, now)
    if state.phase is RolloutPhase.SCALING and facts.selected == state.canary.name:
        return state.enter(RolloutPhase.SWITCHING, now)
    return state


def _noted(state: State, facts: Facts, now: datetime) -> State:
    """What time and pods tell, whatever the phase."""
    available = state.was_available or (state.stable is not None and facts.stable.has_served)
    lost_since = None
    if available and state.phase not in SWITCHED and facts.stable.ready == 0:
        lost_since = state.stable_lost_since or now
    return replace(state, was_available=available, stable_lost_since=lost_since)


def _begin(state: State, facts: Facts, now: datetime) -> Step:
    """Without history: what serves already, else what a first rollout begins with."""
    if facts.serving is not None:
        found = replace(state, stable=facts.serving, rollout=max(1, state.rollout))
        if facts.routed_canary is not None and facts.routed_canary.name != facts.serving.name:
            return Step(state=replace(found, canary=facts.routed_canary).enter(RolloutPhase.CANARY, now))
        # The status of a first rollout may be lost after its Service was written: it is still the first.
        is_first = facts.first is not None and facts.first.name == facts.serving.name
        decision = _FIRST if is_first else "It was found behind the stable Service."
        # Whether it was available will be noted next time; Starting is where that is waited for.
        return Step(state=found.enter(RolloutPhase.STARTING, now, decision=decision), is_opening=is_first)
    if facts.first is None:
        return Step(state=state)
    begun = replace(state, stable=facts.first, rollout=state.rollout + 1)
    begun = begun.enter(RolloutPhase.STARTING, now, decision=_FIRST)
    return Step(state=begun, is_opening=True)


def _without_canary(state: State, facts: Facts, now: datetime) -> Step:
    if facts.has_canary_route:
        return Step(state=state.enter(RolloutPhase.ABORTING, now, decision="A route of an earlier canary was left."))
    if not state.was_available:
        return _first_start(state, facts, now)
    if state.phase is not RolloutPhase.IDLE:
        is_told = any(entry.rollout == state.rollout for entry in facts.history)
        entry = _entry(state, state.stable, "Promoted", state.decision, now)
        return Step(state=_idle(state, now), ended=() if is_told else (entry,))
    target = facts.target
    if target is None:
        return Step(state=state)
    if not _is_pinned(state, target, facts):
        state = replace(state, given_up=None)
    is_wanted = state.given_up is None and state.stable is not None and target.name != state.stable.name
    if not is_wanted or facts.asked.is_paused:
        return Step(state=state)
    opened = replace(state, canary=target, rollout=state.rollout + 1, decision=None)
    return Step(state=opened.enter(RolloutPhase.STARTING, now), is_opening=True)


def _is_pinned(state: State, target: Revision, facts: Facts) -> bool:
    pin = state.given_up
    return pin is not None and (pin.revision, pin.asked_by) == (target.name, facts.asked_by)


def _first_start(state: State, facts: Facts, now: datetime) -> Step:
    """Nothing was ever available: what is asked for now takes the place directly."""
    state = _with_todays_image(state, facts)
    stable, target, first = state.stable, facts.target, facts.first
    # A first rollout may begin with another revision than the target, such as the champion: it has its chance.
    has_its_chance = (
        first is not None
        and stable is not None
        and first.name == stable.name
        and state.seconds_in_phase(now) <= _STARTING_SECONDS
    )
    is_new = target is not None and stable is not None and target.name != stable.name
    if not is_new or has_its_chance or facts.asked.is_paused:
        return Step(state=state if state.phase is RolloutPhase.STARTING else state.enter(RolloutPhase.STARTING, now))
    successor = target if first is None or (stable is not None and first.name == stable.name) else first
    entry = _entry(state, stable, "Replaced", "It was never available, and something else is asked for.", now)
    replaced = replace(state, stable=successor, rollout=state.rollout + 1)
    replaced = replaced.enter(RolloutPhase.STARTING, now, decision=_FIRST)
    return Step(state=replaced, ended=(entry,), is_opening=True)


def _with_todays_image(state: State, facts: Facts) -> State:
    """What held a first revision up may be the image of an earlier controller."""
    stable = state.stable
    today = next((one for one in (facts.first, facts.target) if one and stable and one.name == stable.name), None)
    if today is None or stable is None or today.image == stable.image:
        return state
    return replace(state, stable=replace(stable, image=today.image))


def _idle(state: State, now: datetime) -> State:
    return replace(state.enter(RolloutPhase.IDLE, now), decision=None)


def _on_trial(state: State, facts: Facts, action: Action | None, now: datetime) -> State:
    """Starting and Canary: people and git decide; readiness only moves between the two."""
    if action is Action.ABORT:
        return _abort(state, facts, now, "It was asked for by annotation.")
    # A rolling update that already answers is finished first: only the newest target follows it.
    if _is_replaced(state, facts) and not (facts.is_rolling and facts.canary.ready > 0):
        return state.enter(RolloutPhase.ABORTING, now, decision="The target changed.")
    reason = _why_promote(state, facts, action, now)
    if reason is not None and facts.canary.ready > 0:
        return state.enter(RolloutPhase.SCALING, now, decision=reason)
    if state.phase is RolloutPhase.STARTING and not facts.is_direct and facts.canary_has(facts.canary_pods):
        return state.enter(RolloutPhase.CANARY, now)
    return state


def _is_replaced(state: State, facts: Facts) -> bool:
    target = facts.target
    return target is not None and target.name != _name(state) and not facts.asked.is_paused


def _why_promote(state: State, facts: Facts, action: Action | None, now: datetime) -> str | None:
    if facts.asked.is_paused:
        return None
    if action is Action.PROMOTE:
        return "It was asked for by annotation."
    if facts.is_direct:
        return "spec.stableVersion asks for it." if facts.is_from_git else "It is promoted as soon as it is ready."
    if facts.canary_has(1) and _is_lost(state, now):
        return f"The stable revision had no ready pod for {STABLE_LOST_SECONDS:.0f} s."
    return None


def _is_lost(state: State, now: datetime) -> bool:
    since = state.stable_lost_since
    return since is not None and (now - since).total_seconds() >= STABLE_LOST_SECONDS


def _scaling(state: State, facts: Facts, action: Action | None, now: datetime) -> State:
    if action is Action.ABORT:
        return _abort(state, facts, now, "It was asked for by annotation.")
    if _is_replaced(state, facts) and (facts.canary.ready == 0 or state.seconds_in_phase(now) > _STARTING_SECONDS):
        return state.enter(RolloutPhase.ABORTING, now, decision="The target changed before it was at full capacity.")
    # With nothing behind stable, any ready pod is better than waiting for all of them.
    needed = 1 if _is_lost(state, now) else facts.full_capacity
    if facts.canary_has(needed) and not facts.asked.is_paused:
        return state.enter(RolloutPhase.SWITCHING, now)
    return state


def _switched(state: State, facts: Facts, now: datetime) -> Step:
    """Endpoints and time alone bring these phases on."""
    if facts.canary.pods_ready == 0 and facts.stable.pods_ready > 0:
        return Step(state=_abort(state, facts, now, "Its pods were lost during the promotion."))
    settled = state.seconds_in_phase(now) >= facts.settle_seconds
    match state.phase:
        case RolloutPhase.SWITCHING if facts.is_switched:
            return Step(state=state.enter(RolloutPhase.SETTLING, now))
        case RolloutPhase.SETTLING if not facts.is_switched:
            return Step(state=state.enter(RolloutPhase.SWITCHING, now))
        case RolloutPhase.SETTLING if settled:
            return Step(state=state.enter(RolloutPhase.UNROUTING, now))
        case RolloutPhase.UNROUTING if not facts.has_canary_route:
            return _promoted(state, facts, now)
    return Step(state=state)


def _promoted(state: State, facts: Facts, now: datetime) -> Step:
    entry = _entry(state, state.canary, "Promoted", state.decision, now)
    moved = replace(state, stable=state.canary, canary=None, was_available=True, given_up=None, stable_lost_since=None)
    window = facts.rollback_window_seconds
    done = leave(moved, state.stable, now=now, window=window, drain=WINDOW_DRAIN_SECONDS)
    return Step(state=_idle(done, now), ended=(entry,))


def _abort(state: State, facts: Facts, now: datetime, reason: str) -> State:
    """The canary is pinned: it is not tried again before something else is asked for."""
    canary = state.canary
    if canary is not None:
        pin = GivenUp(
            revision=canary.name, version=canary.version, rollout=state.rollout, at=now, asked_by=facts.asked_by
        )
        state = replace(state, given_up=pin)
    return state.enter(RolloutPhase.ABORTING, now, decision=reason)


def _aborting(state: State, facts: Facts, now: datetime) -> Step:
    if facts.has_canary_route:
        return Step(state=state)
    ended: tuple[HistoryEntry, ...] = ()
    if state.canary is not None:
        is_pinned = state.given_up is not None and state.given_up.rollout == state.rollout
        ended = (_entry(state, state.canary, "Aborted" if is_pinned else "Replaced", state.decision, now),)
    done = leave(replace(state, canary=None), state.canary, now=now, window=0.0, drain=ABORT_DRAIN_SECONDS)
    return Step(state=_idle(done, now), ended=ended)


def _name(state: State) -> str:
    return state.canary.name if state.canary is not None else ""


def _entry(state: State, revision: Revision | None, outcome: str, reason: str | None, now: datetime) -> HistoryEntry:
    return HistoryEntry(
        rollout=state.rollout,
        revision=revision.name if revision is not None else "",
        version=revision.version if revision is not None else 0,
        outcome=outcome,
        reason=reason or "",
        at=format_time(now),
    )
