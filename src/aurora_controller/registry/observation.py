"""Reads what matters to one MLModel into one frozen value.

An object of another kind that is not as the schema says (stored by an older one, or edited by hand) is passed over: it
must not keep a model from being told about all the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB, MODEL_NAME
from aurora_controller.api.v1alpha1.mlmodel import MLModel
from aurora_controller.api.v1alpha1.mltrainingjob import RunPhase
from aurora_controller.kube.meta import Manifest, ObjectKey, is_deleting, key_of, uid_of
from aurora_controller.kube.reconcile import ObjectReader, Request, Stalled

STABLE = "stable"
CANARY = "canary"


@dataclass(frozen=True, kw_only=True)
class Model:
    """The MLModel, as it is stored and as its schema reads it."""

    manifest: Manifest
    content: MLModel


@dataclass(frozen=True, kw_only=True)
class Version:
    """An MLModelVersion, as far as the registry is concerned."""

    manifest: Manifest
    number: int
    run: str
    trained_by: tuple[str, str]
    """Name and uid of the MLTrainingJob that reserved the number."""

    @property
    def status(self) -> Mapping[str, Any]:
        return self.manifest.get("status") or {}

    @property
    def digest(self) -> str | None:
        """Present once the version is published and its facts are recorded."""
        return self.status.get("digest")


@dataclass(frozen=True, kw_only=True)
class JobRun:
    """An MLTrainingJob and its present run, as far as reservations are concerned."""

    job: tuple[str, str]
    """Name and uid of the MLTrainingJob."""
    id: str | None = None
    """None while it has no run."""
    number: int = 0
    version: int | None = None
    """The number that the run holds now."""
    is_succeeded: bool = False


@dataclass(frozen=True, kw_only=True, order=True)
class Server:
    """An MLDeployment and the version it serves in one role."""

    name: str
    role: str
    version: int


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A model, its versions, and who trains and serves it."""

    key: ObjectKey
    model: Model | None
    """None when it is to be made."""
    versions: Sequence[Version]
    """By number."""
    runs: Sequence[JobRun]
    """Of this model's MLTrainingJobs."""
    servers: Sequence[Server]
    """By name, stable before canary."""
    referred_numbers: frozenset[int] = frozenset()
    """Numbers that the status of a training job or deployment of this model still names."""
    managed_fields: Sequence[Mapping[str, Any]] = ()
    """Who wrote what of the model; only when an alias has moved, for the cache does not hold it."""


def observe(cache: ObjectReader, request: Request) -> Observation | None:
    """None when there is neither the model nor a version of it, or the model is being deleted.

    Raises Stalled for a model unlike its schema.
    """
    manifest = cache.get(ML_MODEL, request)
    labelled = cache.with_label(ML_MODEL_VERSION, labels.MODEL, request.name, request.namespace)
    versions = [_version(one) for one in _of_model(labelled, request.name)]
    if (manifest is None and not versions) or (manifest is not None and is_deleting(manifest)):
        return None
    jobs, deployments = (
        [one for one in cache.with_field(kind, MODEL_NAME, request.name, request.namespace) if not is_deleting(one)]
        for kind in (ML_TRAINING_JOB, ML_DEPLOYMENT)
    )
    return Observation(
        key=request,
        model=None if manifest is None else Model(manifest=manifest, content=_parsed(manifest)),
        versions=sorted(versions, key=lambda version: version.number),
        runs=[_run(job) for job in jobs],
        servers=sorted((server for item in deployments for server in _servers(item)), key=_name_then_stable_first),
        referred_numbers=frozenset(_numbers_in_status([*jobs, *deployments])),
    )


def _parsed(manifest: Manifest) -> MLModel:
    try:
        return MLModel.model_validate(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Stalled("InvalidObject", f"{where}: {first['msg']}") from error


def _of_model(manifests: Iterable[Manifest], model: str) -> list[Manifest]:
    return [
        manifest
        for manifest in manifests
        if (manifest.get("spec") or {}).get("modelName") == model and not is_deleting(manifest)
    ]


def _version(manifest: Manifest) -> Version:
    spec = manifest["spec"]
    trained_by = spec.get("trainedBy") or {}
    return Version(
        manifest=manifest,
        number=spec["version"],
        run=spec.get("run", ""),
        trained_by=(trained_by.get("name", ""), trained_by.get("uid", "")),
    )


def _run(job: Manifest) -> JobRun:
    run: Mapping[str, Any] = (job.get("status") or {}).get("run") or {}
    return JobRun(
        job=(key_of(job).name, uid_of(job)),
        id=run.get("id"),
        number=run.get("number", 0),
        version=run.get("version"),
        is_succeeded=run.get("phase") == RunPhase.SUCCEEDED,
    )


def _servers(deployment: Manifest) -> list[Server]:
    status = deployment.get("status") or {}
    return [
        Server(name=key_of(deployment).name, role=role, version=status[role]["version"])
        for role in (STABLE, CANARY)
        if status.get(role)
    ]


def _name_then_stable_first(server: Server) -> tuple[str, bool]:
    return server.name, server.role != STABLE


def _numbers_in_status(manifests: Iterable[Manifest]) -> Iterable[int]:
    for manifest in manifests:
        status = manifest.get("status") or {}
        holders = (
            status,
            *(status.get(name) or {} for name in ("run", STABLE, CANARY)),
            *(status.get("previous") or ()),
        )
        yield from (holder["version"] for holder in holders if isinstance(holder.get("version"), int))
