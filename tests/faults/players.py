"""Plays kube-controller-manager and kubelet: pods of Jobs and Deployments, their status, endpoints, garbage collection.

It acts through the API server like the originals, past the proxy, whenever something in a namespace has changed. What
it writes rests on live answers where a wrong guess would do harm (garbage), and is named deterministically elsewhere.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from aurora_controller.api import labels
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.clock import format_time
from aurora_controller.kube.errors import ApiError
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    JOB,
    POD,
    SERVICE,
    Kind,
    Manifest,
    ObjectKey,
    is_deleting,
    key_of,
    labels_of,
    uid_of,
)
from aurora_runtime.contract import EXIT_CODES, TRAINING_TASK_VARIABLE, Outcome, TrainingReport, TrainingTask
from tests.faults.mirror import MIRRORED, Mirror, status_of
from tests.faults.pod_servers import PodServers
from tests.unit.builders import an_owner_reference
from tests.unit.controller.training.world import facts_of

FOREGROUND: Final = "foregroundDeletion"
_SERVICE_NAME: Final = "kubernetes.io/service-name"


class Players:
    """``hold`` keeps a namespace still until ``go_on``, so that a test decides what happens there."""

    def __init__(self, mirror: Mirror, client: KubeClient) -> None:
        self._mirror = mirror
        self._client = client
        self._dirty: set[str] = set()
        self._held: set[str] = set()
        self._acting: dict[str, asyncio.Task[None]] = {}
        """By namespace: the last look at it."""
        self._wake = asyncio.Event()
        self._failing_jobs: dict[str, int] = {}
        self._outcomes: dict[str, Outcome] = {}
        """By uid of the trainer's pod: it is chosen once, however often it takes to write it down."""
        self._servers = PodServers()
        mirror.on_change(self._mark)

    async def hold(self, namespace: str) -> None:
        """Returns when nothing is under way there any more."""
        self._held.add(namespace)
        if (task := self._acting.get(namespace)) is not None:
            await asyncio.wait([task])

    def go_on(self, namespace: str) -> None:
        self._held.discard(namespace)
        self._mark(namespace)

    def fail_next(self, namespace: str, times: int = 1) -> None:
        """So many trainers there end by an infrastructure failure."""
        self._failing_jobs[namespace] = times

    async def run(self) -> None:
        try:
            await self._play()
        finally:
            await self._servers.keep(set())

    async def _play(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                await self._servers.keep({uid_of(pod) for pod in self._mirror.all(POD)})
                for namespace in self._dirty - self._held:
                    if (task := self._acting.get(namespace)) is not None and not task.done():
                        task.add_done_callback(lambda _: self._wake.set())
                        continue
                    self._dirty.discard(namespace)
                    self._acting[namespace] = group.create_task(self._act(namespace))

    def _mark(self, namespace: str) -> None:
        self._dirty.add(namespace)
        self._wake.set()

    async def _act(self, namespace: str) -> None:
        # A refusal means that the mirror is a moment behind: the event that follows brings another look.
        with suppress(ApiError):
            await self._collect_garbage(namespace)
        for job in self._mirror.list(JOB, namespace):
            with suppress(ApiError):
                await self._run_job(job)
        for workload in self._mirror.list(DEPLOYMENT, namespace):
            with suppress(ApiError):
                await self._run_workload(workload)
        with suppress(ApiError):
            await self._slice_endpoints(namespace)

    # -- garbage

    async def _collect_garbage(self, namespace: str) -> None:
        objects = list(self._mirror.everything(namespace))
        uids = {uid_of(obj) for _, obj in objects}
        leaving = {uid_of(obj) for _, obj in objects if FOREGROUND in finalizers_of(obj) and is_deleting(obj)}
        for kind, obj in objects:
            owners = obj["metadata"].get("ownerReferences") or ()
            dead = [owner for owner in owners if owner["uid"] not in uids or owner["uid"] in leaving]
            if owners and len(dead) == len(owners) and not is_deleting(obj) and await self._are_gone(namespace, dead):
                await self._remove(kind, obj)
        for kind, obj in objects:
            if uid_of(obj) in leaving and not any(uid_of(obj) in owner_uids(child) for _, child in objects):
                rest = [name for name in finalizers_of(obj) if name != FOREGROUND]
                await self._client.merge_patch(kind, key_of(obj), {"metadata": {"finalizers": rest or None}})

    async def _are_gone(self, namespace: str, owners: Iterable[Mapping[str, Any]]) -> bool:
        """The owner's event may simply not be here yet: the server has the last word."""
        kinds = {kind.kind: kind for kind in MIRRORED}
        for owner in owners:
            live = await self._client.get_or_none(kinds[owner["kind"]], ObjectKey(namespace, owner["name"]))
            if live is not None and uid_of(live) == owner["uid"] and not is_deleting(live):
                return False
        return True

    async def _remove(self, kind: Kind, obj: Manifest) -> None:
        with suppress(ApiError):
            await self._client.delete(kind, key_of(obj), uid=uid_of(obj), propagation="Background")

    # -- Jobs

    async def _run_job(self, job: Manifest) -> None:
        if is_deleting(job) or job["spec"].get("suspend") or any(is_end(one) for one in conditions_of(job)):
            return
        namespace, name = key_of(job).namespace, key_of(job).name
        pod = self._mirror.get(POD, namespace, f"{name}-0")
        if pod is None:
            await self._client.create(POD, pod_of(job, f"{name}-0", JOB))
            return
        if uid_of(job) not in owner_uids(pod):
            return
        trainer = pod["spec"]["containers"][0]["name"]
        phase = status_of(pod).get("phase")
        if phase == "Pending":
            running = container(trainer, {"running": {"startedAt": now()}})
            status = {"phase": "Running", "podIP": "127.0.0.1", "startTime": now(), "containerStatuses": [running]}
            await self._patch_status(POD, pod, status)
            await self._patch_status(JOB, job, {"startTime": now(), "active": 1, "ready": 1})
        elif phase == "Running":
            await self._end_trainer(job, pod, trainer)
        else:
            await self._patch_status(JOB, job, ended(job, succeeded=phase == "Succeeded"))

    async def _end_trainer(self, job: Manifest, pod: Manifest, trainer: str) -> None:
        variables = {
            item["name"]: item.get("value", "") for item in job["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        task = TrainingTask.model_validate_json(variables[TRAINING_TASK_VARIABLE])
        outcome = self._outcome_of(pod)
        report = TrainingReport(
            outcome=outcome, run_id=task.run_id, facts=facts_of(task) if outcome is Outcome.SUCCEEDED else None
        )
        code = int(EXIT_CODES[outcome])
        end = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": report.to_termination_message(),
            "startedAt": status_of(pod)["containerStatuses"][0]["state"]["running"]["startedAt"],
            "finishedAt": now(),
        }
        status = {
            "phase": "Failed" if code else "Succeeded",
            "containerStatuses": [container(trainer, {"terminated": end})],
        }
        await self._patch_status(POD, pod, status)

    def _outcome_of(self, pod: Manifest) -> Outcome:
        uid, namespace = uid_of(pod), key_of(pod).namespace
        if uid not in self._outcomes:
            fails = self._failing_jobs.get(namespace, 0) > 0
            self._failing_jobs[namespace] = self._failing_jobs.get(namespace, 0) - fails
            self._outcomes[uid] = Outcome.STORAGE_UNAVAILABLE if fails else Outcome.SUCCEEDED
        return self._outcomes[uid]

    # -- Deployments

    async def _run_workload(self, workload: Manifest) -> None:
        namespace, name = key_of(workload).namespace, key_of(workload).name
        if is_deleting(workload) or labels.MODEL not in labels_of(workload["spec"]["template"]):
            return  # nobody serves what is not Aurora's
        mine = [pod for pod in self._mirror.list(POD, namespace) if uid_of(workload) in owner_uids(pod)]
        wanted = workload["spec"].get("replicas", 1)
        have = {key_of(pod).name for pod in mine}
        places = [f"{name}-{number}-{uid_of(workload)[:4]}" for number in range(wanted)]
        for pod in mine:
            if key_of(pod).name not in places:
                await self._remove(POD, pod)
        for place in places:
            if place not in have:
                await self._client.create(POD, pod_of(workload, place, DEPLOYMENT))
        for pod in mine:
            if status_of(pod).get("phase") == "Pending":
                await self._patch_status(POD, pod, served(pod, await self._servers.start(pod)))
        ready = sum(is_ready(pod) for pod in mine)
        counts = {
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": len(mine),
            "updatedReplicas": len(mine),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if {key: status_of(workload).get(key, 0) for key in counts} != counts:
            await self._patch_status(DEPLOYMENT, workload, counts)

    async def _slice_endpoints(self, namespace: str) -> None:
        services = {key_of(one).name: one for one in self._mirror.list(SERVICE, namespace)}
        for piece in self._mirror.list(ENDPOINT_SLICE, namespace):
            if labels_of(piece)[_SERVICE_NAME] not in services:
                await self._remove(ENDPOINT_SLICE, piece)
        for name, service in services.items():
            selector = service["spec"].get("selector") or {}
            pods = [
                pod
                for pod in self._mirror.list(POD, namespace)
                if selector and selector.items() <= labels_of(pod).items()
            ]
            wanted = [endpoint(pod) for pod in pods if status_of(pod).get("podIP")]
            existing = self._mirror.get(ENDPOINT_SLICE, namespace, f"{name}-slice")
            if existing is None or (existing.get("endpoints") or []) != wanted:
                piece = {
                    "apiVersion": ENDPOINT_SLICE.api_version,
                    "kind": ENDPOINT_SLICE.kind,
                    "metadata": {
                        "name": f"{name}-slice",
                        "namespace": namespace,
                        "labels": {**labels_of(service), _SERVICE_NAME: name},
                    },
                    "addressType": "IPv4",
                    "endpoints": wanted,
                    "ports": [{"name": "http", "port": 8080}],
                }
                await self._client.apply(ENDPOINT_SLICE, piece, field_manager="endpoints", force=True)

    async def _patch_status(self, kind: Kind, obj: Manifest, status: Mapping[str, Any]) -> None:
        # The version, so that an end is not undone by whom the mirror tells late.
        seen = {"uid": uid_of(obj), "resourceVersion": obj["metadata"]["resourceVersion"]}
        patch = {"metadata": seen, "status": status}
        await self._client.merge_patch(kind, key_of(obj), patch, subresource="status")


def pod_of(parent: Manifest, name: str, kind: Kind) -> Manifest:
    template = parent["spec"]["template"]
    owner = an_owner_reference({"apiVersion": kind.api_version, "kind": kind.kind, "metadata": parent["metadata"]})
    metadata = {
        "name": name,
        "namespace": key_of(parent).namespace,
        "labels": template["metadata"].get("labels") or {},
        "annotations": template["metadata"].get("annotations") or {},
        "ownerReferences": [owner],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def served(pod: Manifest, address: str) -> Manifest:
    """Status of a serving pod that has just become ready."""
    names = [one["name"] for one in pod["spec"]["containers"]]
    states = [container(name, {"running": {"startedAt": now()}}, ready=True) for name in names]
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now(),
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now()}],
        "containerStatuses": states,
    }


def container(name: str, state: Mapping[str, Any], *, ready: bool = False) -> Manifest:
    return {
        "name": name,
        "state": dict(state),
        "ready": ready,
        "restartCount": 0,
        "image": "runtime:1",
        "imageID": "",
        "containerID": "containerd://1",
    }


def ended(job: Manifest, *, succeeded: bool) -> Manifest:
    criterion, end = ("SuccessCriteriaMet", "Complete") if succeeded else ("FailureTarget", "Failed")
    told = {"status": "True", "lastProbeTime": now(), "lastTransitionTime": now(), "reason": "Played", "message": ""}
    status: Manifest = {
        "active": 0,
        "ready": 0,
        "terminating": 0,
        "startTime": status_of(job).get("startTime") or now(),
        "uncountedTerminatedPods": {},
        "conditions": [{"type": criterion, **told}, {"type": end, **told}],
    }
    return status | ({"succeeded": 1, "completionTime": now()} if succeeded else {"failed": 1})


def endpoint(pod: Manifest) -> Manifest:
    # The API refuses loopback addresses here.
    return {
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": is_ready(pod)},
        "targetRef": {"kind": "Pod", "name": key_of(pod).name, "namespace": key_of(pod).namespace},
    }


def conditions_of(obj: Manifest) -> Iterable[Mapping[str, Any]]:
    return status_of(obj).get("conditions") or ()


def is_end(condition: Mapping[str, Any]) -> bool:
    return condition["type"] in {"Complete", "Failed"} and condition["status"] == "True"


def is_ready(pod: Manifest) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions_of(pod))


def owner_uids(obj: Manifest) -> set[str]:
    return {owner["uid"] for owner in obj["metadata"].get("ownerReferences") or ()}


def finalizers_of(obj: Manifest) -> list[str]:
    return obj["metadata"].get("finalizers") or []


def now() -> str:
    return format_time(datetime.now(UTC))
