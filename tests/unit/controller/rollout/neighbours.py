"""Who else acts in a namespace: Deployment controller, kubelet, scheduler and endpoints, as functions of its objects.

Time passes only when somebody moves the clock. What has not changed is not written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aurora_controller.api import labels
from aurora_controller.kube.clock import SystemClock, format_time, parse_time
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    POD,
    SERVICE,
    Kind,
    Manifest,
    key_of,
    labels_of,
    uid_of,
)
from aurora_controller.kube.ownership import controller_of
from tests.unit.builders import CREATED_AT, NAMESPACE, a_server_pod, running, terminated, waiting
from tests.unit.fakes.cluster import FakeCluster

SERVICE_NAME = "kubernetes.io/service-name"


@dataclass
class ManualClock(SystemClock):
    """Moved by hand."""

    at: datetime = field(default_factory=lambda: parse_time(CREATED_AT))

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class Behaviour:
    """How the pods of a revision do."""

    starts_after: float = 1.0
    """Seconds from a pod's creation to its readiness."""
    is_broken: bool = False
    """Never gets ready, and crashes every two seconds."""
    waits_for: str | None = None
    """Reason of a container that waits instead of starting."""
    message: str = ""
    """Termination message of a crash."""
    exit_code: int = 1


@dataclass
class Neighbours:
    """They act on ``cluster`` when asked to, until nothing is left to do."""

    cluster: FakeCluster
    clock: ManualClock
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    """By revision or version, as text; what is not named starts well."""
    crashed: dict[str, int] = field(default_factory=dict)
    """Restarts by pod uid."""
    unschedulable: str | None = None
    """What the scheduler says of pods that have not started."""
    failure: str | None = None
    """What keeps Deployments from making pods."""
    started: set[str] = field(default_factory=set)
    """Uids of pods that had the time to start."""
    ready_since: dict[str, datetime] = field(default_factory=dict)
    """By pod uid."""
    _made: int = 0

    def act(self) -> None:
        for workload in self._list(DEPLOYMENT):
            self._scale(workload)
        for pod in self._servers():
            self._live(pod)
        for workload in self._list(DEPLOYMENT):
            self._count(workload)
        self._slice_endpoints()

    def next_change(self) -> float:
        """Seconds until a pod starts, crashes or becomes available."""
        changes = [1000.0]
        for pod in self._servers():
            behaviour = self._behaviour_of(pod)
            if behaviour.is_broken:
                changes.append(1.0 if self._age_of(pod) < 6 else 1000.0)
            elif uid_of(pod) not in self.started:
                changes.append(max(1.0, behaviour.starts_after - self._age_of(pod)))
        changes += [left for workload in self._list(DEPLOYMENT) if (left := self._until_available(workload)) > 0]
        return min(changes)

    def _until_available(self, workload: Manifest) -> float:
        """Seconds until all its ready pods have been ready for ``minReadySeconds``."""
        since = [self.ready_since[uid_of(pod)] for pod in self._pods_of(workload) if uid_of(pod) in self.ready_since]
        needed = float(workload["spec"].get("minReadySeconds", 0))
        left = [needed - (self.clock.at - moment).total_seconds() for moment in since]
        return max([0.0, *left])

    def _list(self, kind: Kind) -> list[Manifest]:
        return list(self.cluster.cache.list(kind, NAMESPACE))

    def _servers(self) -> list[Manifest]:
        return [pod for pod in self._list(POD) if labels.REVISION in labels_of(pod)]

    def _pods_of(self, workload: Manifest) -> list[Manifest]:
        return [pod for pod in self._list(POD) if (controller_of(pod) or {}).get("uid") == uid_of(workload)]

    def _age_of(self, pod: Manifest) -> float:
        return (self.clock.at - parse_time(pod["metadata"]["creationTimestamp"])).total_seconds()

    def _behaviour_of(self, pod: Manifest) -> Behaviour:
        marks = labels_of(pod)
        names = (marks[labels.REVISION], marks[labels.VERSION])
        return next((self.behaviours[name] for name in names if name in self.behaviours), Behaviour())

    def _patch(self, obj: Manifest, status: Mapping[str, Any]) -> None:
        if obj.get("status") != status:
            kind = self.cluster.kind_of(obj)
            self.cluster.edit(kind, key_of(obj).name, {"status": status}, namespace=NAMESPACE)

    def _scale(self, workload: Manifest) -> None:
        template = workload["spec"].get("template")
        if template is None:
            return
        wanted, mine = workload["spec"]["replicas"], self._pods_of(workload)
        for pod in mine[wanted:]:
            self.cluster.remove(POD, key_of(pod).name, namespace=NAMESPACE)
        for _ in range(0 if self.failure else wanted - len(mine)):
            self._make_pod(workload, template)

    def _make_pod(self, workload: Manifest, template: Manifest) -> None:
        self._made += 1
        name = f"{key_of(workload).name}-{self._made}"
        image = template["spec"]["containers"][0]["image"]
        pod = a_server_pod(
            name,
            ready=False,
            state=waiting("ContainerCreating"),
            labels=template["metadata"]["labels"],
            owner=workload,
            uid=f"uid-{name}",
            ip=f"10.0.0.{self._made}",
            created_at=format_time(self.clock.at),
            spec={"containers": [{"name": "server", "image": image}]},
        )
        self.cluster.add(pod)

    def _live(self, pod: Manifest) -> None:
        behaviour, restarts = self._behaviour_of(pod), self.crashed.get(uid_of(pod), 0)
        if self._age_of(pod) >= behaviour.starts_after:
            self.started.add(uid_of(pod))
        is_ready = uid_of(pod) in self.started and not restarts
        state, last = running() if is_ready or restarts else waiting("ContainerCreating"), {}
        end = terminated(behaviour.exit_code, message=behaviour.message)
        if behaviour.waits_for is not None and not restarts:
            is_ready, state = False, waiting(behaviour.waits_for, "told by the kubelet")
        elif behaviour.is_broken:
            restarts += int(self._age_of(pod) // 2)
            is_ready, state = False, running() if restarts < 2 else waiting("CrashLoopBackOff")
            last = end if restarts else {}
        elif restarts:
            is_ready, last = True, end
        if not is_ready:
            self.ready_since.pop(uid_of(pod), None)
        else:
            self.ready_since.setdefault(uid_of(pod), self.clock.at)
        fresh = a_server_pod(
            "any",
            ready=is_ready,
            state=state,
            last_state=last,
            restarts=restarts,
            ip=pod["status"]["podIP"],
            conditions=[{"type": "Ready", "status": str(is_ready)}, self._scheduled(is_ready=is_ready)],
        )
        fresh["status"]["containerStatuses"][0]["image"] = pod["spec"]["containers"][0]["image"]
        self._patch(pod, fresh["status"])

    def _scheduled(self, *, is_ready: bool) -> dict[str, str]:
        if self.unschedulable is None or is_ready:
            return {"type": "PodScheduled", "status": "True"}
        told = {"reason": "Unschedulable", "message": self.unschedulable}
        return {"type": "PodScheduled", "status": "False"} | told

    def _count(self, workload: Manifest) -> None:
        mine = self._pods_of(workload)
        ready = sum(is_pod_ready(pod) for pod in mine)
        failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": self.failure}
        status = {
            "conditions": [failed] if self.failure else [],
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": len(mine),
            "readyReplicas": ready,
            "availableReplicas": 0 if self._until_available(workload) > 0 else ready,
        }
        self._patch(workload, status)

    def _slice_endpoints(self) -> None:
        services = {key_of(one).name: one for one in self._list(SERVICE)}
        for piece in self._list(ENDPOINT_SLICE):
            if labels_of(piece)[SERVICE_NAME] not in services:
                self.cluster.remove(ENDPOINT_SLICE, key_of(piece).name, namespace=NAMESPACE)
        for service in services.values():
            self.cluster.add(self._slice_of(service))

    def _slice_of(self, service: Manifest) -> Manifest:
        name, selector = key_of(service).name, service["spec"]["selector"].items()
        marks = {**labels_of(service), SERVICE_NAME: name}
        return {
            "apiVersion": ENDPOINT_SLICE.api_version,
            "kind": ENDPOINT_SLICE.kind,
            "metadata": {"name": f"{name}-slice", "namespace": NAMESPACE, "labels": marks},
            "endpoints": [
                {
                    "addresses": [pod["status"]["podIP"]],
                    "conditions": {"ready": is_pod_ready(pod)},
                    "targetRef": {"kind": "Pod", "name": key_of(pod).name},
                }
                for pod in self._list(POD)
                if selector <= labels_of(pod).items()
            ],
        }


def is_pod_ready(pod: Manifest) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))
