"""What people and programs are told: conditions, traffic, URL, events. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from aurora_controller.analysis.counting import VERIFIED_REQUESTS, Share, is_as_asked
from aurora_controller.api.v1alpha1.mldeployment import MLDeploymentStatus, ObservedTraffic, RolloutPhase, Traffic
from aurora_controller.kube.clock import format_time, parse_time
from aurora_controller.kube.conditions import RECONCILING, STALLED, conditions_of, find_condition, set_condition
from aurora_controller.kube.meta import INGRESS, ConditionStatus, Manifest
from aurora_controller.kube.reconcile import EventNote
from aurora_controller.rollout.desired import runtime_update_available
from aurora_controller.rollout.observation import Observation
from aurora_controller.rollout.plan import SWITCHED, State, Step
from aurora_controller.rollout.state import remembered
from aurora_controller.rollout.target import MODEL_NOT_FOUND

READY: Final = "Ready"
PROGRESSING: Final = "Progressing"
CANARY_HEALTHY: Final = "CanaryHealthy"
TRAFFIC_VERIFIED: Final = "TrafficVerified"
RUNTIME_UPDATE_AVAILABLE: Final = "RuntimeUpdateAvailable"
OBSERVED_EVERY_SECONDS: Final = 60.0
PHASE_DEADLINE_SECONDS: Final = 600.0
_HISTORY: Final = 10
_FOR_A_PERSON: Final = ("RouteConflict", "SecretNotFound", "AliasNotFound", "VersionNotFound")


@dataclass(frozen=True, kw_only=True)
class Told:
    """One condition before it is dated."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Block:
    """What must change elsewhere first."""

    reason: str
    message: str


def blocked_status(observed: Observation, block: Block, now: datetime) -> dict[str, Any]:
    """Nothing can be done until something else changes; what serves goes on serving."""
    abnormal = STALLED if block.reason in _FOR_A_PERSON else RECONCILING
    told = [
        Told(type=READY, status="False", reason=block.reason, message=block.message),
        Told(type=abnormal, status="True", reason=block.reason, message=block.message),
    ]
    return {
        "observedGeneration": observed.deployment.metadata.generation,
        "conditions": _dated(observed, told, now),
    }


def next_status(observed: Observation, step: Step, weight: int, now: datetime) -> dict[str, Any]:
    """All keys of the status; None removes one."""
    state, before = step.state, observed.deployment.status
    told = _conditions(observed, state, weight, now)
    traffic = _traffic(observed, state, weight, now)
    status = remembered(observed, state, weight).model_copy(
        update={
            "traffic": traffic,
            "weight": _weight_column(traffic, weight)
            if state.canary is not None and state.stable is not None
            else None,
            "url": url_of(observed),
            "last_request": step.request or before.last_request,
            "history": [*before.history, *step.history][-_HISTORY:],
            "observed_generation": observed.deployment.metadata.generation,
        }
    )
    content: dict[str, Any] = {_key(name): None for name in MLDeploymentStatus.model_fields}
    return content | status.to_json() | {"conditions": _dated(observed, told, now)}


def _key(field: str) -> str:
    alias = MLDeploymentStatus.model_fields[field].alias
    return alias or field


def _conditions(observed: Observation, state: State, weight: int, now: datetime) -> list[Told]:
    ready, progressing = _ready(observed, state), _progressing(observed, state, now)
    told = [ready, progressing]
    if state.canary is not None and state.stable is not None and state.phase not in SWITCHED:
        told += [_canary_healthy(observed, state), _traffic_verified(observed, state, weight)]
    if runtime_update_available(observed, state):
        message = "This controller runs a newer server image; a change of the spec or a new version takes it up."
        told.append(Told(type=RUNTIME_UPDATE_AVAILABLE, status="True", reason="ControllerUpgraded", message=message))
    if progressing.status == "True" or ready.status != "True":
        source = progressing if progressing.status == "True" else ready
        told.append(Told(type=RECONCILING, status="True", reason=source.reason, message=source.message))
    return told


def _ready(observed: Observation, state: State) -> Told:
    serving = state.canary if state.phase in SWITCHED else state.stable
    first = serving or state.canary
    live = observed.live.get(first.name) if first is not None else None
    if serving is not None and live is not None and live.ready >= max(1, min(live.replicas, live.replicas - 1)):
        message = f"Version {serving.version} answers from {live.ready} of {live.replicas} pods."
        return Told(type=READY, status="True", reason="Serving", message=message)
    trouble = observed.claim_trouble or (live.trouble if live is not None else None)
    if trouble is not None:
        return Told(type=READY, status="False", reason=trouble.reason, message=trouble.message)
    version = f"version {first.version}" if first is not None else "a version"
    return Told(type=READY, status="False", reason="NotAvailable", message=f"Waiting for pods of {version}.")


def _progressing(observed: Observation, state: State, now: datetime) -> Told:
    def told(status: ConditionStatus, reason: str, message: str) -> Told:
        return Told(type=PROGRESSING, status=status, reason=reason, message=message)

    if state.phase is RolloutPhase.CANARY and state.canary is not None:
        key = f"{state.canary.name}@{state.rollout}"
        return told("False", "AwaitingPromotion", f"Annotate aurora.io/promote={key!r} or aurora.io/abort={key!r}.")
    if state.phase is RolloutPhase.IDLE:
        if state.given_up is not None:
            message = f"{state.given_up.revision} was aborted and is not tried again until the target changes."
            return told("False", "Aborted", message)
        reason = "Paused" if observed.deployment.spec.paused else "Settled"
        return told("False", reason, "No rollout is under way.")
    seconds = (now - state.since).total_seconds()
    if seconds > PHASE_DEADLINE_SECONDS:
        message = f"{state.phase.value} for more than {PHASE_DEADLINE_SECONDS:.0f} s; see CanaryHealthy and the pods."
        return told("False", "DeadlineExceeded", message)
    return told("True", state.phase.value, f"Rollout {state.rollout} is in phase {state.phase.value}.")


def _canary_healthy(observed: Observation, state: State) -> Told:
    live = observed.live.get(state.canary.name) if state.canary is not None else None
    trouble = live.trouble if live is not None else None
    if trouble is not None:
        reason = "CanaryCrashing" if trouble.is_crashing else trouble.reason
        return Told(type=CANARY_HEALTHY, status="False", reason=reason, message=trouble.message)
    if live is None or live.ready == 0:
        message = "No pod of the canary is ready yet."
        return Told(type=CANARY_HEALTHY, status="Unknown", reason="CanaryStarting", message=message)
    return Told(type=CANARY_HEALTHY, status="True", reason="CanaryReady", message="The canary's pods are ready.")


def _traffic_verified(observed: Observation, state: State, weight: int) -> Told:
    def told(status: ConditionStatus, reason: str, message: str) -> Told:
        return Told(type=TRAFFIC_VERIFIED, status=status, reason=reason, message=message)

    share = _share(observed, state)
    if observed.silent_pods:
        message = "Pods do not answer on their metrics port: let a NetworkPolicy admit the controller to port 9090."
        return told("Unknown", "CountersUnreachable", message)
    verdict = is_as_asked(share, weight) if share is not None else None
    if verdict is None:
        return told("Unknown", "TooFewRequests", f"The share is judged from {VERIFIED_REQUESTS} requests on.")
    if verdict:
        return told("True", "AsAsked", f"The canary gets the {weight} % that it is meant to get.")
    message = f"The canary does not get the {weight} % that it is meant to get: does the router honour the annotations?"
    return told("False", "NotAsAsked", message)


def _share(observed: Observation, state: State) -> Share | None:
    if observed.tally is None or state.canary is None or state.stable is None:
        return None
    tally = observed.tally
    return Share(canary=tally.requests(state.canary.name), stable=tally.requests(state.stable.name))


def _traffic(observed: Observation, state: State, weight: int, now: datetime) -> Traffic:
    if state.stable is None:
        return Traffic()
    desired = {"stable": 100 - weight, "canary": weight} if state.canary is not None else {"stable": 100}
    before = observed.deployment.status
    known = before.traffic.observed if before.canary is not None and state.canary is not None else None
    share = _share(observed, state)
    if share is None or observed.tally is None or not _is_worth_telling(known, share, now):
        return Traffic(desired=desired, observed=known)
    began = datetime.fromtimestamp(observed.tally.began, UTC)
    told = ObservedTraffic(
        canary_percent=f"{share.percent:.1f}", requests=share.total, since=format_time(began), at=format_time(now)
    )
    return Traffic(desired=desired, observed=told)


def _is_worth_telling(known: ObservedTraffic | None, share: Share, now: datetime) -> bool:
    """Every status write wakes every watcher: once when there is enough to tell, then once a minute while it grows."""
    if known is None or known.requests < VERIFIED_REQUESTS <= share.total:
        return share.total > 0
    age = (now - parse_time(known.at)).total_seconds()
    return age >= OBSERVED_EVERY_SECONDS and share.total != known.requests


def _weight_column(traffic: Traffic, weight: int) -> str:
    return f"{weight}%" + (f" ({traffic.observed.canary_percent}%)" if traffic.observed is not None else "")


def url_of(observed: Observation) -> str | None:
    """Where predictions are asked for; a path alone when no address is known."""
    if observed.route is None:
        return None
    path = f"{observed.route.path}/infer"
    host = observed.route.host or _address(observed)
    scheme = "https" if observed.deployment.spec.routing.tls is not None else "http"
    return f"{scheme}://{host}{path}" if host else path


def _address(observed: Observation) -> str:
    ingress = observed.children.get((INGRESS, observed.deployment.metadata.name)) or {}
    points: Sequence[Mapping[str, str]] = ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return next((point.get("hostname") or point.get("ip") or "" for point in points), "")


def _dated(observed: Observation, told: Sequence[Told], now: datetime) -> list[Manifest]:
    """What is told, in this order; the transition time is carried over while the status stays."""
    existing = conditions_of(observed.manifest)
    dated: list[Manifest] = []
    for one in told:
        dated += set_condition(
            [item for item in existing if item["type"] == one.type],
            type=one.type,
            status=one.status,
            reason=one.reason,
            message=one.message,
            generation=observed.deployment.metadata.generation,
            now=now,
        )
    return dated


def events_of(observed: Observation, step: Step, status: Mapping[str, Any]) -> list[EventNote]:
    """News only: ends of rollouts, new trouble, and requests that did not count."""
    notes = [
        EventNote(
            type="Normal" if entry.outcome == "Promoted" else "Warning",
            reason=entry.outcome,
            message=f"Rollout {entry.rollout}, revision {entry.revision}: {entry.reason}.",
        )
        for entry in step.history
    ]
    notes += trouble_events(observed, status)
    request, known = step.request, observed.deployment.status.last_request
    if request is not None and not request.accepted and request != known:
        message = f"aurora.io/{request.action}={request.value!r}: {request.message}."
        notes.append(EventNote(type="Warning", reason="RequestRefused", message=message))
    return notes


def trouble_events(observed: Observation, status: Mapping[str, Any]) -> list[EventNote]:
    """A warning for each condition that turned bad, once."""
    before = conditions_of(observed.manifest)
    notes = []
    for condition in status["conditions"]:
        if condition["type"] not in (READY, CANARY_HEALTHY) or condition["status"] != "False":
            continue
        old = find_condition(before, condition["type"])
        is_quiet = condition["reason"] in ("NotAvailable", MODEL_NOT_FOUND)
        if not is_quiet and (old is None or old.get("reason") != condition["reason"]):
            notes.append(EventNote(type="Warning", reason=condition["reason"], message=condition["message"]))
    return notes
