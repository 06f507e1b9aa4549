"""A namespace in memory: API server, Deployment controller, kubelet, endpoints and router, as far as a rollout meets
them.

Time stands still until a test moves it, second by second: ``run`` lets the cluster act and then the controller
reconcile until it writes nothing more. Every write goes through the real executor and is checked against the
invariants of a rollout when it is made.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aurora_controller.analysis.accounting import Reading
from aurora_controller.analysis.scrape import PodAddress, Scrape
from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION
from aurora_controller.kube.clock import SystemClock, format_time, parse_time
from aurora_controller.kube.executor import Executor
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    ObjectKey,
    annotations_of,
    key_of,
    labels_of,
    uid_of,
)
from aurora_controller.kube.ownership import controller_of
from aurora_controller.kube.reconcile import EventNote, Plan
from aurora_controller.rollout.observation import Observation
from aurora_controller.rollout.reconciler import RolloutReconciler
from aurora_controller.traffic.nginx_ingress import CANARY_WEIGHT, NginxIngressRouter, is_canary
from tests.unit.builders import (
    CREATED_AT,
    NAMESPACE,
    a_claim,
    a_deployment,
    a_model,
    a_ready_version,
    a_server_pod,
    running,
    terminated,
    waiting,
)
from tests.unit.fakes.cluster import FakeCluster

START = "2026-11-23T10:00:00Z"
NAME = "housing"
MODEL = "california-housing"
RUNTIME_IMAGE = "aurora-runtime:1"
SETTLE_SECONDS = 5.0
KINDS = (
    *(ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION),
    *(DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, POD, ENDPOINT_SLICE, PERSISTENT_VOLUME_CLAIM, SECRET),
)
KEY = ObjectKey(NAMESPACE, NAME)


class Died(Exception):
    """The controller was killed."""


@dataclass
class Behaviour:
    """How the pods of a revision do."""

    starts_after: float = 1.0
    """Seconds from a pod's creation to its readiness."""
    is_broken: bool = False
    """Never gets ready, and crashes."""
    waits_for: str | None = None
    """Reason of a container that waits instead of starting."""
    message: str = ""
    """Termination message of a crash."""
    exit_code: int = 1


@dataclass
class WorldClock(SystemClock):
    """The world's time."""

    at: datetime = field(default_factory=lambda: parse_time(START))

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


class NoLog:
    """The fake cluster's cache is never behind."""

    def wrote(self, request: ObjectKey, kind: Kind, obj: Manifest) -> None:
        pass

    def deleted(self, request: ObjectKey, kind: Kind, key: ObjectKey, uid: str) -> None:
        pass


class World:
    """Starts with a bound claim, version 1, and an MLDeployment whose spec has ``spec`` (snake_case)."""

    def __init__(self, *, versions: Sequence[int] = (1,), created_at: str = CREATED_AT, **spec: Any) -> None:
        self.clock = WorldClock()
        self.cluster = FakeCluster(*KINDS)
        self.cluster.on_write = self._before_write
        self.cluster.after_write = self._after_write
        self.behaviours: dict[str, Behaviour] = {}
        """By revision or version, as text; what is not named starts well."""
        self.crashed: dict[str, int] = {}
        """Restarts by pod uid."""
        self.started: set[str] = set()
        """Uids of pods that had the time to start."""
        self.requests: dict[str, int] = {}
        """Answered requests by pod uid."""
        self.unschedulable: str | None = None
        """What the scheduler says of pods that have not started."""
        self.failure: str | None = None
        """What keeps Deployments from making pods."""
        self.is_scrape_refused = False
        self.scrapes = 0
        self.events: list[EventNote] = []
        self.look_again: float | None = None
        self.violations: list[str] = []
        self.dies_before_write: int | None = None
        """Writes until the controller dies."""
        self.deaths = 0
        self.had_traffic: dict[str, datetime] = {}
        """When a revision was last behind a Service that gets requests."""
        self._pods = 0
        self._selected_before: str | None = None
        self._route_before: tuple[str, int] | None = None
        self.runtime_image = RUNTIME_IMAGE
        self.host_template = ""
        self.put(a_claim())
        for version in versions:
            self.publish(version)
        fields: dict[str, Any] = {"model_name": MODEL, "replicas": 2} | spec
        self.put(a_deployment(NAME, metadata={"created_at": created_at}, **fields))
        self.restart()

    # -- what people and other controllers do

    def put(self, manifest: Manifest) -> Manifest:
        return self.cluster.add(manifest)

    def publish(self, version: int, **given: Any) -> None:
        self.put(a_ready_version(version, model=MODEL, **given))

    def alias(self, name: str, version: int) -> None:
        self.put(a_model(MODEL, status={"aliases": [{"name": name, "version": version}]}))

    def edit(self, **spec: Any) -> None:
        """A merge patch of the spec (camelCase; None removes)."""
        self.cluster.edit(ML_DEPLOYMENT, NAME, {"spec": spec}, namespace=NAMESPACE)

    def annotate(self, **annotations: str | None) -> None:
        """``promote=…`` and ``abort=…``."""
        patch = {f"{labels.GROUP}/{name}": value for name, value in annotations.items()}
        self.cluster.edit(ML_DEPLOYMENT, NAME, {"metadata": {"annotations": patch}}, namespace=NAMESPACE)

    def request(self, action: str) -> None:
        """Promotes or aborts the open canary, as its status says it is written."""
        self.annotate(**{action: f"{self.status['canary']['revision']}@{self.status['rollout']}"})

    def edit_child(self, kind: Kind, name: str, patch: Mapping[str, Any]) -> None:
        self.cluster.edit(kind, name, patch, namespace=NAMESPACE)

    def remove(self, kind: Kind, name: str) -> None:
        self.cluster.remove(kind, name, namespace=NAMESPACE)

    def lose_status(self) -> None:
        obj = copy.deepcopy(self.object)
        status = dict.fromkeys(obj.get("status", {}))
        self.cluster.edit(ML_DEPLOYMENT, NAME, {"status": status}, namespace=NAMESPACE)

    def crash(self, pod: Manifest, *, times: int = 1) -> None:
        self.crashed[uid_of(pod)] = self.crashed.get(uid_of(pod), 0) + times

    def forget_route(self) -> None:
        """Somebody else has changed Services and Ingresses: that is not held against the controller."""
        self._selected_before, self._route_before = self._selected(), self._route()

    def restart(self) -> None:
        """A new controller process, perhaps an upgraded one."""
        self.reconciler = RolloutReconciler(
            cache=self.cluster.cache,
            secret_reader=self.cluster,
            counters=self,
            router=NginxIngressRouter(),
            runtime_image=self.runtime_image,
            host_template=self.host_template,
            settle_seconds=SETTLE_SECONDS,
            clock=self.clock,
        )
        self.executor = Executor(
            client=self.cluster,
            writes=NoLog(),
            field_manager=labels.FIELD_MANAGER,
            intent_annotation=labels.INTENT,
        )

    # -- what tests look at

    @property
    def object(self) -> Manifest:
        return self.cluster.live(ML_DEPLOYMENT, NAME, namespace=NAMESPACE)

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.object.get("status") or {}
        return status

    @property
    def phase(self) -> str:
        phase: str = self.status.get("phase", "")
        return phase

    def revision(self, role: str) -> str | None:
        """Name of the revision in this role, from the status."""
        one: dict[str, Any] | None = self.status.get(role)
        return one["revision"] if one else None

    def condition(self, type_: str) -> dict[str, Any]:
        """The condition of this type, or an empty one."""
        found = (one for one in self.status.get("conditions", ()) if one["type"] == type_)
        return next(found, {})

    def child(self, kind: Kind, name: str) -> Manifest:
        return self.cluster.live(kind, name, namespace=NAMESPACE)

    def names(self, kind: Kind) -> list[str]:
        return self.cluster.names(kind)

    def workload(self, revision: str | None) -> Manifest:
        return self.child(DEPLOYMENT, f"{NAME}-{revision}")

    def pods(self, revision: str | None = None) -> list[Manifest]:
        return [
            pod
            for pod in self.cluster.cache.list(POD, NAMESPACE)
            if revision is None or labels_of(pod).get(labels.REVISION) == revision
        ]

    @property
    def weight(self) -> int | None:
        """The canary Ingress' weight; None without one."""
        route = self._route()
        return route[1] if route is not None else None

    def behind(self, service: str) -> dict[str, int]:
        """Ready endpoints of a Service by revision."""
        counts: dict[str, int] = {}
        for piece in self.cluster.cache.list(ENDPOINT_SLICE, NAMESPACE):
            if labels_of(piece).get("kubernetes.io/service-name") == service:
                for endpoint in piece.get("endpoints", ()):
                    pod = self.child(POD, endpoint["targetRef"]["name"])
                    if endpoint["conditions"]["ready"]:
                        revision = labels_of(pod)[labels.REVISION]
                        counts[revision] = counts.get(revision, 0) + 1
        return counts

    # -- time

    async def run(self, seconds: float, *, until: Callable[[], bool] | None = None) -> None:
        """Leaps to where the controller wants to look again, as long as nothing happens in the cluster before.

        Stops early once ``until`` holds after a reconcile.
        """
        end = self.clock.at + timedelta(seconds=seconds)
        await self.tick(0.0)
        while self.clock.at < end and not (until is not None and until()):
            left = (end - self.clock.at).total_seconds()
            await self.tick(min(left, self._next_change(), max(1.0, self.look_again or 1.0)))
        assert until is None or until(), f"did not come within {seconds} s: {self.status}"

    def _next_change(self) -> float:
        """Seconds until a pod starts or crashes."""
        changes = [1000.0]
        for pod in self.pods():
            age = (self.clock.at - parse_time(pod["metadata"]["creationTimestamp"])).total_seconds()
            behaviour = self.behaviour_of(pod)
            if behaviour.is_broken:
                changes.append(1.0 if age < 6 else 1000.0)
            elif uid_of(pod) not in self.started:
                changes.append(max(1.0, behaviour.starts_after - age))
        return min(changes)

    async def tick(self, seconds: float = 1.0) -> None:
        self.clock.at += timedelta(seconds=seconds)
        self.act()
        await self.settle()

    async def settle(self) -> None:
        """Reconciles until nothing is written any more; others react in between."""
        for _ in range(30):
            before, died_before = len(self.cluster.writes), self.deaths
            await self.reconcile()
            self.act()
            if len(self.cluster.writes) == before and self.deaths == died_before:
                self.check()
                return
        raise AssertionError(f"does not come to rest: {self.cluster.writes[-12:]}")

    async def plan(self) -> tuple[Observation | None, Plan]:
        observed = await self.reconciler.observe(KEY)
        return observed, Plan() if observed is None else self.reconciler.plan(observed, self.clock.now())

    async def reconcile(self) -> Plan:
        _, plan = await self.plan()
        try:
            await self.executor.execute(KEY, plan)
            self.events.extend(plan.events)
            self.look_again = plan.requeue_after_seconds
        except Died:
            self.deaths += 1
            self.dies_before_write = None
            self.restart()
        return plan

    # -- what the cluster does

    def act(self) -> None:
        """Everybody but the controller, until they have nothing more to do."""
        for workload in self.cluster.cache.list(DEPLOYMENT, NAMESPACE):
            self._scale(workload)
        for pod in self.pods():
            self._live(pod)
        for workload in self.cluster.cache.list(DEPLOYMENT, NAMESPACE):
            self._count(workload)
        self._slice_endpoints()
        self._note_traffic()

    def _scale(self, workload: Manifest) -> None:
        wanted = workload["spec"]["replicas"]
        template = workload["spec"].get("template")
        if template is None:
            return
        mine = [pod for pod in self.pods() if (controller_of(pod) or {}).get("uid") == uid_of(workload)]
        for pod in mine[wanted:]:
            self.cluster.remove(POD, key_of(pod).name, namespace=NAMESPACE)
        for _ in range(0 if self.failure else wanted - len(mine)):
            self._pods += 1
            name = f"{key_of(workload).name}-{self._pods}"
            self.put(
                a_server_pod(
                    name,
                    ready=False,
                    state=waiting("ContainerCreating"),
                    labels=template["metadata"]["labels"],
                    owner=workload,
                    uid=f"uid-{name}",
                    ip=f"10.0.0.{self._pods}",
                    created_at=format_time(self.clock.at),
                    spec={"containers": [{"name": "server", "image": template["spec"]["containers"][0]["image"]}]},
                )
            )

    def behaviour_of(self, pod: Manifest) -> Behaviour:
        marks = labels_of(pod)
        for name in (marks[labels.REVISION], marks[labels.VERSION]):
            if name in self.behaviours:
                return self.behaviours[name]
        return Behaviour()

    def _live(self, pod: Manifest) -> None:
        behaviour, restarts = self.behaviour_of(pod), self.crashed.get(uid_of(pod), 0)
        age = (self.clock.at - parse_time(pod["metadata"]["creationTimestamp"])).total_seconds()
        if age >= behaviour.starts_after:
            self.started.add(uid_of(pod))
        is_ready, state, last = uid_of(pod) in self.started and restarts == 0, running(START), {}
        end = terminated(behaviour.exit_code, message=behaviour.message)
        if behaviour.waits_for is not None and not restarts:
            is_ready, state = False, waiting(behaviour.waits_for, "told by the kubelet")
        elif behaviour.is_broken:
            restarts += int(age // 2)
            is_ready, state, last = False, (running(START) if restarts < 2 else waiting("CrashLoopBackOff")), end
            last = last if restarts else {}
        elif restarts:
            is_ready, last = True, end
        elif not is_ready:
            state = waiting("ContainerCreating")
        scheduled = {"type": "PodScheduled", "status": "True"}
        if self.unschedulable and not is_ready:
            scheduled = {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": self.unschedulable,
            }
        fresh = a_server_pod(
            "any",
            ready=is_ready,
            state=state,
            last_state=last,
            restarts=restarts,
            ip=pod["status"]["podIP"],
            conditions=[{"type": "Ready", "status": str(is_ready)}, scheduled],
        )
        fresh["status"]["containerStatuses"][0]["image"] = pod["spec"]["containers"][0]["image"]
        if fresh["status"] != pod["status"]:
            self.edit_child(POD, key_of(pod).name, {"status": fresh["status"]})

    def _count(self, workload: Manifest) -> None:
        mine = [pod for pod in self.pods() if (controller_of(pod) or {}).get("uid") == uid_of(workload)]
        ready = sum(is_pod_ready(pod) for pod in mine)
        failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": self.failure}
        status = {
            "conditions": [failed] if self.failure else [],
            "observedGeneration": workload["metadata"]["generation"],
            "replicas": len(mine),
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if workload.get("status") != status:
            self.edit_child(DEPLOYMENT, key_of(workload).name, {"status": status})

    def _slice_endpoints(self) -> None:
        services = {key_of(one).name: one for one in self.cluster.cache.list(SERVICE, NAMESPACE)}
        for piece in self.cluster.cache.list(ENDPOINT_SLICE, NAMESPACE):
            if labels_of(piece)["kubernetes.io/service-name"] not in services:
                self.remove(ENDPOINT_SLICE, key_of(piece).name)
        for name, service in services.items():
            selector = service["spec"]["selector"].items()
            endpoints = [
                {
                    "addresses": [pod["status"]["podIP"]],
                    "conditions": {"ready": is_pod_ready(pod)},
                    "targetRef": {"kind": "Pod", "name": key_of(pod).name},
                }
                for pod in self.pods()
                if selector <= labels_of(pod).items()
            ]
            piece = {
                "apiVersion": ENDPOINT_SLICE.api_version,
                "kind": ENDPOINT_SLICE.kind,
                "metadata": {
                    "name": f"{name}-slice",
                    "namespace": NAMESPACE,
                    "labels": {**labels_of(service), "kubernetes.io/service-name": name},
                },
                "endpoints": endpoints,
            }
            self.put(piece)

    # -- traffic

    def serve(self, requests: int) -> None:
        """So many requests through the Ingresses: the canary gets its weight exactly."""
        weight = self.weight or 0
        canary = requests * weight // 100
        for revision, share in ((self.revision("canary"), canary), (self._selected(), requests - canary)):
            pods = [pod for pod in self.pods(revision) if is_pod_ready(pod)]
            for pod in pods:
                self.requests[uid_of(pod)] = self.requests.get(uid_of(pod), 0) + share // len(pods)

    async def read(self, pods: Sequence[PodAddress]) -> Scrape:
        """The pods' counters."""
        self.scrapes += 1
        if self.is_scrape_refused:
            return Scrape(silent=[pod.uid for pod in pods])
        started = {uid_of(pod): parse_time(pod["metadata"]["creationTimestamp"]).timestamp() for pod in self.pods()}
        return Scrape(
            readings=[
                Reading(
                    pod=pod.uid,
                    revision=pod.revision,
                    start_time=started[pod.uid],
                    requests=self.requests.get(pod.uid, 0),
                )
                for pod in pods
            ]
        )

    def _selected(self) -> str | None:
        try:
            service = self.child(SERVICE, NAME)
        except KeyError:
            return None
        revision: str | None = service["spec"]["selector"].get(labels.REVISION)
        return revision

    def _note_traffic(self) -> None:
        """Which revisions requests may reach: by the Services and routes as they stand."""
        for revision in self._reached():
            self.had_traffic[revision] = self.clock.at

    def _reached(self) -> set[str]:
        route = self._route()
        reached = {self._selected(), route[0].removeprefix(f"{NAME}-") if route is not None and route[1] else None}
        return {revision for revision in reached if revision is not None}

    # -- invariants

    def _before_write(self, line: str) -> None:
        if self.dies_before_write is not None:
            if self.dies_before_write == 0:
                raise Died(line)
            self.dies_before_write -= 1
        self._note_traffic()
        verb, kind, name = line.split(" ", 2)
        if verb == "delete" and kind == DEPLOYMENT.kind:
            self._check_removal(name.removeprefix(f"{NAME}-"))

    def _after_write(self, line: str) -> None:
        selected, before = self._selected(), self._selected_before
        if before is not None and selected is not None and selected != before:  # noqa: SIM102
            if self._ready(before) > 0 and self._ready(selected) == 0:
                self.violations.append(f"stable Service moved from {before} to {selected}, which has no ready pod")
        route, route_before = self._route(), self._route_before
        if route is not None and route_before is not None and route[0] != route_before[0]:
            self.violations.append(f"the canary route went over from {route_before} to {route}")
        if route is not None and route[1] > (route_before[1] if route_before is not None else 0):  # noqa: SIM102
            if sum(self.behind(route[0]).values()) == 0:
                self.violations.append(f"weight raised to {route}, which has no ready endpoint")
        self._selected_before, self._route_before = selected or before, route

    def _ready(self, revision: str) -> int:
        return sum(is_pod_ready(pod) for pod in self.pods(revision))

    def _route(self) -> tuple[str, int] | None:
        """Service and weight of the canary Ingress."""
        canaries = [one for one in self.cluster.cache.list(INGRESS, NAMESPACE) if is_canary(one)]
        if not canaries:
            return None
        backend = canaries[0]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
        return backend, int(annotations_of(canaries[0])[CANARY_WEIGHT])

    def _check_removal(self, revision: str) -> None:
        last = self.had_traffic.get(revision)
        has_ready_pods = any(is_pod_ready(pod) for pod in self.pods(revision))
        if last is not None and has_ready_pods and (self.clock.at - last).total_seconds() < SETTLE_SECONDS:
            self.violations.append(f"{revision} removed {self.clock.at - last} after it could be reached")

    def check(self) -> None:
        """What holds whenever the controller has seen everything and written everything."""
        route = self._route()
        if route is not None and route[1] > 0 and sum(self.behind(route[0]).values()) == 0:
            self.violations.append(f"weight on {route}, which has no ready endpoint")
        assert self.violations == []


def is_pod_ready(pod: Manifest) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"].get("conditions", ()))


async def a_world_with_a_canary(**spec: Any) -> World:
    """Version 1 is stable, version 2 is on trial."""
    world = World(**spec)
    await world.run(20, until=lambda: world.phase == "Idle")
    world.publish(2)
    await world.run(20, until=lambda: world.phase == "Canary")
    return world
