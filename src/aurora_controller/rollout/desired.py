"""State of a rollout → the children that should exist. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.api.v1alpha1.mldeployment import DEFAULT_CANARY_WEIGHT, RolloutPhase, StrategyType
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    INGRESS,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
)
from aurora_controller.kube.ownership import child_name, owner_reference
from aurora_controller.rollout.observation import Observation
from aurora_controller.rollout.plan import SWITCHED, State
from aurora_controller.rollout.revision import Revision, freeze, frozen_template, pod_template, selector
from aurora_controller.traffic.nginx_ingress import SERVICE_PORT_NAME
from aurora_controller.traffic.router import Route, Router
from aurora_runtime.contract import HTTP_PORT_NAME

STABLE, CANARY, PREVIOUS = "stable", "canary", "previous"
GENERATED_KEY_NAME = "default"


def asked_weight(observed: Observation) -> int:
    """Percent that the spec gives a canary."""
    strategy = observed.deployment.spec.strategy
    if strategy.type is not StrategyType.CANARY:
        return 0
    return DEFAULT_CANARY_WEIGHT if strategy.canary_weight is None else strategy.canary_weight


def splits_traffic(observed: Observation) -> bool:
    return observed.route is not None and observed.deployment.spec.strategy.type is StrategyType.CANARY


def secret_name(observed: Observation) -> str:
    given = observed.deployment.spec.auth.secret_name
    return given or child_name(observed.deployment.metadata.name, "api-keys")


def workload_name(observed: Observation, revision: Revision) -> str:
    return child_name(observed.deployment.metadata.name, revision.name)


def roles(state: State) -> dict[str, tuple[str, Revision]]:
    """Revision name → its role, for every revision that should have pods."""
    found: dict[str, tuple[str, Revision]] = {}
    leaving = state.leaving.revision if state.leaving is not None else None
    for role, revision in ((PREVIOUS, leaving), (CANARY, state.canary), (STABLE, state.stable)):
        if revision is not None:
            found[revision.name] = (role, revision)
    return found


def replicas_of(observed: Observation, state: State, role: str, revision: Revision, weight: int) -> int:
    """Pods of a revision: a canary on trial gets its share, a promoted one all of them before anything switches."""
    wanted = observed.deployment.spec.replicas
    live = observed.live.get(revision.name)
    if role == PREVIOUS:
        return live.replicas if live is not None else wanted
    if role == CANARY and state.stable is not None and state.phase in (RolloutPhase.STARTING, RolloutPhase.CANARY):
        return max(1, math.ceil(wanted * weight / 100))
    if role == CANARY and state.phase is RolloutPhase.ABORTING:
        return live.replicas if live is not None else 1
    if role == CANARY and state.stable is not None:
        stable = observed.live.get(state.stable.name)
        return max(wanted, stable.replicas if stable is not None else 0)
    if role == STABLE and state.phase in SWITCHED and live is not None:
        return live.replicas
    return wanted


def desired_children(observed: Observation, state: State, router: Router, weight: int) -> list[tuple[Kind, Manifest]]:
    """All children, in the order in which they are to be written: pods before Services before routes."""
    children: list[tuple[Kind, Manifest]] = []
    for role, revision in roles(state).values():
        manifest = _workload(observed, state, role, revision)
        if manifest is not None:
            children.append((DEPLOYMENT, manifest))
    if state.canary is not None:
        name = workload_name(observed, state.canary)
        children.append((SERVICE, _service(observed, name, state.canary)))
    behind_stable = state.canary if state.phase in SWITCHED and state.canary is not None else state.stable
    if behind_stable is not None:
        children.append((SERVICE, _service(observed, observed.deployment.metadata.name, behind_stable)))
        children.append((POD_DISRUPTION_BUDGET, _disruption_budget(observed, behind_stable)))
        children.extend(_routes(observed, state, router, weight))
    return children


def _workload(observed: Observation, state: State, role: str, revision: Revision) -> Manifest | None:
    live = observed.live.get(revision.name)
    template = frozen_template(live.workload) if live is not None else None
    if template is None:
        template = fresh_template(observed, revision)
    if template is None:
        return None  # the version is gone and so is its Deployment: there is nothing to make it from
    metadata = _metadata(observed, workload_name(observed, revision))
    metadata["labels"] |= {labels.REVISION: revision.name, labels.VERSION: str(revision.version), labels.ROLE: role}
    metadata["annotations"] = {labels.DIGEST: revision.digest, labels.FROZEN_TEMPLATE: freeze(template)}
    replicas = replicas_of(observed, state, role, revision, asked_weight(observed))
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": metadata,
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": selector(observed.deployment.metadata.name, revision.name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": template,
        },
    }


def fresh_template(observed: Observation, revision: Revision) -> dict[str, Any] | None:
    """The template as this controller would render it today."""
    version = observed.versions.get(revision.version)
    if version is None:
        return None
    return pod_template(
        observed.deployment,
        revision,
        claim=version.claim_name,
        secret=secret_name(observed),
        image=observed.runtime_image,
    )


def _service(observed: Observation, name: str, revision: Revision) -> Manifest:
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": _metadata(observed, name),
        "spec": {
            "selector": selector(observed.deployment.metadata.name, revision.name),
            "ports": [{"name": SERVICE_PORT_NAME, "port": 80, "targetPort": HTTP_PORT_NAME, "protocol": "TCP"}],
        },
    }


def _disruption_budget(observed: Observation, revision: Revision) -> Manifest:
    return {
        "apiVersion": POD_DISRUPTION_BUDGET.api_version,
        "kind": POD_DISRUPTION_BUDGET.kind,
        "metadata": _metadata(observed, observed.deployment.metadata.name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(observed.deployment.metadata.name, revision.name)},
        },
    }


def _routes(observed: Observation, state: State, router: Router, weight: int) -> list[tuple[Kind, Manifest]]:
    if observed.route is None:
        return []
    deployment = observed.deployment
    manifests = [child for (kind, _), child in observed.children.items() if kind == INGRESS]
    is_routed = splits_traffic(observed) and state.canary is not None
    # A canary that is only starting gets no route yet; one that lost its endpoints keeps its route at weight 0.
    has_route = state.phase is not RolloutPhase.STARTING or router.weight_in(manifests) is not None
    canary = state.canary if is_routed and has_route and state.phase is not RolloutPhase.IDLE else None
    tls = deployment.spec.routing.tls
    route = Route(
        name=deployment.metadata.name,
        namespace=deployment.metadata.namespace,
        key=observed.route,
        stable_service=deployment.metadata.name,
        canary_service=workload_name(observed, canary) if canary is not None else None,
        canary_weight=weight,
        labels=_metadata(observed, "")["labels"],
        owner=owner_reference(observed.manifest, ML_DEPLOYMENT),
        annotations=deployment.spec.routing.annotations,
        tls_secret=tls.secret_name if tls is not None else None,
    )
    return [(INGRESS, manifest) for manifest in router.render(route)]


def api_key_secret(observed: Observation) -> Manifest:
    """Created once with a random key, never applied: the controller cannot read it back."""
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "metadata": _metadata(observed, secret_name(observed)),
        "type": "Opaque",
        "stringData": {GENERATED_KEY_NAME: observed.new_key},
    }


def obsolete(observed: Observation, wanted: Sequence[tuple[Kind, Manifest]]) -> list[tuple[Kind, Manifest]]:
    """Existing children that are no longer wanted, routes first and pods last."""
    names = {(kind, manifest["metadata"]["name"]) for kind, manifest in wanted}
    unwanted = [(kind, child) for (kind, name), child in observed.children.items() if (kind, name) not in names]
    order = {"Ingress": 0, "Service": 1, "PodDisruptionBudget": 2, "Deployment": 3}
    return sorted(unwanted, key=lambda pair: order.get(pair[0].kind, 9))


def runtime_update_available(observed: Observation, state: State) -> bool:
    """Whether this controller would render the stable revision's pods otherwise."""
    live = observed.live.get(state.stable.name) if state.stable is not None else None
    version = observed.versions.get(live.revision.version) if live is not None else None
    if live is None or version is None or Revision.of(observed.deployment, version) != live.revision:
        return False  # another spec made it: that it differs is the user's doing
    frozen = frozen_template(live.workload)
    return frozen is not None and frozen != fresh_template(observed, live.revision)


def _metadata(observed: Observation, name: str) -> dict[str, Any]:
    deployment = observed.deployment
    marks: Mapping[str, str] = {
        labels.MANAGED_BY: labels.MANAGED_BY_AURORA,
        labels.COMPONENT: labels.COMPONENT_SERVER,
        labels.MODEL: deployment.spec.model_name,
        labels.DEPLOYMENT: deployment.metadata.name,
    }
    return {
        "name": name,
        "namespace": deployment.metadata.namespace,
        "labels": dict(marks),
        "ownerReferences": [owner_reference(observed.manifest, ML_DEPLOYMENT)],
    }
