"""A namespace in memory, and the registry at work in it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from aurora_controller.api.labels import FIELD_MANAGER
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.clock import parse_time
from aurora_controller.kube.executor import Executor
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, key_of
from aurora_controller.kube.reconcile import Reconciler, Request
from aurora_controller.registry.reconciler import RegistryReconciler
from aurora_controller.registry.versions import VersionReconciler
from tests.unit.builders import MODEL, NAMESPACE
from tests.unit.fakes.cluster import FakeCluster

LATER = "2026-11-23T11:00:00Z"
REQUEST = ObjectKey(NAMESPACE, MODEL)


class Forgetful:
    """Tells nobody of writes: the cache of these tests is never behind."""

    def wrote(self, request: Request, kind: Kind, obj: Manifest) -> None: ...
    def deleted(self, request: Request, kind: Kind, key: ObjectKey, uid: str) -> None: ...


class Namespace:
    """``present`` are the objects it starts with."""

    def __init__(self, *present: Manifest) -> None:
        self.cluster = FakeCluster(ML_TRAINING_JOB, ML_MODEL_VERSION, ML_MODEL, ML_DEPLOYMENT)
        self.managed_fields: Sequence[Mapping[str, Any]] = ()
        """What a live look at the MLModel tells beside what the cache holds."""
        self.live_looks = 0
        self.now: datetime = parse_time(LATER)
        self.add(*present)
        self.restart()

    def restart(self) -> None:
        """A new controller process."""
        self.reconciler = RegistryReconciler(cache=self.cluster.cache, live=self)
        self.versions = VersionReconciler(cache=self.cluster.cache)
        self._executor = Executor(
            client=self.cluster, writes=Forgetful(), field_manager=FIELD_MANAGER, intent_annotation="intent"
        )

    def add(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            self.cluster.add(manifest)

    def remove(self, kind: Kind, name: str) -> None:
        self.cluster.remove(kind, name, namespace=NAMESPACE)

    def edit(self, kind: Kind, name: str, **patch: Any) -> None:
        """A merge patch by somebody else; keywords are the object's top level."""
        self.cluster.edit(kind, name, patch, namespace=NAMESPACE)

    async def get_or_none(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        """The live look that the reconciler takes."""
        self.live_looks += 1
        live = await self.cluster.get_or_none(kind, key)
        if live is not None:
            live["metadata"]["managedFields"] = list(self.managed_fields)
        return live

    async def reconcile(self) -> list[str]:
        """Reconciles until nothing changes; the writes that were sent, in order."""
        before = len(self.cluster.writes)
        for _ in range(5):
            sent = len(self.cluster.writes)
            await self.reconcile_versions()
            await self.reconcile_model()
            if len(self.cluster.writes) == sent:
                self.cluster.check_nothing_mutated()
                return self.cluster.writes[before:]
        raise AssertionError(f"never quiet: {self.cluster.writes[before:]}")

    async def reconcile_versions(self) -> None:
        for version in self.cluster.cache.list(ML_MODEL_VERSION, NAMESPACE):
            await self._reconcile(self.versions, key_of(version))

    async def reconcile_model(self) -> None:
        await self._reconcile(self.reconciler, REQUEST)

    async def _reconcile(self, reconciler: Reconciler[Any], request: Request) -> None:
        observed = await reconciler.observe(request)
        if observed is not None:
            await self._executor.execute(request, reconciler.plan(observed, self.now))

    def model(self) -> Mapping[str, Any]:
        """The status of the MLModel."""
        status: Mapping[str, Any] = self.cluster.live(ML_MODEL, MODEL, namespace=NAMESPACE)["status"]
        return status

    def version(self, number: int) -> Mapping[str, Any]:
        """The status of an MLModelVersion."""
        manifest = self.cluster.live(ML_MODEL_VERSION, f"{MODEL}-v{number}", namespace=NAMESPACE)
        status: Mapping[str, Any] = manifest["status"]
        return status
