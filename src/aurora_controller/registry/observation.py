"""Reads what matters to one MLModel into one frozen value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.api.v1alpha1.mlmodel import ServedBy
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, is_deleting, key_of, uid_of
from aurora_controller.kube.reconcile import Request


class ObjectReader(Protocol):
    """What this package asks of ``kube/cache.py``. What it hands out is read-only."""

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...
    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Manifest]: ...
    def with_label(self, kind: Kind, label: str, value: str, namespace: str | None = None) -> Sequence[Manifest]: ...


@dataclass(frozen=True, kw_only=True)
class RunOfJob:
    """The present run of an MLTrainingJob, as far as its reservation is concerned."""

    job_uid: str
    id: str | None
    number: int


@dataclass(frozen=True, kw_only=True)
class Observation:
    """A model, its versions, and who trains and serves it."""

    key: ObjectKey
    model: Manifest | None
    versions: Sequence[Manifest]
    """By number."""
    runs: Sequence[RunOfJob]
    """Of the MLTrainingJobs of this namespace."""
    served_by: Sequence[ServedBy]


def observe(cache: ObjectReader, request: Request) -> Observation | None:
    """None when there is neither the model nor a version of it."""
    model = cache.get(ML_MODEL, request)
    versions = [
        version
        for version in cache.with_label(ML_MODEL_VERSION, labels.MODEL, request.name, request.namespace)
        if not is_deleting(version)
    ]
    if (model is None and not versions) or (model is not None and is_deleting(model)):
        return None
    return Observation(
        key=request,
        model=model,
        versions=sorted(versions, key=lambda version: int(version["spec"]["version"])),
        runs=[_run_of(job) for job in cache.list(ML_TRAINING_JOB, request.namespace) if not is_deleting(job)],
        served_by=_servers(cache.list(ML_DEPLOYMENT, request.namespace), request.name),
    )


def _run_of(job: Manifest) -> RunOfJob:
    run: dict[str, Any] = (job.get("status") or {}).get("run") or {}
    return RunOfJob(job_uid=uid_of(job), id=run.get("id"), number=run.get("number", 0))


def _servers(deployments: Sequence[Manifest], model: str) -> list[ServedBy]:
    followers = [deployment for deployment in deployments if deployment["spec"]["modelName"] == model]
    return [
        ServedBy(name=key_of(deployment).name, role=role, version=status[role]["version"])
        for deployment in sorted(followers, key=lambda item: key_of(item).name)
        for status in [deployment.get("status") or {}]
        for role in ("stable", "canary")
        if status.get(role)
    ]
