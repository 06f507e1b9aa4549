"""Reads what matters to one MLDeployment into one frozen value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aurora_controller.analysis.scrape import Scrape
from aurora_controller.api import labels
from aurora_controller.api.reading import parsed, read
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment
from aurora_controller.api.v1alpha1.readings import ModelReading, versions_of
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
from aurora_controller.kube.reconcile import ObjectReader, Request, Waiting
from aurora_controller.rollout.health import Trouble, claim_trouble, is_ready, pods_trouble, workload_trouble
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.target import Catalogue, ModelVersion, catalogue
from aurora_controller.rollout.template import Frozen, frozen_in
from aurora_controller.traffic.router import RouteKey

CHILD_KINDS: Final = (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET)
SERVICE_NAME: Final = "kubernetes.io/service-name"
"""Label of an EndpointSlice: the Service that it belongs to."""
PREDECESSOR_RETRY_SECONDS: Final = 2.0


@dataclass(frozen=True, kw_only=True)
class Live:
    """A revision's Deployment and its pods."""

    name: str
    """Of the revision."""
    workload: Manifest
    frozen: Frozen | None
    pods: Sequence[Manifest] = ()

    @property
    def version(self) -> int:
        text = labels_of(self.workload).get(labels.VERSION, "")
        return int(text) if text.isdecimal() else 0

    @property
    def asked(self) -> int:
        replicas: int = self.workload["spec"].get("replicas", 1)
        return replicas

    @property
    def ready(self) -> int:
        return sum(is_ready(pod) for pod in self.pods)

    @property
    def trouble(self) -> Trouble | None:
        return pods_trouble(self.pods) or workload_trouble(self.workload)


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Who is behind a Service, as routers see it."""

    ready: Mapping[str, int] = field(default_factory=dict)
    """Ready endpoints by revision."""
    present: frozenset[str] = frozenset()
    """Revisions with any endpoint; an empty string stands for pods that are not known."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The Secret with the API keys."""

    name: str
    exists: bool = True
    is_generated: bool = True
    """Whether the controller makes it; otherwise the spec names one."""
    new_key: str | None = field(default=None, repr=False)
    """A fresh random key for a generated Secret that is missing."""
    look_again_seconds: float
    """Until a look at it is due."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """An MLDeployment and all that its next step depends on."""

    manifest: Manifest
    deployment: MLDeployment
    catalogue: Catalogue
    keys: Keys
    route: RouteKey | None = None
    """What is routed to it; None without routing."""
    contested: RouteKey | None = None
    """The route that it asks for and does not get."""
    route_holder: ObjectKey | None = None
    """The MLDeployment that holds the contested route."""
    children: Mapping[tuple[Kind, str], Manifest] = field(default_factory=dict)
    """Existing children of this very object, by kind and name."""
    live: Mapping[str, Live] = field(default_factory=dict)
    """Revisions with a Deployment, by name."""
    endpoints: Mapping[str, Endpoints] = field(default_factory=dict)
    """By Service."""
    claims: Mapping[str, Manifest | None] = field(default_factory=dict)
    """The claims that hold its revisions, by name."""
    scrape: Scrape | None = None
    """What the pods counted, when they were asked just now."""
    quiet: frozenset[str] = frozenset()
    """Revisions whose counters stood still between the last two scrapes."""
    runtime_image: str
    settle_seconds: float = 5.0

    def claim_trouble(self, name: str) -> Trouble | None:
        if name not in self.claims:
            return None
        return claim_trouble(name, self.deployment.metadata.namespace, self.claims[name])


def read_deployment(cache: ObjectReader, request: Request) -> tuple[Manifest, MLDeployment] | None:
    """The object itself, or None when it is gone or going. Raises Stalled when it cannot be understood."""
    manifest = cache.get(ML_DEPLOYMENT, request)
    if manifest is None or is_deleting(manifest):
        return None
    return manifest, parsed(MLDeployment, manifest)


def children_of(cache: ObjectReader, manifest: Manifest) -> dict[tuple[Kind, str], Manifest]:
    """Raises Waiting while children of an earlier object of this name are still there: they are being collected."""
    key = key_of(manifest)
    found: dict[tuple[Kind, str], Manifest] = {}
    for kind in CHILD_KINDS:
        for child in cache.with_label(kind, labels.DEPLOYMENT, key.name, key.namespace):
            if is_controlled_by(child, manifest):
                found[kind, key_of(child).name] = child
            elif is_of_predecessor(child, manifest):
                message = f"{kind.kind} {key_of(child).name} of an earlier MLDeployment of this name is being removed."
                raise Waiting("PredecessorPresent", message, PREDECESSOR_RETRY_SECONDS)
    return found


def is_of_predecessor(child: Manifest, manifest: Manifest) -> bool:
    owner = controller_of(child)
    return (
        owner is not None
        and owner["kind"] == ML_DEPLOYMENT.kind
        and owner["name"] == key_of(manifest).name
        and not is_controlled_by(child, manifest)
    )


def live_revisions(
    cache: ObjectReader, manifest: Manifest, children: Mapping[tuple[Kind, str], Manifest]
) -> dict[str, Live]:
    key = key_of(manifest)
    pods: dict[str, list[Manifest]] = {}
    for pod in cache.with_label(POD, labels.DEPLOYMENT, key.name, key.namespace):
        pods.setdefault(labels_of(pod).get(labels.REVISION, ""), []).append(pod)
    live = {}
    for (kind, _), workload in children.items():
        # The selector cannot be edited, the labels can.
        name = workload["spec"].get("selector", {}).get("matchLabels", {}).get(labels.REVISION, "")
        if kind == DEPLOYMENT and name and not is_deleting(workload):
            live[name] = Live(name=name, workload=workload, frozen=frozen_in(workload), pods=pods.get(name, ()))
    return live


def endpoints_of(cache: ObjectReader, key: ObjectKey) -> dict[str, Endpoints]:
    """By Service. An endpoint whose readiness is unknown counts as ready, as it does for kube-proxy."""
    ready: dict[str, dict[str, int]] = {}
    present: dict[str, set[str]] = {}
    for piece in cache.with_label(ENDPOINT_SLICE, labels.DEPLOYMENT, key.name, key.namespace):
        service = labels_of(piece).get(SERVICE_NAME, "")
        counts = ready.setdefault(service, {})
        for endpoint in piece.get("endpoints") or ():
            pod = cache.get(POD, ObjectKey(key.namespace, (endpoint.get("targetRef") or {}).get("name", "")))
            revision = labels_of(pod).get(labels.REVISION, "") if pod is not None else ""
            present.setdefault(service, set()).add(revision)
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                counts[revision] = counts.get(revision, 0) + 1
    return {
        service: Endpoints(ready=counts, present=frozenset(present.get(service, ())))
        for service, counts in ready.items()
    }


def catalogue_of(cache: ObjectReader, deployment: MLDeployment) -> Catalogue:
    namespace, model = deployment.metadata.namespace, deployment.spec.model_name
    status = deployment.status
    pinned: list[ModelVersion | int] = [
        Revision.from_status(one).model_version for one in (status.stable, status.canary) if one is not None
    ]
    if status.aborted is not None:
        pinned.append(status.aborted.version)
    versions, unreadable = versions_of(model, cache.with_label(ML_MODEL_VERSION, labels.MODEL, model, namespace))
    manifest = cache.get(ML_MODEL, ObjectKey(namespace, model))
    content = ModelReading() if manifest is None else read(ModelReading, manifest)
    return catalogue(model, versions, unreadable, content, pinned)


def claims_of(
    cache: ObjectReader, deployment: MLDeployment, known: Catalogue, live: Mapping[str, Live]
) -> dict[str, Manifest | None]:
    """The claims that any of its revisions may need, in so far as they exist."""
    names = {version.claim_name for version in known.versions.values()}
    names |= {one.frozen.revision.claim_name for one in live.values() if one.frozen is not None}
    namespace = deployment.metadata.namespace
    return {name: cache.get(PERSISTENT_VOLUME_CLAIM, ObjectKey(namespace, name)) for name in sorted(names)}
