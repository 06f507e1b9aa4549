"""What is written into the status, and what is told as an Event. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aurora_controller.analysis.accounting import Count
from aurora_controller.api.v1alpha1.mldeployment import MLDeploymentStatus, Traffic
from aurora_controller.kube.clock import format_time
from aurora_controller.kube.conditions import conditions_of, find_condition
from aurora_controller.kube.meta import INGRESS, Manifest
from aurora_controller.kube.reconcile import EventNote
from aurora_controller.rollout.conditions import CANARY_HEALTHY, PROGRESSING, READY, conditions
from aurora_controller.rollout.facts import Facts
from aurora_controller.rollout.observation import Observation
from aurora_controller.rollout.plan import Step
from aurora_controller.rollout.state import Pods, State, count_to_status, memory_fields
from aurora_controller.rollout.target import MODEL_NOT_FOUND
from aurora_controller.rollout.world import World

HISTORY: Final = 10
_ORDINARY: Final = {"NotStarted", "NoReadyPods", MODEL_NOT_FOUND}
"""Reasons of a False that every healthy start goes through."""


def next_status(
    observed: Observation, step: Step, facts: Facts, *, world: World, count: Count | None, now: datetime
) -> dict[str, Any]:
    """All keys of the status; None removes one."""
    state, before = step.state, observed.deployment.status
    pods = {
        name: Pods(asked=world.replicas[name], ready=live.ready if (live := observed.live.get(name)) else 0)
        for name in world.roles
    }
    history = [*before.history, *step.ended][-HISTORY:]
    status = MLDeploymentStatus.model_validate(
        {
            **memory_fields(state, pods, history),
            "observed_generation": observed.deployment.metadata.generation,
            "traffic": _traffic(state, count),
            "weight": _column(state, count),
            "url": url_of(observed),
            "last_request": step.told or before.last_request,
        }
    )
    told = {"conditions": conditions(observed, state, facts, count, now)}
    return blank_status() | status.to_json() | told


def blank_status() -> dict[str, Any]:
    """Every key with None: a status starts from nothing, so that what no longer holds goes."""
    return {field.alias or name: None for name, field in MLDeploymentStatus.model_fields.items()}


def _traffic(state: State, count: Count | None) -> Traffic:
    if state.stable is None:
        return Traffic()
    desired = {"stable": 100 - state.weight}
    if state.canary is not None:
        desired["canary"] = state.weight
    since = format_time(state.weight_since) if state.weight_since is not None else None
    return Traffic(desired=desired, since=since, observed=count_to_status(count))


def _column(state: State, count: Count | None) -> str | None:
    """Such as ``10% (9.8%)``: asked, and counted if anything was."""
    if state.canary is None:
        return None
    counted = f" ({count.canary_percent:.1f}%)" if count is not None and count.total else ""
    return f"{state.weight}%{counted}"


def url_of(observed: Observation) -> str | None:
    """Where predictions are asked for; a path alone when nobody knows the address of the ingress controller."""
    deployment, route = observed.deployment, observed.route
    metadata = deployment.metadata
    path = f"/v2/models/{deployment.spec.model_name}/infer"
    if route is None:
        return f"http://{metadata.name}.{metadata.namespace}.svc{path}"
    host = route.host or _address(observed.children.get((INGRESS, metadata.name)))
    if not host:
        return path
    scheme = "https" if deployment.spec.routing.tls is not None else "http"
    return f"{scheme}://{host}{path}"


def _address(ingress: Manifest | None) -> str:
    """Of the load balancer, as the ingress controller published it."""
    balancer = ((ingress or {}).get("status") or {}).get("loadBalancer") or {}
    for point in balancer.get("ingress") or ():
        address: str = point.get("hostname") or point.get("ip") or ""
        if address:
            return f"[{address}]" if ":" in address else address
    return ""


def events_of(observed: Observation, step: Step, status: Mapping[str, Any]) -> list[EventNote]:
    """News only: begin and end of a rollout, what turned bad, and requests that do not count."""
    notes = [
        EventNote(
            type="Normal" if entry.outcome == "Promoted" else "Warning",
            reason=entry.outcome,
            message=f"Rollout {entry.rollout}, revision {entry.revision}: {entry.reason}",
        )
        for entry in step.ended
    ]
    opened = step.state.canary or step.state.stable
    if step.is_opening and opened is not None:
        message = f"Rollout {step.state.rollout} brings revision {opened.name}, version {opened.version}."
        notes.append(EventNote(type="Normal", reason="RolloutStarted", message=message))
    told, known = step.told, observed.deployment.status.last_request
    if told is not None and not told.accepted and told != known:
        message = f"The request to {told.action} {told.value!r} does not count. {told.message}"
        notes.append(EventNote(type="Warning", reason="RequestRefused", message=message))
    return notes + troubles(observed.manifest, status["conditions"])


def troubles(manifest: Manifest, told: Sequence[Mapping[str, Any]]) -> list[EventNote]:
    """A warning for each condition that turned bad, or bad in another way: once."""
    known = conditions_of(manifest)
    notes = []
    for condition in told:
        type_, reason = condition["type"], condition["reason"]
        is_bad = type_ in (READY, CANARY_HEALTHY) or (type_ == PROGRESSING and reason == "DeadlineExceeded")
        if not is_bad or condition["status"] != "False" or reason in _ORDINARY:
            continue
        before = find_condition(known, type_)
        if before is None or before["status"] != "False" or before.get("reason") != reason:
            notes.append(EventNote(type="Warning", reason=reason, message=condition["message"]))
    return notes
