"""A namespace that holds every kind, with all reconcilers at work in it and others doing their part.

``a_lived_in_namespace`` tells a story that leaves something of everything behind. What controllers under the earlier
schemas left behind after that story is kept in ``golden/``; see ``test_api_evolution.py``.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from aurora_controller.analysis.accounting import Reading
from aurora_controller.analysis.scrape import PodAddress, Scrape
from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_MODEL, ML_TRAINING_JOB
from aurora_controller.kube.clock import format_time
from aurora_controller.kube.executor import Executor
from aurora_controller.kube.meta import JOB, POD, SECRET, Kind, Manifest, ObjectKey
from aurora_runtime.contract import EXIT_CODES, TRAINING_TASK_VARIABLE, Outcome, TrainingReport, TrainingTask
from tests.unit.builders import (
    NAMESPACE,
    a_claim,
    a_deployment,
    a_trainer_pod,
    a_training_job,
    running,
    terminated,
)
from tests.unit.controller import golden
from tests.unit.controller.every_kind import KINDS, reconcilers_of
from tests.unit.controller.rollout.neighbours import ManualClock, Neighbours
from tests.unit.controller.rollout.world import NoLog
from tests.unit.controller.training.world import NoProgress, facts_of, trainer_of
from tests.unit.fakes.cluster import FakeCluster

MODEL = "california-housing"


class Schemas:
    """Stores Aurora's objects as the API server does: pruned and completed by the schemas in ``folder``."""

    def __init__(self, folder: Path = golden.CRDS) -> None:
        self._by_kind = _schemas(folder)

    def __call__(self, obj: Manifest) -> None:
        schema = self._by_kind.get(obj["kind"], {}).get("properties", {})
        for part in ("spec", "status"):
            if part in obj:
                _store(obj[part], schema.get(part, _ANYTHING))


@cache
def _schemas(folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """By kind. To be read only: all namespaces share them."""
    crds = [yaml.safe_load(path.read_text()) for path in folder.glob("aurora.io_*.yaml")]
    return {crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for crd in crds}


_ANYTHING: Mapping[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}


def _store(value: Any, schema: Mapping[str, Any]) -> None:
    if isinstance(value, list):
        for item in value:
            _store(item, schema.get("items", _ANYTHING))
    if not isinstance(value, dict) or schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    properties, others = schema.get("properties", {}), schema.get("additionalProperties")
    for name in [name for name in value if name not in properties and others is None]:
        del value[name]
    for name, inner in properties.items():
        if name not in value and "default" in inner:
            value[name] = copy.deepcopy(inner["default"])
    for name, item in value.items():
        _store(item, properties.get(name, others or _ANYTHING))


class IdlePods:
    """Servers that nobody has asked anything."""

    async def read(self, pods: Sequence[PodAddress]) -> Scrape:
        return Scrape(readings=[Reading(pod=pod.uid, revision=pod.revision, start_time=0, requests=0) for pod in pods])


@dataclass
class WholeNamespace:
    """Time stands still until a test moves it."""

    runtime_image: str = "aurora-runtime:1"
    clock: ManualClock = field(default_factory=ManualClock)
    cluster: FakeCluster = field(default_factory=lambda: FakeCluster(*KINDS, defaults=Schemas()))

    def __post_init__(self) -> None:
        self._neighbours = Neighbours(cluster=self.cluster, clock=self.clock)
        self._executor = Executor(
            client=self.cluster, writes=NoLog(), field_manager=labels.FIELD_MANAGER, intent_annotation=labels.INTENT
        )
        self._reconcilers = reconcilers_of(
            self.cluster,
            clock=self.clock,
            progress=NoProgress(),
            counters=IdlePods(),
            runtime_image=self.runtime_image,
        )

    def stored(self) -> dict[str, Any]:
        """Everything in the namespace but its keys, and what time it is."""
        objects = [
            copy.deepcopy(self.cluster.live(kind, name, NAMESPACE))
            for kind in KINDS
            for name in self.cluster.names(kind)
        ]
        for obj in objects:
            if obj["kind"] == SECRET.kind:
                obj["stringData"] = dict.fromkeys(obj["stringData"], "a key")
        return {"now": format_time(self.clock.at), "objects": objects}

    def edit(self, kind: Kind, name: str, **patch: Any) -> None:
        """A merge patch by somebody else; keywords are the object's top level."""
        self.cluster.edit(kind, name, patch, namespace=NAMESPACE)

    async def run(self, seconds: int) -> None:
        """Others act and the controller reconciles, second by second."""
        for _ in range(seconds):
            self.clock.at += timedelta(seconds=1)
            self._neighbours.act()
            self._start_trainers()
            await self.reconcile()

    async def reconcile(self) -> None:
        """Until nothing is written."""
        for _ in range(20):
            before = len(self.cluster.writes)
            for reconciler in self._reconcilers:
                for name in self._names(reconciler.kind):
                    key = ObjectKey(NAMESPACE, name)
                    observed = await reconciler.observe(key)
                    if observed is not None:
                        await self._executor.execute(key, reconciler.plan(observed, self.clock.now()))
            if len(self.cluster.writes) == before:
                return
        raise AssertionError(f"never quiet: {self.cluster.writes[-10:]}")

    def _names(self, kind: Kind) -> list[str]:
        # A model is made by whoever reconciles the model of a version.
        return [MODEL] if kind == ML_MODEL else self.cluster.names(kind)

    def _start_trainers(self) -> None:
        for name in self.cluster.names(JOB):
            job = self.cluster.live(JOB, name, NAMESPACE)
            if f"{name}-pod" not in self.cluster.names(POD):
                marks = job["spec"]["template"]["metadata"]["labels"]
                state = running(format_time(self.clock.at))
                self.cluster.add(a_trainer_pod(f"{name}-pod", state=state, labels=marks, owner=job))

    def end_trainer(self, name: str, outcome: Outcome) -> None:
        """The trainer of this Job ends so."""
        job, is_success = self.cluster.live(JOB, name, NAMESPACE), outcome is Outcome.SUCCEEDED
        environment = {one["name"]: one["value"] for one in trainer_of(job)["env"]}
        task = TrainingTask.model_validate_json(environment[TRAINING_TASK_VARIABLE])
        report = TrainingReport(
            outcome=outcome,
            run_id=task.run_id,
            message="" if is_success else "column rooms is missing",
            facts=facts_of(task) if is_success else None,
        )
        end = terminated(int(EXIT_CODES[outcome]), message=report.to_termination_message())
        end["terminated"]["finishedAt"] = format_time(self.clock.at)
        self.edit(POD, f"{name}-pod", status=a_trainer_pod("any", state=end)["status"])
        self.edit(
            JOB, name, status={"conditions": [{"type": "Complete" if is_success else "Failed", "status": "True"}]}
        )


async def a_lived_in_namespace(namespace: WholeNamespace) -> None:
    """Two versions, one of them the champion; servers idle, on trial and promoted; trainers in every state."""
    cluster = namespace.cluster
    cluster.add(a_claim(), a_training_job("housing"))
    await namespace.run(3)
    namespace.end_trainer("housing-v1-1", Outcome.SUCCEEDED)
    await namespace.run(3)
    namespace.edit(ML_MODEL, MODEL, spec={"aliases": {"champion": 1}})
    resources = {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    server = {
        "limits": {"threads": 2, "requestTimeoutSeconds": 5},
        "batching": {"maxRows": 8},
        "logging": {"level": "Debug", "accessLogPercent": 50, "payloads": {"percent": 10, "redact": ["rooms"]}},
    }
    cluster.add(
        a_deployment("plain", version="champion"),
        a_deployment(
            "trial",
            replicas=2,
            resources=resources,
            server=server,
            placement={"nodeSelector": {"disk": "fast"}, "labels": {"team": "pricing"}},
            strategy={"canaryWeight": 25},
            routing={"host": "trial.example.org"},
        ),
        a_deployment("rolling", strategy={"type": "RollingUpdate"}, routing={"type": "None"}),
    )
    await namespace.run(30)
    namespace.edit(ML_TRAINING_JOB, "housing", spec={"algorithm": "ridge", "hyperparameters": {"alpha": 1.5}})
    await namespace.run(3)
    namespace.end_trainer("housing-v2-1", Outcome.SUCCEEDED)
    await namespace.run(60)
    cluster.add(
        a_training_job("broken", algorithm="knn"),
        a_training_job("failing", algorithm="svm"),
        a_training_job("suspended", suspend=True),
    )
    await namespace.run(3)
    cluster.add(a_training_job("training", algorithm="mlp"))
    await namespace.run(3)
    for name in cluster.names(JOB):
        if name.startswith("broken"):
            namespace.end_trainer(name, Outcome.INVALID_INPUT)
        if name.startswith("failing"):
            namespace.end_trainer(name, Outcome.FAILED)
    await namespace.run(3)
