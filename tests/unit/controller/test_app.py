"""The whole controller against an API server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.app import LEASE_NAME, open_manager
from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.health import HealthServer
from aurora_controller.kube.manager import Manager
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    EVENT,
    INGRESS,
    JOB,
    LEASE,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    Manifest,
    ObjectKey,
)
from aurora_controller.settings import ControllerSettings
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.clock import until

WATCHED = (
    *(ML_TRAINING_JOB, ML_MODEL_VERSION, ML_MODEL, ML_DEPLOYMENT),
    *(JOB, POD, PERSISTENT_VOLUME_CLAIM, DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, ENDPOINT_SLICE),
)
LEASE_KEY = ObjectKey("aurora-system", LEASE_NAME)


@pytest.fixture
async def server() -> AsyncIterator[FakeAPIServer]:
    async with FakeAPIServer(*WATCHED, SECRET, EVENT, LEASE) as server:
        yield server


@asynccontextmanager
async def controller(server: FakeAPIServer, **settings: object) -> AsyncIterator[HealthServer]:
    """The app as the program runs it, for the length of the block."""
    made = ControllerSettings.model_validate(
        {"runtime_image": "runtime:1", "health_port": 0, "metrics_port": 0, **settings}
    )
    stop = asyncio.Event()
    async with open_manager(made, config=StaticConfig(server.url), clock=SystemClock()) as manager:
        running = asyncio.create_task(manager.run(stop))
        await until(lambda: running.done() or leader(server) != "")
        try:
            yield health_of(manager)
        finally:
            stop.set()
            await running


def health_of(manager: Manager) -> HealthServer:
    assert isinstance(manager._health, HealthServer)
    return manager._health


def leader(server: FakeAPIServer) -> str:
    lease = server.objects.find(LEASE, LEASE_KEY)
    return "" if lease is None else str(lease["spec"]["holderIdentity"])


async def probe(health: HealthServer, path: str, *, at: int = 0) -> tuple[int, str]:
    host, port = health.addresses[at]
    loopback = "[::1]" if ":" in host else "127.0.0.1"
    async with aiohttp.ClientSession() as session, session.get(f"http://{loopback}:{port}{path}") as response:
        return response.status, await response.text()


def a_deployment(namespace: str) -> Manifest:
    return {
        "apiVersion": ML_DEPLOYMENT.api_version,
        "kind": ML_DEPLOYMENT.kind,
        "metadata": {"name": "housing", "namespace": namespace},
        "spec": {"modelName": "housing", "strategy": {"type": "Canary", "canaryWeight": 10}},
    }


async def test_a_controller_with_nothing_to_do_watches_each_kind_and_holds_its_lease(server: FakeAPIServer) -> None:
    async with controller(server):
        await until(lambda: server.open_watches >= len(WATCHED))

    assert {one.verb for one in server.received if one.plural != "leases"} == {"watch"}
    assert {one.plural for one in server.received if one.is_watch} == {kind.plural for kind in WATCHED}


async def test_a_controller_that_leads_is_alive_ready_and_measured(server: FakeAPIServer) -> None:
    async with controller(server) as health:
        assert await probe(health, "/healthz") == (200, "ok")
        assert await probe(health, "/healthz/leader-election") == (200, "ok")
        assert await probe(health, "/readyz") == (200, "ok")
        status, text = await probe(health, "/metrics", at=1)

    assert status == 200
    for name in ("training", "registry", "versions", "rollout"):
        assert f'controller_runtime_max_concurrent_reconciles{{controller="{name}"}} 8.0' in text
    assert 'leader_election_master_status{name="aurora-controller"} 1.0' in text


async def test_a_controller_without_its_crds_waits_and_says_so(server: FakeAPIServer) -> None:
    server.uninstall(ML_DEPLOYMENT)
    made = ControllerSettings(runtime_image="runtime:1", health_port=0, metrics_port=0)
    stop = asyncio.Event()
    async with open_manager(made, config=StaticConfig(server.url), clock=SystemClock()) as manager:
        running = asyncio.create_task(manager.run(stop))
        await until(lambda: running.done() or server.open_watches >= len(WATCHED) - 1)

        status, text = await probe(health_of(manager), "/readyz")

        assert status == 500
        assert "mldeployments.aurora.io" in text
        assert await probe(health_of(manager), "/healthz") == (200, "ok")
        stop.set()
        await running
    assert leader(server) == ""


async def test_what_cannot_be_served_yet_says_why(server: FakeAPIServer) -> None:
    async with controller(server):
        server.put(ML_DEPLOYMENT, a_deployment("team"))
        await until(lambda: "ModelNotFound" in str(server.objects.find(ML_DEPLOYMENT, ObjectKey("team", "housing"))))


async def test_fields_of_a_later_version_are_counted_and_hinder_nobody(server: FakeAPIServer) -> None:
    later = a_deployment("team")
    later["spec"]["mirror"] = {"percent": 5}
    server.put(ML_DEPLOYMENT, later)
    async with controller(server) as health:
        await until(lambda: "ModelNotFound" in str(server.objects.find(ML_DEPLOYMENT, ObjectKey("team", "housing"))))
        _, text = await probe(health, "/metrics", at=1)

    assert 'unknown_fields_total{kind="MLDeployment"}' in text


async def test_only_the_watched_namespaces_are_asked_for(server: FakeAPIServer) -> None:
    async with controller(server, namespaces=("team-a", "team-b")):
        pass

    assert {one.namespace for one in server.received if one.is_watch} == {"team-a", "team-b"}


async def test_a_stop_gives_the_lease_back(server: FakeAPIServer) -> None:
    async with controller(server):
        assert leader(server)

    assert leader(server) == ""


async def test_without_election_there_is_no_lease(server: FakeAPIServer) -> None:
    made = ControllerSettings(runtime_image="runtime:1", health_port=0, metrics_port=0, leader_election=False)
    stop = asyncio.Event()
    async with open_manager(made, config=StaticConfig(server.url), clock=SystemClock()) as manager:
        running = asyncio.create_task(manager.run(stop))
        server.put(ML_DEPLOYMENT, a_deployment("team"))
        await until(lambda: "ModelNotFound" in str(server.objects.find(ML_DEPLOYMENT, ObjectKey("team", "housing"))))
        stop.set()
        await running

    assert server.objects.find(LEASE, LEASE_KEY) is None
