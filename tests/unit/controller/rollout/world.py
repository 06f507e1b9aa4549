"""A namespace in memory, its neighbours, and the real reconciler and executor: stories are told against it.

Time stands still until a test moves it. ``run`` leaps from one moment at which something happens to the next; there
the cluster acts, and the controller reconciles until it writes nothing more. Every write is held against the
invariants of a rollout.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from aurora_controller.analysis.accounting import Reading
from aurora_controller.analysis.scrape import PodAddress, Scrape
from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION
from aurora_controller.kube.clock import parse_time
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
    labels_of,
    uid_of,
)
from aurora_controller.kube.reconcile import EventNote, Plan
from aurora_controller.rollout.keys import KeysReader
from aurora_controller.rollout.observation import Observation
from aurora_controller.rollout.reconciler import RolloutReconciler
from aurora_controller.traffic.nginx_ingress import NginxIngressRouter
from tests.unit.builders import CREATED_AT, NAMESPACE, a_claim, a_deployment, a_model, a_ready_version
from tests.unit.controller.rollout.invariants import Invariants
from tests.unit.controller.rollout.neighbours import ManualClock, Neighbours, is_pod_ready
from tests.unit.fakes.cluster import FakeCluster

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


class NoLog:
    """The fake cluster's cache is never behind."""

    def wrote(self, request: ObjectKey, kind: Kind, obj: Manifest) -> None:
        pass

    def deleted(self, request: ObjectKey, kind: Kind, key: ObjectKey, uid: str) -> None:
        pass


class World:
    """Starts with a bound claim, version 1, and an MLDeployment whose spec has ``spec`` (snake_case)."""

    def __init__(self, *, versions: Sequence[int] = (1,), created_at: str = CREATED_AT, **spec: Any) -> None:
        self.clock = ManualClock()
        self.cluster = FakeCluster(*KINDS)
        self.neighbours = Neighbours(cluster=self.cluster, clock=self.clock)
        self.invariants = Invariants(cluster=self.cluster, clock=self.clock, name=NAME, settle_seconds=SETTLE_SECONDS)
        self.cluster.on_write = self._before_write
        self.cluster.after_write = self.invariants.after_write
        self.requests: dict[str, int] = {}
        """Answered requests by pod uid."""
        self.is_scrape_refused = False
        self.scrapes = 0
        self.events: list[EventNote] = []
        self.look_again: float | None = None
        self.dies_before_write: int | None = None
        """Writes until the controller dies."""
        self.deaths = 0
        self.runtime_image = RUNTIME_IMAGE
        self.host_template = ""
        self.put(a_claim())
        for version in versions:
            self.publish(version)
        defaults: dict[str, Any] = {"model_name": MODEL, "replicas": 2}
        self.put(a_deployment(NAME, metadata={"created_at": created_at}, **defaults | spec))
        self.restart()

    # -- what people do

    def put(self, manifest: Manifest) -> Manifest:
        return self.cluster.add(manifest)

    def publish(self, version: int, **given: Any) -> None:
        self.put(a_ready_version(version, model=MODEL, **given))

    def alias(self, name: str, version: int) -> None:
        self.put(a_model(MODEL, status={"aliases": [{"name": name, "version": version}]}))

    def edit(self, **spec: Any) -> None:
        """A merge patch of the spec (camelCase; None removes)."""
        self.edit_child(ML_DEPLOYMENT, NAME, {"spec": spec})

    def annotate(self, **annotations: str | None) -> None:
        """``promote=…`` and ``abort=…``."""
        patch = {f"{labels.GROUP}/{name}": value for name, value in annotations.items()}
        self.edit_child(ML_DEPLOYMENT, NAME, {"metadata": {"annotations": patch}})

    def request(self, action: str) -> None:
        """Promotes or aborts the open canary, as its status says it is written."""
        self.annotate(**{action: f"{self.status['canary']['revision']}@{self.status['rollout']}"})

    def edit_child(self, kind: Kind, name: str, patch: Mapping[str, Any]) -> None:
        self.cluster.edit(kind, name, patch, namespace=NAMESPACE)

    def remove(self, kind: Kind, name: str) -> None:
        self.cluster.remove(kind, name, namespace=NAMESPACE)
        self.invariants.look_again()

    def lose_status(self) -> None:
        status = dict.fromkeys(copy.deepcopy(self.object).get("status", {}))
        self.edit_child(ML_DEPLOYMENT, NAME, {"status": status})

    def crash(self, pod: Manifest, *, times: int = 1) -> None:
        crashed = self.neighbours.crashed
        crashed[uid_of(pod)] = crashed.get(uid_of(pod), 0) + times

    def restart(self) -> None:
        """A new controller process, perhaps an upgraded one."""
        self.reconciler = RolloutReconciler(
            cache=self.cluster.cache,
            keys=KeysReader(secrets=self.cluster, clock=self.clock),
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
        return self.child(ML_DEPLOYMENT, NAME)

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
        route = self.invariants.route()
        return route[1] if route is not None else None

    def behind(self, service: str) -> dict[str, int]:
        """Ready endpoints of a Service by revision."""
        return self.invariants.behind(service)

    # -- time

    async def run(self, seconds: float, *, until: Callable[[], bool] | None = None) -> None:
        """Leaps to where the controller wants to look again, as long as nothing happens in the cluster before.

        Stops early once ``until`` holds after a reconcile.
        """
        end = self.clock.at + timedelta(seconds=seconds)
        await self.tick(0.0)
        while self.clock.at < end and not (until is not None and until()):
            left = (end - self.clock.at).total_seconds()
            await self.tick(min(left, self.neighbours.next_change(), max(1.0, self.look_again or 1.0)))
        assert until is None or until(), f"did not come within {seconds} s: {self.status}"

    async def tick(self, seconds: float = 1.0) -> None:
        self.clock.at += timedelta(seconds=seconds)
        self.act()
        await self.settle()

    def act(self) -> None:
        self.neighbours.act()
        self.invariants.note_traffic()

    async def settle(self) -> None:
        """Reconciles until nothing is written any more; others react in between."""
        for _ in range(30):
            before, deaths = len(self.cluster.writes), self.deaths
            await self.reconcile()
            self.act()
            if len(self.cluster.writes) == before and self.deaths == deaths:
                self.invariants.at_rest()
                self.cluster.check_nothing_mutated()
                return
        raise AssertionError(f"does not come to rest: {self.cluster.writes[-12:]}")

    async def plan(self) -> tuple[Observation | None, Plan]:
        observed = await self.reconciler.observe(KEY)
        return observed, Plan() if observed is None else self.reconciler.plan(observed, self.clock.now())

    async def reconcile(self) -> None:
        _, plan = await self.plan()
        try:
            await self.executor.execute(KEY, plan)
            self.events.extend(plan.events)
            self.look_again = plan.requeue_after_seconds
        except Died:
            self.deaths += 1
            self.dies_before_write = None
            self.restart()

    def _before_write(self, line: str) -> None:
        if self.dies_before_write == 0:
            raise Died(line)
        if self.dies_before_write is not None:
            self.dies_before_write -= 1
        self.invariants.before_write(line)

    # -- traffic

    def serve(self, requests: int) -> None:
        """So many requests through the Ingresses: the canary gets its weight exactly."""
        canary = requests * (self.weight or 0) // 100
        for revision, share in ((self.revision("canary"), canary), (self.invariants.selected(), requests - canary)):
            pods = [pod for pod in self.pods(revision) if is_pod_ready(pod)]
            for pod in pods:
                self.requests[uid_of(pod)] = self.requests.get(uid_of(pod), 0) + share // len(pods)

    async def read(self, pods: Sequence[PodAddress]) -> Scrape:
        """The pods' counters."""
        self.scrapes += 1
        if self.is_scrape_refused:
            return Scrape(silent=[pod.uid for pod in pods])
        started = {uid_of(pod): parse_time(pod["metadata"]["creationTimestamp"]).timestamp() for pod in self.pods()}
        readings = [
            Reading(
                pod=pod.uid,
                revision=pod.revision,
                start_time=started[pod.uid],
                requests=self.requests.get(pod.uid, 0),
            )
            for pod in pods
        ]
        return Scrape(readings=readings)


async def a_world_with_a_canary(**spec: Any) -> World:
    """Version 1 is stable, version 2 is on trial."""
    world = World(**spec)
    await world.run(20, until=lambda: world.phase == "Idle")
    world.publish(2)
    await world.run(20, until=lambda: world.phase == "Canary")
    return world
