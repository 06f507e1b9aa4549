"""Keeps an MLModel true to what exists."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB, MODEL_NAME
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, PolicyRule, key_of
from aurora_controller.kube.reconcile import Create, ObjectReader, PatchStatus, Plan, Request, Watch
from aurora_controller.kube.store import text_at
from aurora_controller.registry.aliases import have_moved
from aurora_controller.registry.observation import Observation, observe
from aurora_controller.registry.states import READY
from aurora_controller.registry.status import aliases_of, model_status


class LiveReader(Protocol):
    """A live look at one object."""

    async def get_or_none(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...


class RegistryReconciler:
    """The only writer of MLModels."""

    name = "registry"
    kind = ML_MODEL
    primary_condition = READY
    rules: Sequence[PolicyRule] = (
        PolicyRule(labels.GROUP, ("mlmodels",), ("get", "list", "watch", "create")),
        PolicyRule(labels.GROUP, ("mlmodels/status",), ("patch",)),
        PolicyRule(labels.GROUP, ("mlmodelversions", "mltrainingjobs", "mldeployments"), ("get", "list", "watch")),
    )
    watches: Sequence[Watch]

    def __init__(self, *, cache: ObjectReader, live: LiveReader) -> None:
        self._cache = cache
        self._live = live
        self.watches = (
            Watch(kind=ML_MODEL_VERSION, requests=_model_of),
            Watch(kind=ML_TRAINING_JOB, requests=_model_of),
            Watch(kind=ML_DEPLOYMENT, requests=_model_of),
        )

    async def observe(self, request: Request) -> Observation | None:
        observed = observe(self._cache, request)
        if observed is None or observed.model is None or not have_moved(observed.model.content, aliases_of(observed)):
            return observed
        # The history names who moved an alias. The cache keeps no managedFields, so this rare case asks for them.
        live = await self._live.get_or_none(ML_MODEL, request)
        return replace(observed, managed_fields=(live or {"metadata": {}})["metadata"].get("managedFields") or ())

    def plan(self, observed: Observation, now: datetime) -> Plan:
        if observed.model is None:
            # On demand, without an owner: a model is more than any one job or version of it.
            return Plan(writes=[Create(manifest=_new_model(observed.key))])
        status = model_status(observed, observed.model, now)
        return Plan(writes=[PatchStatus(existing=observed.model.manifest, kind=ML_MODEL, status=status)])


def _model_of(obj: Manifest) -> Iterable[Request]:
    """All of Aurora's other kinds name their model the same way; one unlike its schema may name none."""
    model = text_at(obj, MODEL_NAME)
    return (ObjectKey(key_of(obj).namespace, model),) if model else ()


def _new_model(key: ObjectKey) -> Manifest:
    return {
        "apiVersion": ML_MODEL.api_version,
        "kind": ML_MODEL.kind,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {labels.MANAGED_BY: labels.MANAGED_BY_AURORA},
        },
        "spec": {},
    }
