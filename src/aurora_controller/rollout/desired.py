"""The world that a rollout wants → the children that should exist. Pure."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    INGRESS,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    is_deleting,
)
from aurora_controller.kube.ownership import owner_reference
from aurora_controller.kube.reconcile import Apply, Create, Delete, Write
from aurora_controller.rollout.observation import Live, Observation
from aurora_controller.rollout.reading import workload_name
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.state import State
from aurora_controller.rollout.template import Frozen, keys_secret_in, render, selector, with_keys
from aurora_controller.rollout.world import World
from aurora_controller.traffic.router import SERVICE_PORT, SERVICE_PORT_NAME, Route, Router, Split
from aurora_runtime.contract import HTTP_PORT_NAME

GENERATED_KEY_NAME: Final = "default"
MIN_READY_SECONDS: Final = 2
"""A pod is available when it has stayed ready for so long."""
PROGRESS_DEADLINE_SECONDS: Final = 600


@dataclass(frozen=True, kw_only=True)
class Child:
    """An object that should exist, and of which kind."""

    kind: Kind
    manifest: Manifest

    @property
    def key(self) -> tuple[Kind, str]:
        return self.kind, self.manifest["metadata"]["name"]


def writes(observed: Observation, state: State, world: World, router: Router) -> list[Write]:
    """In this order: less weight, then what serves, then more weight, then what is no longer wanted.

    Traffic is taken off a canary before anything else, so that nothing that fails can hold it up; it is put on one
    after all that it needs exists. What is no longer wanted goes routes first and pods last.
    """
    routes = _routes(observed, world, router)
    workloads = [child for name in world.roles if (child := _workload(observed, state, world, name)) is not None]
    services = _services(observed, world)
    wanted = [*workloads, *services, *routes]
    lowered = [child for child in routes if _lowers_weight(observed, child, router)]
    ordered = [*lowered, *workloads, *services, *(child for child in routes if child not in lowered)]
    keys = [Create(manifest=api_keys_secret(observed))] if observed.keys.new_key is not None else []
    applies = [Apply(manifest=child.manifest, existing=observed.children.get(child.key)) for child in ordered]
    keep = {child.key for child in wanted} | {(SERVICE, world.left_service)}
    return [*applies[: len(lowered)], *keys, *applies[len(lowered) :], *_deletes(observed, keep)]


def _lowers_weight(observed: Observation, child: Child, router: Router) -> bool:
    existing = observed.children.get(child.key)
    before = router.split_of([existing]) if existing is not None else None
    after = router.split_of([child.manifest])
    return before is not None and after is not None and after.canary_weight < before.canary_weight


def _deletes(observed: Observation, keep: AbstractSet[tuple[Kind, str | None]]) -> list[Write]:
    unwanted = [(kind, child) for (kind, name), child in observed.children.items() if (kind, name) not in keep]
    order = {INGRESS: 0, SERVICE: 1, POD_DISRUPTION_BUDGET: 2, DEPLOYMENT: 3}
    return [
        Delete(existing=child, kind=kind)
        for kind, child in sorted(unwanted, key=lambda pair: order[pair[0]])
        if not is_deleting(child)
    ]


def _workload(observed: Observation, state: State, world: World, name: str) -> Child | None:
    """None for a revision that is leaving and whose Deployment is gone already."""
    live = observed.live.get(name)
    frozen = live.frozen if live is not None else None
    known = next((one for one in (state.stable, state.canary) if one is not None and one.name == name), None)
    if known is not None and (frozen is None or known.image not in {"", frozen.revision.image}):
        # It was deleted, or its annotation was; or it never served and another image mends it (``plan.py``).
        revision = known if known.image else known.today(observed.runtime_image)
        frozen = Frozen(revision=revision, template=render(observed.deployment, revision))
    if frozen is None:
        return None
    revision = frozen.revision
    metadata = _metadata(observed, workload_name(observed, name))
    metadata["labels"] |= {
        labels.REVISION: name,
        labels.VERSION: str(revision.version),
        labels.ROLE: world.roles[name],
    }
    metadata["annotations"] = {labels.DIGEST: revision.digest, labels.FROZEN_TEMPLATE: frozen.to_annotation()}
    manifest = {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": metadata,
        "spec": {
            "replicas": world.replicas[name],
            "minReadySeconds": MIN_READY_SECONDS,
            "progressDeadlineSeconds": PROGRESS_DEADLINE_SECONDS,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": selector(observed.deployment.metadata.name, name)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": with_keys(frozen.template, _keys_secret(observed, live)),
        },
    }
    return Child(kind=DEPLOYMENT, manifest=manifest)


def _keys_secret(observed: Observation, live: Live | None) -> str:
    """A Secret that does not exist yet does not replace one that is mounted: the pods could not start."""
    mounted = keys_secret_in(live.workload["spec"].get("template") or {}) if live is not None else None
    if observed.keys.exists or observed.keys.is_generated or mounted is None:
        return observed.keys.name
    return mounted


def _services(observed: Observation, world: World) -> list[Child]:
    name = observed.deployment.metadata.name
    children = []
    if world.canary_service is not None:
        children.append(_service(observed, workload_name(observed, world.canary_service), world.canary_service))
    if world.selected is not None:
        children.append(_service(observed, name, world.selected))
        children.append(_disruption_budget(observed, world.selected))
    return children


def _service(observed: Observation, name: str, revision: str) -> Child:
    port = {"name": SERVICE_PORT_NAME, "port": SERVICE_PORT, "targetPort": HTTP_PORT_NAME, "protocol": "TCP"}
    manifest = {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": _metadata(observed, name),
        "spec": {"selector": selector(observed.deployment.metadata.name, revision), "ports": [port]},
    }
    return Child(kind=SERVICE, manifest=manifest)


def _disruption_budget(observed: Observation, revision: str) -> Child:
    name = observed.deployment.metadata.name
    manifest = {
        "apiVersion": POD_DISRUPTION_BUDGET.api_version,
        "kind": POD_DISRUPTION_BUDGET.kind,
        "metadata": _metadata(observed, name),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": selector(name, revision)},
            # Broken pods protect nobody, and would block a drain for ever.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
    return Child(kind=POD_DISRUPTION_BUDGET, manifest=manifest)


def _routes(observed: Observation, world: World, router: Router) -> list[Child]:
    if observed.route is None or world.selected is None:
        return []
    deployment, tls = observed.deployment, observed.deployment.spec.routing.tls
    canary = world.canary_service if world.canary_weight is not None else None
    left = world.left_service if world.canary_weight is not None else None
    route = Route(
        name=deployment.metadata.name,
        namespace=deployment.metadata.namespace,
        key=observed.route,
        split=Split(
            stable_service=deployment.metadata.name,
            canary_service=workload_name(observed, canary) if canary is not None else left,
            canary_weight=world.canary_weight or 0,
        ),
        annotations=deployment.spec.routing.annotations,
        tls_secret=tls.secret_name if tls is not None else None,
    )
    children = []
    for manifest in router.render(route):
        made = manifest["metadata"]
        metadata = {**_metadata(observed, made["name"]), "annotations": made["annotations"]}
        children.append(Child(kind=INGRESS, manifest={**manifest, "metadata": metadata}))
    return children


def api_keys_secret(observed: Observation) -> Manifest:
    """Created once with a random key and never applied: what is in it later is its users' business."""
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "metadata": _metadata(observed, observed.keys.name),
        "type": "Opaque",
        "stringData": {GENERATED_KEY_NAME: observed.keys.new_key},
    }


def has_runtime_update(observed: Observation, stable: Revision | None) -> bool:
    """Whether this controller would render the stable revision's pods otherwise than they are."""
    live = observed.live.get(stable.name) if stable is not None else None
    if live is None or live.frozen is None:
        return False
    today = render(observed.deployment, live.frozen.revision.today(observed.runtime_image))
    return today != live.frozen.template


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
