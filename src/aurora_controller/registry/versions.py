"""Keeps the state of an MLModelVersion true to what exists."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import (
    ML_DEPLOYMENT,
    ML_MODEL_VERSION,
    ML_TRAINING_JOB,
    MODEL_NAME,
    TRAINED_BY,
)
from aurora_controller.api.v1alpha1.mlmodelversion import version_name
from aurora_controller.api.v1alpha1.readings import ServingReading, numbers_in
from aurora_controller.kube.meta import Manifest, ObjectKey, PolicyRule, key_of
from aurora_controller.kube.reconcile import ObjectReader, PatchStatus, Plan, Request, Watch
from aurora_controller.kube.store import text_at
from aurora_controller.registry.observation import VersionObservation, observe_version
from aurora_controller.registry.states import READY, version_status


class VersionReconciler:
    """The only writer of the states of MLModelVersions."""

    name = "versions"
    kind = ML_MODEL_VERSION
    primary_condition = READY
    rules: Sequence[PolicyRule] = (
        PolicyRule(labels.GROUP, ("mlmodelversions/status",), ("patch",)),
        PolicyRule(labels.GROUP, ("mlmodelversions", "mltrainingjobs", "mldeployments"), ("get", "list", "watch")),
    )

    def __init__(self, *, cache: ObjectReader) -> None:
        self._cache = cache
        self.watches: Sequence[Watch] = (
            Watch(kind=ML_TRAINING_JOB, requests=self._reserved_by),
            Watch(kind=ML_DEPLOYMENT, requests=_served_by),
        )

    async def observe(self, request: Request) -> VersionObservation | None:
        return observe_version(self._cache, request)

    def plan(self, observed: VersionObservation, now: datetime) -> Plan:
        status = version_status(observed, now)
        return Plan(writes=[PatchStatus(existing=observed.manifest, kind=ML_MODEL_VERSION, status=status)])

    def _reserved_by(self, job: Manifest) -> Iterable[Request]:
        key = key_of(job)
        return map(key_of, self._cache.with_field(ML_MODEL_VERSION, TRAINED_BY, key.name, key.namespace))


def _served_by(deployment: Manifest) -> Iterable[Request]:
    model = text_at(deployment, MODEL_NAME)
    if model is None:
        return ()
    namespace = key_of(deployment).namespace
    return [
        ObjectKey(namespace, version_name(model, number)) for number in sorted(numbers_in(ServingReading, deployment))
    ]
