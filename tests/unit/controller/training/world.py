"""A namespace in memory: API server, Job controller, kubelet and trainer, as far as a training run meets them.

Time stands still until a test moves it. ``reconcile`` performs a plan as the executor would; ``run`` lets everybody
act until nothing changes any more.
"""

import copy
import itertools
import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.clock import format_time, parse_time
from aurora_controller.kube.merge_patch import merge_patch
from aurora_controller.kube.meta import JOB, PERSISTENT_VOLUME_CLAIM, POD, Kind, Manifest, ObjectKey, labels_of, uid_of
from aurora_controller.kube.reconcile import Confirm, Create, Delete, EventNote, PatchStatus, Plan, Write
from aurora_controller.kube.store import text_at
from aurora_controller.training.reconciler import TrainingReconciler
from aurora_runtime.contract import (
    EXIT_CODES,
    TRAINING_TASK_VARIABLE,
    Outcome,
    TensorSummary,
    TrainingProgress,
    TrainingReport,
    TrainingTask,
    VersionFacts,
)
from tests.unit.builders import NAMESPACE, a_claim, a_digest, a_trainer_pod, a_training_job, running, terminated

START = "2026-11-23T10:00:00Z"
JOB_NAME = "housing-rf"
MODEL = "california-housing"
RUNTIME_IMAGE = "aurora-runtime:test"


class NoProgress:
    """A trainer that does not tell."""

    async def read(self, *, pod_uid: str, pod_ip: str) -> TrainingProgress | None:
        return None


class ConflictError(Exception):
    """The write was decided on an older object."""


class World:
    """Starts with one MLTrainingJob and bound claims; ``spec`` are fields of the former."""

    def __init__(self, *, claims: Sequence[str] = ("aurora-models",), **spec: Any) -> None:
        self.now: datetime = parse_time(START)
        self.objects: dict[tuple[str, ObjectKey], Manifest] = {}
        self.store: dict[int, TrainingTask] = {}
        """What is published of the model: number → the task that published it."""
        self.writes: list[Write] = []
        self.created: list[str] = []
        """Names of all Jobs and versions that were ever created, in order."""
        self.events: list[EventNote] = []
        self._counter = itertools.count(1)
        self.reconciler = TrainingReconciler(cache=self, runtime_image=RUNTIME_IMAGE, progress=NoProgress())
        for claim in claims:
            self.put(a_claim(claim))
        self.put(a_training_job(JOB_NAME, metadata={"uid": "job-uid"}, **spec))

    # What reconcilers read

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        return self.objects.get((kind.kind, key))

    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Manifest]:
        return [obj for (name, key), obj in self.objects.items() if name == kind.kind and key.namespace == namespace]

    def with_label(self, kind: Kind, label: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        return [obj for obj in self.list(kind, namespace) if labels_of(obj).get(label) == value]

    def with_field(self, kind: Kind, field: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        return [obj for obj in self.list(kind, namespace) if text_at(obj, field) == value]

    # What people do

    def put(self, manifest: Manifest) -> Manifest:
        """Stores an object as it is."""
        metadata = manifest["metadata"]
        stored = copy.deepcopy(manifest)
        stored["metadata"]["resourceVersion"] = str(next(self._counter))
        self.objects[manifest["kind"], ObjectKey(metadata["namespace"], metadata["name"])] = stored
        return stored

    def remove(self, kind: Kind, name: str) -> None:
        self.objects.pop((kind.kind, ObjectKey(NAMESPACE, name)), None)

    def orphan(self, job_name: str) -> None:
        """Takes a Job its owner, as deleting with ``--cascade=orphan`` does."""
        del self.objects[JOB.kind, ObjectKey(NAMESPACE, job_name)]["metadata"]["ownerReferences"]

    def remove_jobs(self) -> None:
        """Deletes all Jobs; their pods are not collected yet."""
        self._remove_all(JOB)

    def remove_pods(self) -> None:
        self._remove_all(POD)

    def _remove_all(self, kind: Kind) -> None:
        for key in [key for key in self.objects if key[0] == kind.kind]:
            del self.objects[key]

    def edit(self, **spec: Any) -> None:
        """Changes fields of the job's spec (camelCase; None removes) and raises its generation."""
        job = copy.deepcopy(self.job)
        for key, value in spec.items():
            if value is None:
                job["spec"].pop(key, None)
            else:
                job["spec"][key] = value
        job["metadata"]["generation"] += 1
        self.put(job)

    def replace_job(self, uid: str) -> None:
        """Deletes the MLTrainingJob and applies it again; its children are not collected yet."""
        spec = copy.deepcopy(self.job["spec"])
        fresh = a_training_job(JOB_NAME, metadata={"uid": uid})
        self.put(fresh | {"spec": spec})

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # What tests look at

    @property
    def job(self) -> Manifest:
        return self.objects[ML_TRAINING_JOB.kind, ObjectKey(NAMESPACE, JOB_NAME)]

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.job.get("status") or {}
        return status

    def condition(self, type_: str = "Succeeded") -> dict[str, Any]:
        """The condition of this type, or an empty one."""
        return next((item for item in self.status.get("conditions", ()) if item["type"] == type_), {})

    @property
    def jobs(self) -> Sequence[str]:
        return sorted(job["metadata"]["name"] for job in self.list(JOB, NAMESPACE))

    def list_jobs(self) -> Sequence[Manifest]:
        return self.list(JOB, NAMESPACE)

    def version(self, number: int) -> Manifest:
        return self.objects[ML_MODEL_VERSION.kind, ObjectKey(NAMESPACE, f"{MODEL}-v{number}")]

    @property
    def versions(self) -> dict[int, str | None]:
        """Number → digest of what is recorded."""
        found = self.list(ML_MODEL_VERSION, NAMESPACE)
        return {item["spec"]["version"]: (item.get("status") or {}).get("digest") for item in found}

    # What the controller does

    async def plan(self) -> Plan:
        before = orjson.dumps(list(self.objects.values()))
        observed = await self.reconciler.observe(ObjectKey(NAMESPACE, JOB_NAME))
        if observed is None:
            return Plan()
        plan = self.reconciler.plan(observed, self.now)
        assert orjson.dumps(list(self.objects.values())) == before, "observed objects changed"
        return plan

    async def reconcile(self, *, only: int | None = None) -> Plan:
        """Performs the plan, or no more than its first ``only`` writes."""
        plan = await self.plan()
        self.perform(plan.writes[:only])
        if only is None:
            self.events.extend(plan.events)
        return plan

    async def settle(self) -> Plan:
        """Reconciles until nothing is left to write."""
        for _ in range(30):
            plan = await self.reconcile()
            if not plan.writes:
                return plan
        raise AssertionError(f"does not settle: {plan}")

    def perform(self, writes: Iterable[Write]) -> None:
        for write in writes:
            self.writes.append(write)
            match write:
                case Create():
                    self._create(write.manifest)
                case Delete():
                    self._delete(write.existing)
                case PatchStatus():
                    self._patch_status(write)
                case Confirm():
                    assert uid_of(self.version(write.existing["spec"]["version"])) == uid_of(write.existing)
                case _:
                    raise AssertionError(f"unexpected write {write}")

    def _create(self, manifest: Manifest) -> None:
        key = (manifest["kind"], ObjectKey(NAMESPACE, manifest["metadata"]["name"]))
        if key in self.objects:
            raise ConflictError(f"{key} exists")
        stored = json.loads(json.dumps(manifest))
        stored["metadata"] |= {"uid": f"uid-{next(self._counter)}", "creationTimestamp": format_time(self.now)}
        self.put(stored)
        self.created.append(manifest["metadata"]["name"])

    def _delete(self, existing: Manifest) -> None:
        live = self.objects.get((existing["kind"], ObjectKey(NAMESPACE, existing["metadata"]["name"])))
        if live is not None and uid_of(live) == uid_of(existing):
            del self.objects[existing["kind"], ObjectKey(NAMESPACE, existing["metadata"]["name"])]

    def _patch_status(self, write: PatchStatus) -> None:
        key = (write.kind.kind, ObjectKey(NAMESPACE, write.existing["metadata"]["name"]))
        live = self.objects[key]
        if live["metadata"]["resourceVersion"] != write.existing["metadata"]["resourceVersion"]:
            raise ConflictError(f"{key} was patched on an old version")
        patch = json.loads(json.dumps(merge_patch(live.get("status") or {}, write.status, partial=True)))
        assert patch, f"a status write that changes nothing: {write}"
        self.put(live | {"status": _merged(live.get("status") or {}, patch)})

    # What the cluster does

    def collect_garbage(self) -> None:
        """Removes what is owned by nobody that exists."""
        while True:
            uids = {uid_of(obj) for obj in self.objects.values()}
            orphans = [
                key
                for key, obj in self.objects.items()
                if any(owner["uid"] not in uids for owner in obj["metadata"].get("ownerReferences", ()))
            ]
            if not orphans:
                return
            for key in orphans:
                del self.objects[key]

    def start_pods(self) -> None:
        """The Job controller and the kubelet: every Job that has no pod and no end gets a running one."""
        for job in self.list(JOB, NAMESPACE):
            has_pod = any(self.pods_of(job["metadata"]["name"]))
            if not has_pod and not (job.get("status") or {}).get("conditions"):
                self.start_pod(job["metadata"]["name"])

    def start_pod(self, job_name: str, *, state: dict[str, Any] | None = None, **given: Any) -> Manifest:
        """One pod of a Job, its trainer in ``state``, running unless told otherwise."""
        job = self.objects[JOB.kind, ObjectKey(NAMESPACE, job_name)]
        name = f"{job_name}-{next(self._counter)}"
        return self.put(
            a_trainer_pod(
                name,
                state=running(format_time(self.now)) if state is None else state,
                labels=job["spec"]["template"]["metadata"]["labels"],
                owner=job,
                uid=f"uid-{name}",
                created_at=format_time(self.now),
                **given,
            )
        )

    def pods_of(self, job_name: str) -> Sequence[Manifest]:
        job = self.objects[JOB.kind, ObjectKey(NAMESPACE, job_name)]
        return [pod for pod in self.list(POD, NAMESPACE) if pod["metadata"]["ownerReferences"][0]["uid"] == uid_of(job)]

    def end(self, job_name: str, *, exit_code: int, message: str = "", reason: str | None = None) -> None:
        """The trainer of a Job terminates, and the Job with it."""
        pods = self.pods_of(job_name) or [self.start_pod(job_name)]
        pod = copy.deepcopy(pods[-1])
        end = terminated(exit_code, reason=reason, message=message)
        status, finished_at = pod["status"]["containerStatuses"][0], format_time(self.now)
        started_at = status["state"].get("running", {}).get("startedAt", finished_at)
        end["terminated"] |= {"startedAt": started_at, "finishedAt": finished_at}
        status["state"] = end
        pod["status"]["phase"] = "Failed" if exit_code else "Succeeded"
        self.put(pod)
        self.finish(job_name, "Failed" if exit_code else "Complete")

    def finish(self, job_name: str, type_: str, *, reason: str = "") -> None:
        """The Job controller sees the end of a Job."""
        job = copy.deepcopy(self.objects[JOB.kind, ObjectKey(NAMESPACE, job_name)])
        ended = {"type": type_, "status": "True", "reason": reason, "lastTransitionTime": format_time(self.now)}
        job.setdefault("status", {}).setdefault("conditions", []).append(ended)
        self.put(job)

    def report(self, job_name: str, outcome: Outcome, *, message: str = "", **fields: Any) -> None:
        """The trainer of a Job ends with this report."""
        task = self.task(job_name)
        report = TrainingReport(outcome=outcome, run_id=task.run_id, message=message, **fields)
        self.end(job_name, exit_code=int(EXIT_CODES[outcome]), message=report.to_termination_message())

    def train(self, job_name: str) -> None:
        """The trainer of a Job does its work, with the store having the last word."""
        task = self.task(job_name)
        mine = {number: other for number, other in self.store.items() if other.trained_by.name == task.trained_by.name}
        alike = [number for number, other in mine.items() if other.inputs == task.inputs]
        known = self.store.get(task.version)
        if known is not None and known.run_id == task.run_id:
            self.report(job_name, Outcome.SUCCEEDED, facts=facts_of(known))
        elif task.may_reuse and alike:
            facts = facts_of(self.store[max(alike)])
            self.report(job_name, Outcome.REUSED, facts=facts, highest_version=max(self.store))
        elif known is not None:
            self.report(job_name, Outcome.VERSION_TAKEN, highest_version=max(self.store))
        else:
            self.store[task.version] = task
            self.report(job_name, Outcome.SUCCEEDED, facts=facts_of(task))

    def task(self, job_name: str) -> TrainingTask:
        """What the Job asks its trainer to do."""
        job = self.objects[JOB.kind, ObjectKey(NAMESPACE, job_name)]
        environment = {item["name"]: item["value"] for item in trainer_of(job)["env"]}
        return TrainingTask.model_validate_json(environment[TRAINING_TASK_VARIABLE])

    def step(self) -> None:
        """Everybody but the controller acts once: garbage goes, pods start, running trainers finish their work."""
        self.collect_garbage()
        for job in self.list(JOB, NAMESPACE):
            name = job["metadata"]["name"]
            if any(is_running(pod) for pod in self.pods_of(name)):
                self.train(name)
        self.start_pods()

    def _versions_of_all(self) -> dict[tuple[str, ObjectKey], str]:
        return {key: obj["metadata"]["resourceVersion"] for key, obj in self.objects.items()}

    async def run(self) -> None:
        """Everybody acts, and time passes, until nothing changes any more."""
        for _ in range(60):
            plan = await self.settle()
            before = self._versions_of_all()
            self.step()
            if before != self._versions_of_all():
                continue
            if plan.requeue_after_seconds is None or self.status.get("phase") in {"Succeeded", "Failed", "Suspended"}:
                return
            self.advance(plan.requeue_after_seconds)
        raise AssertionError(f"does not come to rest: {self.status}")


def facts_of(task: TrainingTask) -> VersionFacts:
    """What a trainer reports of the version that this task published."""
    return VersionFacts(
        version=task.version,
        run_id=task.run_id,
        digest=a_digest(task.version),
        size_bytes=1234,
        format="onnx",
        algorithm=task.inputs.algorithm,
        task="regression",
        metrics={"r2": 0.8123, "rmse": 0.5},
        primary_metric="r2",
        inputs=[TensorSummary(name="rooms", datatype="FP64", shape=[-1])],
        outputs=[TensorSummary(name="prediction", datatype="FP64", shape=[-1])],
        feature_count=8,
        created_at=START,
    )


def is_running(pod: Manifest) -> bool:
    return "running" in pod["status"]["containerStatuses"][0]["state"]


def trainer_of(job: Manifest) -> dict[str, Any]:
    """The trainer container of a Job."""
    container: dict[str, Any] = job["spec"]["template"]["spec"]["containers"][0]
    return container


def run_label(obj: Manifest) -> str:
    return labels_of(obj)[labels.RUN]


def claim_key(name: str = "aurora-models") -> tuple[str, ObjectKey]:
    return PERSISTENT_VOLUME_CLAIM.kind, ObjectKey(NAMESPACE, name)


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
