"""Reads what matters to one MLDeployment into one frozen value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pydantic import ValidationError

from aurora_controller.analysis.counting import Tally
from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment, RoutingType
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Kind,
    Manifest,
    ObjectKey,
    is_deleting,
    key_of,
    labels_of,
)
from aurora_controller.kube.ownership import controller_of, is_controlled_by
from aurora_controller.kube.reconcile import Request, Stalled, Waiting
from aurora_controller.rollout.health import Trouble, claim_trouble, is_ready, trouble_of
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.target import (
    Missing,
    ModelVersion,
    aliases_of,
    first_stable,
    servable,
    target_version,
)
from aurora_controller.traffic.nginx_ingress import route_keys
from aurora_controller.traffic.router import RouteKey

CHILD_KINDS: Final = (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET)
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"


class ObjectReader(Protocol):
    """What this package asks of ``kube/cache.py``. What it hands out is read-only."""

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...
    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Manifest]: ...
    def with_label(self, kind: Kind, label: str, value: str, namespace: str | None = None) -> Sequence[Manifest]: ...


@dataclass(frozen=True, kw_only=True)
class Live:
    """A revision's Deployment and how its pods are."""

    revision: Revision
    workload: Manifest
    pods: Sequence[Manifest] = ()

    @property
    def replicas(self) -> int:
        replicas: int = self.workload["spec"].get("replicas", 1)
        return replicas

    @property
    def ready(self) -> int:
        return sum(is_ready(pod) for pod in self.pods)

    @property
    def trouble(self) -> Trouble | None:
        return trouble_of(self.pods)


@dataclass(frozen=True, kw_only=True)
class Observation:
    """An MLDeployment and all that its next step depends on."""

    manifest: Manifest
    deployment: MLDeployment
    target: ModelVersion | Missing
    first: ModelVersion | None = None
    """What it begins with when it has no history."""
    versions: Mapping[int, ModelVersion] = field(default_factory=dict)
    route: RouteKey | None = None
    """None without routing."""
    route_holder: ObjectKey | None = None
    """Another MLDeployment that holds the route."""
    children: Mapping[tuple[Kind, str], Manifest] = field(default_factory=dict)
    """Existing children of this very object, by kind and name."""
    live: Mapping[str, Live] = field(default_factory=dict)
    """By revision name."""
    endpoints: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Ready endpoints: Service → revision → how many."""
    claim_trouble: Trouble | None = None
    secret_exists: bool = True
    new_key: str | None = None
    """A fresh random API key, when the managed Secret has to be made."""
    tally: Tally | None = None
    silent_pods: int = 0
    runtime_image: str
    settle_seconds: float = 5.0


def read_deployment(cache: ObjectReader, request: Request) -> tuple[Manifest, MLDeployment] | None:
    """The object itself, or None when there is nothing to do. Raises Stalled when it cannot be read."""
    manifest = cache.get(ML_DEPLOYMENT, request)
    if manifest is None or is_deleting(manifest):
        return None
    try:
        return manifest, MLDeployment.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Stalled("InvalidSpec", f"{where}: {first['msg']}") from error


def children_of(cache: ObjectReader, manifest: Manifest) -> dict[tuple[Kind, str], Manifest]:
    """Raises Waiting while children of an earlier object of this name are still there."""
    key = key_of(manifest)
    found: dict[tuple[Kind, str], Manifest] = {}
    for kind in CHILD_KINDS:
        for child in cache.with_label(kind, labels.DEPLOYMENT, key.name, key.namespace):
            owner = controller_of(child)
            if is_controlled_by(child, manifest):
                found[kind, key_of(child).name] = child
            elif owner is not None and owner["kind"] == ML_DEPLOYMENT.kind:
                message = f"{kind.kind} {key_of(child).name} belongs to an earlier MLDeployment of this name."
                raise Waiting("PredecessorPresent", message, 2.0)
    return found


def live_revisions(
    cache: ObjectReader, manifest: Manifest, children: Mapping[tuple[Kind, str], Manifest]
) -> dict[str, Live]:
    key = key_of(manifest)
    pods: dict[str, list[Manifest]] = {}
    for pod in cache.with_label(POD, labels.DEPLOYMENT, key.name, key.namespace):
        pods.setdefault(labels_of(pod).get(labels.REVISION, ""), []).append(pod)
    live = {}
    for (kind, _), workload in children.items():
        if kind == DEPLOYMENT and not is_deleting(workload):
            revision = Revision.in_workload(workload)
            live[revision.name] = Live(revision=revision, workload=workload, pods=pods.get(revision.name, ()))
    return live


def ready_endpoints(cache: ObjectReader, manifest: Manifest) -> dict[str, dict[str, int]]:
    """Service → revision → ready endpoints, as kube-proxy and routers see them."""
    key = key_of(manifest)
    counts: dict[str, dict[str, int]] = {}
    for piece in cache.with_label(ENDPOINT_SLICE, labels.DEPLOYMENT, key.name, key.namespace):
        service = counts.setdefault(labels_of(piece).get(SERVICE_NAME_LABEL, ""), {})
        for endpoint in piece.get("endpoints") or ():
            pod_name = (endpoint.get("targetRef") or {}).get("name", "")
            pod = cache.get(POD, ObjectKey(key.namespace, pod_name))
            revision = labels_of(pod).get(labels.REVISION, "") if pod is not None else ""
            if (endpoint.get("conditions") or {}).get("ready"):
                service[revision] = service.get(revision, 0) + 1
    return counts


def target_of(
    cache: ObjectReader, deployment: MLDeployment
) -> tuple[ModelVersion | Missing, ModelVersion | None, Mapping[int, ModelVersion]]:
    """What is asked for, what a deployment without history begins with, and all that may be served."""
    namespace, model = deployment.metadata.namespace, deployment.spec.model_name
    versions = servable(cache.with_label(ML_MODEL_VERSION, labels.MODEL, model, namespace))
    aliases = aliases_of(cache.get(ML_MODEL, ObjectKey(namespace, model)))
    target = target_version(deployment.spec, versions, aliases)
    return target, first_stable(deployment.spec, versions, aliases), versions


def route_of(deployment: MLDeployment, host_template: str) -> RouteKey | None:
    routing = deployment.spec.routing
    if routing.type is RoutingType.NONE:
        return None
    metadata = deployment.metadata
    host = routing.host or host_template.format(name=metadata.name, namespace=metadata.namespace)
    path = f"/v2/models/{deployment.spec.model_name}"
    return RouteKey(class_name=routing.class_name, host=host, path=path)


def holder_of(cache: ObjectReader, manifest: Manifest, route: RouteKey, host_template: str) -> ObjectKey | None:
    """Another MLDeployment with this route: one that has it already, else an older one."""
    own = key_of(manifest)
    rivals: list[tuple[bool, str, ObjectKey]] = []
    for other in cache.list(ML_DEPLOYMENT):
        if is_deleting(other):
            continue
        try:
            claimed = route_of(MLDeployment.model_validate(other), host_template)
        except ValidationError:
            continue  # its own reconcile tells its owner
        if claimed == route:
            key = key_of(other)
            rivals.append((not _holds(cache, key, route), other["metadata"].get("creationTimestamp", ""), key))
    first = min(rivals, default=None)
    return None if first is None or first[2] == own else first[2]


def _holds(cache: ObjectReader, deployment: ObjectKey, route: RouteKey) -> bool:
    ingress = cache.get(INGRESS, deployment)
    return ingress is not None and route in route_keys(ingress)


def trouble_with_claim(cache: ObjectReader, namespace: str, target: ModelVersion | Missing) -> Trouble | None:
    if isinstance(target, Missing):
        return None
    claim = cache.get(PERSISTENT_VOLUME_CLAIM, ObjectKey(namespace, target.claim_name))
    return claim_trouble(target.claim_name, namespace, claim)
