"""What should exist for a state: which revision has how many pods, who is behind the stable Service, and the canary's
weight. Pure, and a function of state and facts alone, so that every reconcile repeats it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from aurora_controller.api.v1alpha1.mldeployment import RolloutPhase
from aurora_controller.rollout.facts import Facts
from aurora_controller.rollout.state import State

STABLE: Final = "stable"
CANARY: Final = "canary"
PREVIOUS: Final = "previous"
STABLE_RESTORE_SECONDS: Final = 60.0
"""An abort waits this long at most for stable to have a ready pod, before it takes the traffic off a working canary."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The desired state of the children."""

    roles: Mapping[str, str]
    """Revision → role, for every revision that has a Deployment."""
    replicas: Mapping[str, int]
    selected: str | None
    """Revision behind the stable Service; None creates no Service."""
    canary_service: str | None
    """Revision that has a Service of its own."""
    canary_weight: int | None
    """None routes to stable alone."""
    left_service: str | None = None
    """Service of a canary that nobody remembers: it stays until its route is gone."""


def weighed(state: State, facts: Facts, now: datetime) -> State:
    """With the weight that the canary is to get now, and since when."""
    weight = canary_weight(state, facts, now) or 0
    if weight == state.weight:
        return state
    return replace(state, weight=weight, weight_since=now)


def world(state: State, facts: Facts, now: datetime) -> World:
    roles = _roles(state)
    weight = canary_weight(state, facts, now)
    return World(
        roles=roles,
        replicas={name: _replicas(name, role, state, facts) for name, role in roles.items()},
        selected=state.serving.name if state.serving is not None else None,
        canary_service=_canary_service(state, facts),
        canary_weight=weight,
        left_service=facts.route.canary_service if facts.route is not None and state.canary is None else None,
    )


def canary_weight(state: State, facts: Facts, now: datetime) -> int | None:
    """Percent that the canary is to get now; more than 0 only while it has ready endpoints."""
    # A canary's route begins with its trial; what takes over directly never has one.
    is_routed = facts.has_canary_route or state.phase is RolloutPhase.CANARY
    if state.stable is None or not facts.can_split or not is_routed:
        return None
    match state.phase:
        case RolloutPhase.CANARY | RolloutPhase.SCALING | RolloutPhase.SWITCHING | RolloutPhase.SETTLING:
            return _healthy_weight(facts)
        case RolloutPhase.STARTING:
            return 0
        case RolloutPhase.UNROUTING | RolloutPhase.ABORTING:
            return facts.routed_weight if is_restoring_stable(state, facts, now) else _unrouted(state, facts, now)
        case _:
            return None


def _healthy_weight(facts: Facts) -> int:
    """The asked weight, once as many pods as it takes are ready; less at once, and nothing for a broken canary."""
    if facts.canary.ready == 0 or facts.canary.is_crashing:
        return 0
    if facts.weight <= facts.routed_weight or facts.canary.ready >= facts.canary_pods:
        return facts.weight
    return facts.routed_weight


def _unrouted(state: State, facts: Facts, now: datetime) -> int | None:
    """0 until the router has had its time to follow, then no route at all."""
    is_zero = state.weight == 0 and facts.route is not None and facts.route.canary_weight == 0
    elapsed = min(state.seconds_in_phase(now), state.seconds_at_weight(now))
    return None if is_zero and elapsed >= facts.settle_seconds else 0


def is_restoring_stable(state: State, facts: Facts, now: datetime) -> bool:
    """Whether an abort still waits for stable to have a ready pod, as long as the canary answers."""
    return (
        state.phase is RolloutPhase.ABORTING
        and facts.routed_weight > 0
        and facts.stable.ready == 0
        and facts.canary.ready > 0
        and not facts.canary.is_crashing
        and state.seconds_in_phase(now) < STABLE_RESTORE_SECONDS
    )


def _roles(state: State) -> dict[str, str]:
    roles = {one.revision: PREVIOUS for one in state.leaving}
    if state.canary is not None:
        roles[state.canary.name] = CANARY
    if state.stable is not None:
        roles[state.stable.name] = STABLE
    return roles


def _replicas(name: str, role: str, state: State, facts: Facts) -> int:
    """A canary on trial has its share of the pods, a promoted one all of them before anything switches."""
    existing = facts.existing.get(name)
    if role == PREVIOUS:
        return existing.asked if existing is not None else facts.replicas
    if role == STABLE:
        return facts.replicas
    if state.phase is RolloutPhase.ABORTING:
        return existing.asked if existing is not None else 1
    if state.phase in (RolloutPhase.STARTING, RolloutPhase.CANARY) and not facts.is_direct:
        return facts.canary_pods
    return facts.full_capacity


def _canary_service(state: State, facts: Facts) -> str | None:
    """From the canary's first moment until its route is gone."""
    if state.canary is None:
        return None
    is_ending = state.phase in (RolloutPhase.UNROUTING, RolloutPhase.ABORTING)
    return None if is_ending and not facts.has_canary_route else state.canary.name
