"""Everything together against an API server on loopback: the client, watches, caches, loop, election and manager."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from aurora_controller.kube.cache import Cache
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.conditions import conditions_of
from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.consistency import ConsistencyStore
from aurora_controller.kube.controller import Controller
from aurora_controller.kube.election_thread import ElectionThread
from aurora_controller.kube.events import EventRecorder
from aurora_controller.kube.executor import Executor
from aurora_controller.kube.health import HealthServer
from aurora_controller.kube.leader_election import LeaderElector, WriteGate
from aurora_controller.kube.manager import Manager
from aurora_controller.kube.meta import DEPLOYMENT, EVENT, LEASE, SECRET, SERVICE, Kind, Manifest, ObjectKey
from aurora_controller.kube.metrics import REGISTRY
from aurora_controller.kube.rest import RestClient
from tests.unit.controller.kube.widgets import KINDS, WIDGET, WidgetReconciler, a_widget, child
from tests.unit.fakes.api_faults import LoseAnswer
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.clock import until

KEY = ObjectKey("team", "wheel")
LEASE_KEY = ObjectKey("team", "widgets")


class World:
    """A server and, in ``controller``, a whole process that talks to it."""

    def __init__(self, server: FakeAPIServer) -> None:
        self.server = server
        self.processes = 0

    @asynccontextmanager
    async def controller(self) -> AsyncIterator[WidgetReconciler]:
        """Runs until the block ends, then stops cleanly."""
        self.processes += 1
        config, clock, gate, stop = (
            StaticConfig(self.server.url),
            SystemClock(),
            WriteGate(open_seconds=10),
            asyncio.Event(),
        )
        async with (
            RestClient(config, clock=clock, max_connections=0) as watches,
            RestClient(config, clock=clock, may_write=gate.is_open) as writes,
        ):
            client = KubeClient(writes, kinds=[*KINDS, EVENT])
            cache = Cache(rest=watches, clock=clock)
            own_writes = ConsistencyStore(cache=cache, clock=clock)
            cache.on_progress(own_writes.changed)
            events = EventRecorder(client=client, clock=clock, controller="example.com", instance="test")
            reconciler = WidgetReconciler(cache=cache, name=f"http-{self.processes}")
            controller = Controller(
                reconciler=reconciler,
                cache=cache,
                executor=Executor(
                    client=client, writes=own_writes, field_manager="us", intent_annotation="example.com/intent"
                ),
                own_writes=own_writes,
                events=events,
                clock=clock,
                workers=4,
            )
            for watch in controller.watches:
                cache.subscribe(watch, partial(controller.on_change, watch))
            manager = Manager(
                caches=cache,
                controllers=[controller],
                events=events,
                election=ElectionThread(partial(self._open_elector, config, gate)),
                health=HealthServer(
                    liveness={}, readiness={}, registry=REGISTRY, port=0, metrics_port=0, host="127.0.0.1"
                ),
                clock=clock,
            )
            running = asyncio.create_task(manager.run(stop))
            try:
                await until(lambda: running.done() or self.holder() != "")
                yield reconciler
            finally:
                stop.set()
                await running

    @asynccontextmanager
    async def _open_elector(self, config: StaticConfig, gate: WriteGate) -> AsyncIterator[LeaderElector]:
        async with RestClient(config, clock=SystemClock(), max_connections=2) as rest:
            yield LeaderElector(
                client=KubeClient(rest, kinds=[LEASE]),
                lease=LEASE_KEY,
                identity=f"process-{self.processes}",
                clock=SystemClock(),
                gate=gate,
            )

    def find(self, kind: Kind, key: ObjectKey = KEY) -> Manifest | None:
        return self.server.objects.find(kind, key)

    def holder(self) -> str:
        lease = self.find(LEASE, LEASE_KEY)
        return "" if lease is None else str(lease["spec"]["holderIdentity"])

    def is_ready(self, generation: int = 1) -> bool:
        widget = self.find(WIDGET) or {}
        return any(
            (one["type"], one["status"], one["observedGeneration"]) == ("Ready", "True", generation)
            for one in conditions_of(widget)
        )

    def reason(self) -> str:
        return next((one["reason"] for one in conditions_of(self.find(WIDGET) or {}) if one["type"] == "Ready"), "")

    def writes(self) -> list[str]:
        """Of the reconciler alone: neither Events nor the Lease."""
        return [
            f"{one.verb} {one.plural}"
            for one in self.server.received
            if one.verb in {"create", "update", "patch", "delete"} and one.plural not in {"events", "leases"}
        ]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with FakeAPIServer(*KINDS, EVENT, LEASE) as server:
        yield World(server)


async def test_an_object_gets_its_children_its_status_and_an_event(world: World) -> None:
    async with world.controller():
        world.server.put(WIDGET, a_widget())
        await until(world.is_ready)
        await until(lambda: world.server.count("create", "events") == 1)

    assert world.writes() == ["create secrets", "patch deployments", "patch services", "patch widgets"]


async def test_a_restart_of_what_has_converged_writes_nothing(world: World) -> None:
    world.server.put(WIDGET, a_widget())
    async with world.controller():
        await until(world.is_ready)
    before = world.writes()

    async with world.controller() as reconciler:
        await until(lambda: reconciler.plans > 0)

    assert world.writes() == before


async def test_a_deleted_child_comes_back(world: World) -> None:
    world.server.put(WIDGET, a_widget())
    async with world.controller():
        await until(world.is_ready)
        for kind in (SECRET, DEPLOYMENT, SERVICE):
            world.server.objects.delete(kind, KEY)
            await until(lambda kind=kind: world.find(kind) is not None)  # type: ignore[misc]


async def test_a_meddled_child_is_put_right(world: World) -> None:
    world.server.put(WIDGET, a_widget())
    async with world.controller():
        await until(world.is_ready)
        world.server.objects.merge_patch(DEPLOYMENT, KEY, {"spec": {"replicas": 7}}, manager="kubectl", subresource="")

        await until(lambda: (world.find(DEPLOYMENT) or {})["spec"]["replicas"] == 1)


async def test_a_strangers_child_is_left_alone_and_told(world: World) -> None:
    stranger = world.server.put(WIDGET, a_widget("stranger"))
    theirs = child(stranger, SERVICE, spec={"port": 1})
    theirs["metadata"]["name"] = "wheel"
    world.server.put(SERVICE, theirs)
    world.server.put(WIDGET, a_widget())
    async with world.controller():
        await until(lambda: world.reason() == "OwnerConflict")

    assert (world.find(SERVICE) or {})["spec"] == {"port": 1}


@pytest.mark.parametrize(
    ("verb", "plural"), [("create", "secrets"), ("patch", "deployments"), ("patch", "services"), ("patch", "widgets")]
)
async def test_a_lost_answer_makes_nothing_twice(world: World, verb: str, plural: str) -> None:
    world.server.fail(LoseAnswer(), verb=verb, plural=plural)
    world.server.put(WIDGET, a_widget())
    async with world.controller():
        await until(world.is_ready)
        [uid] = {(world.find(SECRET) or {})["metadata"]["uid"]}

    assert (world.find(SECRET) or {})["metadata"]["uid"] == uid
    assert world.writes().count("create secrets") == 1


async def test_history_that_the_server_forgot_costs_nothing_but_a_new_list(world: World) -> None:
    world.server.put(WIDGET, a_widget())
    async with world.controller():
        await until(world.is_ready)
        before = world.writes()
        world.server.objects.compact()
        world.server.end_watches()
        world.server.put(WIDGET, a_widget(replicas=2))

        await until(lambda: world.is_ready(generation=2))

    assert world.writes() == [*before, "patch deployments", "patch widgets"]


async def test_the_lease_is_given_back_by_a_clean_stop(world: World) -> None:
    async with world.controller():
        assert world.holder() == "process-1"

    assert world.holder() == ""
