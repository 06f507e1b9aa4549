"""A namespace in memory where all of Aurora's controllers are at work: two trainings, and three MLDeployments.

It is built once and told to rest; what it looks like then is what other towns begin with, one of their objects
missing or malformed. Nobody plays the kubelet there: whatever changes, a controller did.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from aurora_controller.analysis.scrape import Scrape
from aurora_controller.api import labels
from aurora_controller.kube.consistency import ConsistencyStore
from aurora_controller.kube.controller import Controller
from aurora_controller.kube.executor import Executor
from aurora_controller.kube.meta import DEPLOYMENT, JOB, Kind, Manifest
from aurora_controller.kube.reconcile import EventNote, Reconciler
from tests.unit.builders import (
    NAMESPACE,
    a_claim,
    a_deployment,
    a_model,
    a_ready_version,
    a_server_pod,
    a_trainer_pod,
    a_training_job,
    an_endpoint_slice,
)
from tests.unit.controller.every_kind import KINDS, reconcilers_of
from tests.unit.fakes.clock import FakeClock
from tests.unit.fakes.cluster import FakeCluster


class Town:
    """``now`` is its clock's; it goes on from there."""

    def __init__(self, objects: Iterable[Manifest], clock: FakeClock) -> None:
        self.clock = clock
        self.cluster = FakeCluster(*KINDS)
        self.cluster.add(*objects)
        self._stores: list[ConsistencyStore] = []
        self.cluster.on_any_change = self._changed

    def reconcilers(self) -> Sequence[Reconciler[Any]]:
        return reconcilers_of(
            self.cluster,
            clock=self.clock,
            progress=self,
            counters=self,
            runtime_image="runtime:1",
            new_key=lambda: "key",
        )

    @asynccontextmanager
    async def controllers(self) -> AsyncIterator[None]:
        controllers = [self._controller(reconciler) for reconciler in self.reconcilers()]
        async with asyncio.TaskGroup() as group:
            for controller in controllers:
                group.create_task(controller.run())
            yield
            for controller in controllers:
                controller.stop()

    async def rest(self) -> None:
        """Until nothing has been written for a while."""
        for _ in range(20):
            before = len(self.cluster.writes)
            await self.clock.advance(15)
            if len(self.cluster.writes) == before:
                return
        raise AssertionError(f"does not come to rest: {self.cluster.writes[-10:]}")

    def objects(self) -> dict[tuple[Kind, str], Manifest]:
        """Everything there is, by kind and name, without what every write changes."""
        return {
            (kind, name): _settled(self.cluster.live(kind, name, namespace=NAMESPACE))
            for kind in KINDS
            for name in self.cluster.names(kind)
        }

    async def read(self, *args: Any, **kwargs: Any) -> Any:
        """Pods that cannot be asked, neither for counters nor for progress."""
        return Scrape() if args else None

    def note(self, about: Manifest, note: EventNote) -> None: ...

    def _changed(self) -> None:
        for store in self._stores:
            store.changed()

    def _controller(self, reconciler: Reconciler[Any]) -> Controller:
        writes = ConsistencyStore(cache=self.cluster.cache, clock=self.clock)
        self._stores.append(writes)
        executor = Executor(
            client=self.cluster, writes=writes, field_manager=labels.FIELD_MANAGER, intent_annotation=labels.INTENT
        )
        controller = Controller(
            reconciler=reconciler,
            cache=self.cluster.cache,
            executor=executor,
            own_writes=writes,
            events=self,
            clock=self.clock,
        )
        for watch in controller.watches:
            self.cluster.subscribe(watch, partial(controller.on_change, watch))
        return controller


async def a_town_at_rest() -> Town:
    """Versions 1 and 2 are published, 3 and 4 in training; of three MLDeployments, two ask for one route."""
    serving: dict[str, Any] = {"replicas": 1, "server": {"limits": {"threads": 2}}, "auth": {"secretName": None}}
    town = Town(
        [
            a_claim(),
            a_model(aliases={"champion": 1, "next": 2}, description="houses"),
            a_ready_version(1),
            a_ready_version(2, status={"signature": SIGNATURE}),
            a_training_job("first", hyperparameters={"max_depth": 3}),
            a_training_job("second", algorithm="ridge", placement={"nodeSelector": {"disk": "fast"}}),
            a_deployment("serve", version=2, routing={"host": "one.example"}, **serving),
            a_deployment("alias", version="next", routing={"host": "two.example"}, **serving),
            a_deployment(
                "rival",
                metadata={"created_at": "2026-11-23T10:30:00Z"},
                version="latest",
                routing={"host": "one.example"},
                **serving,
            ),
        ],
        FakeClock(),
    )
    async with town.controllers():
        await town.rest()
        for job in town.cluster.names(JOB):
            owner = town.cluster.live(JOB, job, namespace=NAMESPACE)
            template = owner["spec"]["template"]["metadata"]
            town.cluster.add(a_trainer_pod(f"{job}-pod", labels=template["labels"], owner=owner))
        for name in town.cluster.names(DEPLOYMENT):
            town.cluster.add(*_running(town.cluster.live(DEPLOYMENT, name, namespace=NAMESPACE)))
        await town.rest()
    return town


SIGNATURE: Final = {
    "featureCount": 1,
    "inputs": [{"name": "rooms", "datatype": "FP64", "shape": [-1, 1]}],
    "outputs": [{"name": "price", "datatype": "FP64", "shape": [-1]}],
}


def _running(workload: Manifest) -> Iterable[Manifest]:
    """A ready pod of a Deployment, and its endpoint."""
    template = workload["spec"]["template"]["metadata"]
    pod = a_server_pod(f"{workload['metadata']['name']}-pod", labels=template["labels"], owner=workload)
    yield pod
    service = template["labels"][labels.DEPLOYMENT]
    yield an_endpoint_slice(service, pods={pod["metadata"]["name"]: True}, labels={labels.DEPLOYMENT: service})


def _settled(manifest: Manifest) -> Manifest:
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "resourceVersion"}
    return {**manifest, "metadata": metadata}
