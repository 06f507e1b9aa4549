"""What a rollout remembers, as values; and those values ↔ the object's status. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from aurora_controller.analysis.accounting import Count, Mark
from aurora_controller.api.v1alpha1.mldeployment import (
    Aborted,
    CountedPod,
    HistoryEntry,
    MLDeploymentStatus,
    ObservedTraffic,
    Previous,
    RevisionStatus,
    RolloutPhase,
)
from aurora_controller.kube.clock import format_time, parse_time
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.target import BY_VERSION

SWITCHED = (RolloutPhase.SWITCHING, RolloutPhase.SETTLING, RolloutPhase.UNROUTING)
"""Phases in which the stable Service points at the canary already."""
ON_TRIAL = (RolloutPhase.STARTING, RolloutPhase.CANARY, RolloutPhase.SCALING)


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """A revision without traffic: kept warm until ``until``, gone by ``deadline``."""

    revision: str
    version: int
    until: datetime
    deadline: datetime


@dataclass(frozen=True, kw_only=True)
class GivenUp:
    """A revision that is not tried again while the same field asks for it."""

    revision: str
    version: int
    rollout: int
    at: datetime
    asked_by: str = BY_VERSION


@dataclass(frozen=True, kw_only=True)
class State:
    """What a rollout remembers."""

    since: datetime
    """When the phase began."""
    rollout: int = 0
    phase: RolloutPhase = RolloutPhase.IDLE
    stable: Revision | None = None
    was_available: bool = False
    """Whether stable was available once: until then a newer target replaces it directly."""
    canary: Revision | None = None
    decision: str | None = None
    """Why the canary is being promoted or given up."""
    stable_lost_since: datetime | None = None
    leaving: tuple[Leaving, ...] = ()
    given_up: GivenUp | None = None
    weight: int = 0
    weight_since: datetime | None = None

    def enter(self, phase: RolloutPhase, now: datetime, *, decision: str | None = None) -> "State":
        return replace(self, phase=phase, since=now, decision=decision or self.decision)

    @property
    def serving(self) -> Revision | None:
        """The revision that the stable Service is to point at."""
        return self.canary if self.phase in SWITCHED and self.canary is not None else self.stable

    def seconds_in_phase(self, now: datetime) -> float:
        return (now - self.since).total_seconds()

    def seconds_at_weight(self, now: datetime) -> float:
        return (now - (self.weight_since or self.since)).total_seconds()


def remembered(status: MLDeploymentStatus, now: datetime) -> State:
    """The state in a status; an empty status gives a state without stable."""
    stable, canary = status.stable, status.canary
    return State(
        since=_past(status.phase_since, now) if status.phase_since else now,
        rollout=status.rollout,
        phase=status.phase,
        stable=_revision(stable),
        was_available=stable is not None and stable.available,
        canary=_revision(canary),
        decision=status.decision,
        stable_lost_since=_past(status.stable_lost_since, now) if status.stable_lost_since else None,
        leaving=tuple(
            Leaving(
                revision=one.revision,
                version=one.version,
                until=parse_time(one.until),
                deadline=parse_time(one.deadline),
            )
            for one in status.previous
        ),
        given_up=_given_up(status.aborted),
        weight=status.traffic.desired.get("canary", 0),
        weight_since=_past(status.traffic.since, now) if status.traffic.since else None,
    )


def _revision(status: RevisionStatus | None) -> Revision | None:
    return None if status is None else Revision.from_status(status)


def _past(text: str, now: datetime) -> datetime:
    """A stamp of a clock that is ahead of ours counts from now on, or what it began would last until we catch up."""
    return min(parse_time(text), now)


def _given_up(aborted: Aborted | None) -> GivenUp | None:
    if aborted is None:
        return None
    return GivenUp(
        revision=aborted.revision,
        version=aborted.version,
        rollout=aborted.rollout,
        at=parse_time(aborted.at),
        asked_by=aborted.asked_by,
    )


@dataclass(frozen=True, kw_only=True)
class Pods:
    """How many pods of a revision are asked for and ready."""

    asked: int = 0
    ready: int = 0


def memory_fields(state: State, pods: Mapping[str, Pods], history: list[HistoryEntry]) -> dict[str, object]:
    """The fields of MLDeploymentStatus that hold a state; ``pods`` by revision."""
    aborted = state.given_up and Aborted(
        revision=state.given_up.revision,
        version=state.given_up.version,
        rollout=state.given_up.rollout,
        asked_by=state.given_up.asked_by,
        at=format_time(state.given_up.at),
    )
    return {
        "rollout": state.rollout,
        "phase": state.phase,
        "phase_since": format_time(state.since),
        "stable": _revision_status(state.stable, pods, 100 - state.weight, is_available=state.was_available),
        "canary": _revision_status(state.canary, pods, state.weight, is_available=False),
        "decision": state.decision,
        "stable_lost_since": state.stable_lost_since and format_time(state.stable_lost_since),
        "previous": [
            Previous(
                revision=one.revision,
                version=one.version,
                until=format_time(one.until),
                deadline=format_time(one.deadline),
            )
            for one in state.leaving
        ],
        "aborted": aborted,
        "history": history,
    }


def _revision_status(
    revision: Revision | None, pods: Mapping[str, Pods], weight: int, *, is_available: bool
) -> RevisionStatus | None:
    if revision is None:
        return None
    counted = pods.get(revision.name, Pods())
    return RevisionStatus(
        revision=revision.name,
        version=revision.version,
        digest=revision.digest,
        claim_name=revision.claim_name,
        size_bytes=revision.size_bytes,
        image=revision.image,
        settings=dict(revision.settings),
        replicas=counted.asked,
        ready_replicas=counted.ready,
        weight=weight,
        available=is_available,
    )


def count_in(observed: ObservedTraffic | None, now: datetime) -> Count | None:
    """The count that a status remembers."""
    if observed is None:
        return None
    return Count(
        since=_past(observed.since, now),
        at=_past(observed.at, now),
        stable=observed.requests - observed.canary_requests,
        canary=observed.canary_requests,
        marks={pod.uid: Mark(start_time=pod.start_time, requests=pod.requests) for pod in observed.pods},
    )


def count_to_status(count: Count | None) -> ObservedTraffic | None:
    if count is None:
        return None
    return ObservedTraffic(
        canary_percent=f"{count.canary_percent:.1f}",
        requests=count.total,
        canary_requests=count.canary,
        since=format_time(count.since),
        at=format_time(count.at),
        pods=[
            CountedPod(uid=uid, start_time=mark.start_time, requests=mark.requests)
            for uid, mark in sorted(count.marks.items())
        ],
    )
