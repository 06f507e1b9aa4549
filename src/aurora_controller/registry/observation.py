"""Reads what matters to one MLModel, or to one MLModelVersion, into one frozen value.

An object of another kind that cannot be read must not keep anybody from being told about all the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aurora_controller.api import labels
from aurora_controller.api.reading import Unreadable, parsed, read
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB, MODEL_NAME
from aurora_controller.api.v1alpha1.mlmodel import MLModel
from aurora_controller.api.v1alpha1.mlmodelversion import MLModelVersion, TrainedBy
from aurora_controller.api.v1alpha1.readings import (
    JobReading,
    RunReading,
    ServingReading,
    Version,
    numbers_in,
    versions_of,
)
from aurora_controller.kube.meta import Manifest, ObjectKey, is_deleting, key_of, uid_of
from aurora_controller.kube.reconcile import ObjectReader, Request

STABLE = "stable"
CANARY = "canary"


@dataclass(frozen=True, kw_only=True)
class Model:
    """The MLModel, as it is stored and as its schema reads it."""

    manifest: Manifest
    content: MLModel


@dataclass(frozen=True, kw_only=True, order=True)
class Server:
    """An MLDeployment and the version it serves in one role."""

    name: str
    role: str
    version: int


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A model, its versions, and who serves them."""

    key: ObjectKey
    model: Model | None
    """None when it is to be made."""
    versions: Sequence[Version]
    """By number."""
    unreadable: Sequence[Unreadable]
    """Versions that cannot be read."""
    servers: Sequence[Server]
    """By name, stable before canary."""
    referred_numbers: frozenset[int] = frozenset()
    """Numbers that the status of a training job or deployment of this model still names."""
    managed_fields: Sequence[Mapping[str, Any]] = ()
    """Who wrote what of the model; only when an alias has moved, for the cache does not hold it."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The MLTrainingJob that reserved a version."""

    run: RunReading | None
    """Its present run; None while it has none, or none that can be read: nothing is known against the reservation."""


@dataclass(frozen=True, kw_only=True)
class VersionObservation:
    """A version, who may still fulfil its reservation, and who serves it."""

    manifest: Manifest
    content: MLModelVersion
    holder: Holder | None
    """None when it is gone, or going."""
    servers: Sequence[Server]
    """By name, stable before canary."""


def observe(cache: ObjectReader, request: Request) -> Observation | None:
    """None when there is neither the model nor a version of it, or the model is being deleted.

    Raises Stalled for a model unlike its schema.
    """
    namespace, name = request.namespace, request.name
    manifest = cache.get(ML_MODEL, request)
    found = _staying(cache.with_label(ML_MODEL_VERSION, labels.MODEL, name, namespace))
    versions, unreadable = versions_of(name, found)
    if (manifest is None and not versions) or (manifest is not None and is_deleting(manifest)):
        return None
    jobs = _staying(cache.with_field(ML_TRAINING_JOB, MODEL_NAME, name, namespace))
    deployments = _serving(cache, name, namespace)
    return Observation(
        key=request,
        model=None if manifest is None else Model(manifest=manifest, content=parsed(MLModel, manifest)),
        versions=sorted(versions, key=lambda version: version.number),
        unreadable=unreadable,
        servers=_servers(deployments),
        referred_numbers=frozenset().union(
            *(numbers_in(JobReading, job) for job in jobs),
            *(numbers_in(ServingReading, deployment) for deployment in deployments),
        ),
    )


def observe_version(cache: ObjectReader, request: Request) -> VersionObservation | None:
    """None when the version is gone or going. Raises Stalled for one unlike its schema."""
    manifest = cache.get(ML_MODEL_VERSION, request)
    if manifest is None or is_deleting(manifest):
        return None
    content = parsed(MLModelVersion, manifest)
    servers = _servers(_serving(cache, content.spec.model_name, request.namespace))
    return VersionObservation(
        manifest=manifest,
        content=content,
        holder=_holder(cache, request.namespace, content.spec.trained_by),
        servers=[server for server in servers if server.version == content.spec.version],
    )


def _holder(cache: ObjectReader, namespace: str, trained_by: TrainedBy) -> Holder | None:
    job = cache.get(ML_TRAINING_JOB, ObjectKey(namespace, trained_by.name))
    if job is None or is_deleting(job) or uid_of(job) != trained_by.uid:
        return None
    content = read(JobReading, job)
    return Holder(run=None if isinstance(content, Unreadable) else content.status.run)


def _staying(manifests: Iterable[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if not is_deleting(manifest)]


def _serving(cache: ObjectReader, model: str, namespace: str) -> list[Manifest]:
    return _staying(cache.with_field(ML_DEPLOYMENT, MODEL_NAME, model, namespace))


def _servers(deployments: Iterable[Manifest]) -> list[Server]:
    """Of those that can be read."""
    servers = []
    for deployment in deployments:
        content = read(ServingReading, deployment)
        if not isinstance(content, Unreadable):
            name = key_of(deployment).name
            servers += [Server(name=name, role=role, version=version) for role, version in content.roles]
    return sorted(servers, key=lambda server: (server.name, server.role != STABLE))
