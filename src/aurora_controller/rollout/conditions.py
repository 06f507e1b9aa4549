"""What people and programs are told of a rollout: its conditions. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aurora_controller.analysis.accounting import ENOUGH_REQUESTS, Count, band, fits
from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.mldeployment import RolloutPhase
from aurora_controller.kube.conditions import (
    RECONCILING,
    STALLED,
    conditions_of,
    find_condition,
    remove_condition,
    set_condition,
)
from aurora_controller.kube.meta import ConditionStatus, Manifest
from aurora_controller.rollout.desired import has_runtime_update
from aurora_controller.rollout.facts import Facts
from aurora_controller.rollout.health import Trouble
from aurora_controller.rollout.observation import Observation
from aurora_controller.rollout.plan import deadline_seconds
from aurora_controller.rollout.reading import wanted_of
from aurora_controller.rollout.requests import key_of_rollout
from aurora_controller.rollout.revision import SETTINGS, Revision
from aurora_controller.rollout.state import ON_TRIAL, SWITCHED, State
from aurora_controller.rollout.target import Missing
from aurora_controller.rollout.world import is_restoring_stable

READY: Final = "Ready"
PROGRESSING: Final = "Progressing"
CANARY_HEALTHY: Final = "CanaryHealthy"
TRAFFIC_VERIFIED: Final = "TrafficVerified"
RUNTIME_UPDATE_AVAILABLE: Final = "RuntimeUpdateAvailable"
TYPES: Final = (READY, PROGRESSING, CANARY_HEALTHY, TRAFFIC_VERIFIED, RUNTIME_UPDATE_AVAILABLE, RECONCILING, STALLED)

_DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
_PHASES: Final = {
    RolloutPhase.STARTING: ("CanaryStarting", "The canary is getting ready; it has no traffic yet."),
    RolloutPhase.SCALING: ("ScalingUp", "The canary is brought to full capacity before it takes over."),
    RolloutPhase.SWITCHING: ("Switching", "The stable Service points at the new revision; endpoints are following."),
    RolloutPhase.SETTLING: ("Settling", "Only the new revision is behind the stable Service; the router has its time."),
    RolloutPhase.UNROUTING: ("Unrouting", "The canary's route is being removed; all traffic is on the new revision."),
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """One condition before it is dated."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


def conditions(observed: Observation, state: State, facts: Facts, count: Count | None, now: datetime) -> list[Manifest]:
    """The whole list; what does not apply just now is left out. ``count`` is what the pods have counted."""
    progressing = _progressing(observed, state, facts, now)
    told = [_ready(observed, state, facts), progressing]
    if state.canary is not None and state.phase in (*ON_TRIAL, *SWITCHED):
        told.append(_canary_healthy(observed, state, facts))
    if state.weight > 0:
        told.append(_traffic_verified(observed, state, count))
    if has_runtime_update(observed, state.stable):
        told.append(_runtime_update())
    if progressing.status == "True":
        told.append(Told(type=RECONCILING, status="True", reason=progressing.reason, message=progressing.message))
    if progressing.reason == _DEADLINE_EXCEEDED:
        told.append(Told(type=STALLED, status="True", reason=progressing.reason, message=progressing.message))
    return dated(observed.manifest, told, now)


def blocked(observed: Observation, trouble: Trouble, now: datetime) -> list[Manifest]:
    """For an object that nothing is created for: Ready says why."""
    told = [
        Told(type=READY, status="False", reason=trouble.reason, message=trouble.message),
        _progress("False", trouble.reason, "Nothing is created until then."),
    ]
    return dated(observed.manifest, told, now)


def dated(manifest: Manifest, told: Sequence[Told], now: datetime) -> list[Manifest]:
    """In the order of what exists; the transition time moves only with the status."""
    result: list[Any] = list(conditions_of(manifest))
    for type_ in set(TYPES) - {one.type for one in told}:
        result = remove_condition(result, type_)
    for one in told:
        result = set_condition(
            result,
            type=one.type,
            status=one.status,
            reason=one.reason,
            message=one.message,
            generation=manifest["metadata"].get("generation", 0),
            now=now,
        )
    return result


def _ready(observed: Observation, state: State, facts: Facts) -> Told:
    """Whether predictions are answered, from current pods each time; what is wrong with the rest is in the message."""
    obstacle = obstacle_of(observed)
    if obstacle is not None:
        return Told(type=READY, status="False", reason=obstacle.reason, message=obstacle.message)
    revision = state.serving
    if revision is None:
        return Told(type=READY, status="False", reason="NotStarted", message="There is no revision yet.")
    if state.phase in SWITCHED and state.stable is not None and ready_behind(observed, revision) == 0:
        revision = state.stable  # the endpoints have not followed the Service yet
    ready, asked = ready_behind(observed, revision), _asked(observed, revision, facts)
    trouble = trouble_of(observed, revision)
    if ready == 0:
        if trouble is not None:
            return Told(type=READY, status="False", reason=trouble.reason, message=trouble.message)
        message = f"No pod of revision {revision.name} is ready yet."
        return Told(type=READY, status="False", reason="NoReadyPods", message=message)
    if ready < asked:
        message = f"Version {revision.version} is served by {ready} of {asked} pods."
        if trouble is not None:
            message += f" {trouble.message}"
        return Told(type=READY, status="True", reason="PartlyAvailable", message=message)
    message = f"Version {revision.version} is served by {asked} {'pod' if asked == 1 else 'pods'}."
    return Told(type=READY, status="True", reason="Available", message=message)


def obstacle_of(observed: Observation) -> Trouble | None:
    """What a person must mend outside of the pods: the route, or the Secret with the keys."""
    if observed.route_holder is not None and observed.contested is not None:
        holder = observed.route_holder
        return Trouble(
            reason="RouteConflict",
            message=f"{observed.contested} is held by MLDeployment {holder.name!r} in namespace {holder.namespace!r}. "
            "Set another spec.routing.host, or delete that MLDeployment.",
        )
    if not observed.keys.exists and not observed.keys.is_generated:
        return Trouble(
            reason="SecretNotFound",
            message=f"Secret {observed.keys.name!r} of spec.auth.secretName does not exist in this namespace. Create "
            "it with one API key per entry, or remove spec.auth.secretName.",
        )
    return None


def ready_behind(observed: Observation, revision: Revision) -> int:
    """Ready endpoints of a revision behind the stable Service."""
    endpoints = observed.endpoints.get(observed.deployment.metadata.name)
    return endpoints.ready.get(revision.name, 0) if endpoints is not None else 0


def trouble_of(observed: Observation, revision: Revision) -> Trouble | None:
    """What keeps the pods of a revision from being ready."""
    live = observed.live.get(revision.name)
    claim = observed.claim_trouble(revision.claim_name)
    if claim is not None and (live is None or live.ready < live.asked):
        return claim
    return live.trouble if live is not None else None


def _asked(observed: Observation, revision: Revision, facts: Facts) -> int:
    live = observed.live.get(revision.name)
    return live.asked if live is not None else facts.replicas


def _progressing(observed: Observation, state: State, facts: Facts, now: datetime) -> Told:
    limit = deadline_seconds(state.phase, facts.settle_seconds)
    seconds = state.seconds_in_phase(now)
    if limit is not None and seconds >= limit:
        message = f"The rollout has been {state.phase.value} for more than {limit:.0f} s. {_cause(observed, state)}"
        return _progress("False", _DEADLINE_EXCEEDED, message.strip())
    if state.phase is RolloutPhase.ABORTING:
        return _aborting(state, facts, now)
    if state.canary is not None:
        return _with_canary(state, facts)
    return _without_canary(observed, state, facts)


def _cause(observed: Observation, state: State) -> str:
    revision = state.canary or state.stable
    trouble = trouble_of(observed, revision) if revision is not None else None
    return trouble.message if trouble is not None else ""


def _aborting(state: State, facts: Facts, now: datetime) -> Told:
    message = "The canary's traffic is being taken back."
    if is_restoring_stable(state, facts, now):
        message = "The canary keeps its traffic until the stable revision has a ready pod."
    return _progress("True", "Aborting", f"{state.decision or ''} {message}".strip())


def _with_canary(state: State, facts: Facts) -> Told:
    if state.phase in _PHASES:
        reason, message = _PHASES[state.phase]
        if facts.asked.is_paused and state.phase not in SWITCHED:
            return _progress("False", "Paused", f"spec.paused is true. {message}")
        return _progress("True", reason, message)
    key = key_of_rollout(state)
    message = (
        f"The canary is held at {state.weight} %. Decide with the annotation {labels.PROMOTE}={key} or "
        f"{labels.ABORT}={key}."
    )
    if facts.asked.is_paused:
        return _progress("False", "Paused", f"spec.paused is true. {message}")
    return _progress("False", "AwaitingPromotion", message)


def _without_canary(observed: Observation, state: State, facts: Facts) -> Told:
    if state.phase is RolloutPhase.STARTING:
        return _progress("True", "Starting", "The first revision is getting ready.")
    live = observed.live.get(state.stable.name) if state.stable is not None else None
    if live is None or live.ready < facts.replicas:
        stuck = _native_deadline(live.workload) if live is not None else None
        if stuck is not None:
            return _progress("False", _DEADLINE_EXCEEDED, f"{stuck} {_cause(observed, state)}".strip())
        return _progress("True", "ReplicasNotReady", f"Stable is being brought to {facts.replicas} ready pods.")
    return _at_rest(observed, state, facts)


def _at_rest(observed: Observation, state: State, facts: Facts) -> Told:
    wanted = wanted_of(observed, state)
    if isinstance(wanted, Missing):
        return _progress("False", wanted.reason, wanted.message)
    if state.given_up is not None:
        message = (
            f"Revision {state.given_up.revision} was given up in rollout {state.given_up.rollout}; it is not tried "
            "again until the target changes."
        )
        return _progress("False", "Aborted", message)
    if facts.asked.is_paused and facts.target is not None and not _is_stable(state, facts.target):
        message = f"spec.paused is true; revision {facts.target.name} waits for its turn."
        return _progress("False", "Paused", message)
    return _progress("False", "UpToDate", "The stable revision is what is asked for.")


def _progress(status: ConditionStatus, reason: str, message: str) -> Told:
    return Told(type=PROGRESSING, status=status, reason=reason, message=message)


def _native_deadline(workload: Manifest) -> str | None:
    """What the Deployment controller says when it has given up waiting."""
    progressing = find_condition(conditions_of(workload), "Progressing")
    if progressing is None or progressing.get("reason") != "ProgressDeadlineExceeded":
        return None
    return str(progressing.get("message") or "")


def _canary_healthy(observed: Observation, state: State, facts: Facts) -> Told:
    def told(status: ConditionStatus, reason: str, message: str) -> Told:
        return Told(type=CANARY_HEALTHY, status=status, reason=reason, message=message)

    trouble = trouble_of(observed, state.canary) if state.canary is not None else None
    if trouble is not None:
        return told("False", "CanaryCrashing" if trouble.is_crash else trouble.reason, trouble.message)
    if facts.canary.ready > 0:
        return told("True", "CanaryReady", "The canary answers.")
    if state.phase is RolloutPhase.STARTING:
        return told("Unknown", "CanaryStarting", "No pod of the canary is ready yet.")
    return told("False", "NoReadyPods", "The canary has no ready pod; it gets no traffic until it has.")


def _traffic_verified(observed: Observation, state: State, count: Count | None) -> Told:
    def told(status: ConditionStatus, reason: str, message: str) -> Told:
        return Told(type=TRAFFIC_VERIFIED, status=status, reason=reason, message=message)

    if observed.scrape is not None and observed.scrape.silent and not observed.scrape.readings:
        return told(
            "Unknown",
            "CountersUnreachable",
            "Pods do not answer the controller on their metrics port 9090: does a NetworkPolicy forbid it?",
        )
    known = find_condition(conditions_of(observed.manifest), TRAFFIC_VERIFIED)
    if observed.scrape is None and known is not None and known.get("reason") == "CountersUnreachable":
        return told(known["status"], known["reason"], known["message"])
    verdict = fits(count, state.weight) if count is not None else None
    if count is None or verdict is None:
        return told("Unknown", "TooFewRequests", f"The split is judged from {ENOUGH_REQUESTS} requests on.")
    margin = band(state.weight, count.total)
    seen = f"The canary answered {count.canary_percent:.1f} % of {count.total} requests"
    if verdict:
        return told("True", "SplitAsAsked", f"{seen}, within {margin:.1f} points of {state.weight} %.")
    return told(
        "False",
        "SplitDiffers",
        f"{seen}, more than {margin:.1f} points off {state.weight} %: does the ingress controller honour canary "
        "annotations, and does all traffic come through it?",
    )


def _runtime_update() -> Told:
    return Told(
        type=RUNTIME_UPDATE_AVAILABLE,
        status="True",
        reason="ControllerUpgraded",
        message="This controller would run the server otherwise, such as with a newer image. The next revision will: "
        f"a new version, or a change of {_listed(SETTINGS)}.",
    )


def _listed(fields: Sequence[str]) -> str:
    *others, last = (f"spec.{name}" for name in fields)
    return f"{', '.join(others)} or {last}"


def _is_stable(state: State, revision: Revision) -> bool:
    return state.stable is not None and state.stable.name == revision.name
