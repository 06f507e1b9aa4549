"""One control plane for the fault tests of a process, and one event loop, for proxy, players and most controllers."""

import asyncio
import logging
import os
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import orjson
import pytest
import pytest_asyncio
import structlog

from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.meta import LEASE, Manifest
from aurora_controller.kube.store import Store
from tests.faults.clocks import PatientTime
from tests.faults.control_plane import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CRD, NAMESPACE, ControlPlane, binaries
from tests.faults.mirror import MIRRORED, Mirror
from tests.faults.oracles import Violations
from tests.faults.players import Players
from tests.faults.proxy import Proxy
from tests.faults.runs import AT_ONCE, Bench, Learn, OpenStage, Reference, Tasks, learn
from tests.faults.scenarios import Scenario, Stage

# Kept in the environment, so that the processes among which pytest-xdist divides the tests all roll the same dice.
SEED = int(os.environ.get("AURORA_FAULT_SEED") or random.SystemRandom().randrange(2**32))
os.environ["AURORA_FAULT_SEED"] = str(SEED)


def pytest_report_header() -> str:
    return f"AURORA_FAULT_SEED={SEED}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        is_ours = "tests/faults" in item.path.as_posix() and isinstance(item, pytest.Function)
        if is_ours and asyncio.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session", autouse=True)
def quiet_logs() -> Iterator[None]:
    """What a fault makes the controller warn of is no news here."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def nothing_mutated(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """T15: what caches hand out is shared by all readers, so at the end it is byte for byte as it came."""
    kept: list[tuple[Manifest, bytes]] = []
    put = Store.put

    def keep(store: Store, obj: Manifest) -> Manifest | None:
        kept.append((obj, orjson.dumps(obj)))
        return put(store, obj)

    monkeypatch.setattr(Store, "put", keep)
    yield
    assert [before.decode() for obj, before in kept if orjson.dumps(obj) != before] == []


@pytest.fixture
def dice(request: pytest.FixtureRequest) -> random.Random:
    """Its own for each test, so that one test alone rolls what it rolled among all."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest_asyncio.fixture(scope="session", loop_scope="session", autouse=True)
async def patient_time() -> None:
    PatientTime(asyncio.get_running_loop())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def plane() -> AsyncIterator[ControlPlane]:
    if not (binaries() / "kube-apiserver").exists():
        pytest.fail(f"no kube-apiserver in {binaries()}; build it: hack/cluster/binaries.sh kubernetes")
    folder = Path(tempfile.mkdtemp(prefix="aurora-faults-"))
    plane = ControlPlane(folder)
    try:
        await plane.start()
        yield plane
    finally:
        plane.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def client(plane: ControlPlane) -> AsyncIterator[KubeClient]:
    """An administrator whom no fault meets."""
    async with plane.open_rest() as rest:
        yield KubeClient(rest, kinds=[*MIRRORED, NAMESPACE, CRD, CLUSTER_ROLE, CLUSTER_ROLE_BINDING, LEASE])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def mirror(plane: ControlPlane, client: KubeClient) -> AsyncIterator[Mirror]:
    mirror = Mirror(plane)
    task = asyncio.create_task(mirror.run())
    yield mirror
    task.cancel()
    await asyncio.wait([task])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def players(mirror: Mirror, client: KubeClient) -> AsyncIterator[Players]:
    players = Players(mirror, client)
    task = asyncio.create_task(players.run())
    yield players
    assert not task.done(), task
    task.cancel()
    await asyncio.wait([task])


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(plane: ControlPlane) -> AsyncIterator[Proxy]:
    async with Proxy(plane) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def open_stage(client: KubeClient, mirror: Mirror, players: Players) -> Callable[[str], Awaitable[Stage]]:
    return lambda title: Stage.open(client, mirror, players, title)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def learned(plane: ControlPlane, open_stage: OpenStage) -> AsyncIterator[Learn]:
    """What clean runs of a scenario agree on, learned once for all tests."""
    learning: dict[str, asyncio.Task[Reference]] = {}
    async with Proxy(plane) as proxy:

        async def of(scenario: Scenario) -> Reference:
            if scenario.name not in learning:
                learning[scenario.name] = asyncio.create_task(learn(scenario, proxy, open_stage))
            return await asyncio.shield(learning[scenario.name])

        yield of


@pytest_asyncio.fixture(loop_scope="session")
async def stage(open_stage: Callable[[str], Awaitable[Stage]]) -> Stage:
    return await open_stage("one")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def runs(
    request: pytest.FixtureRequest, plane: ControlPlane, client: KubeClient, open_stage: OpenStage, learned: Learn
) -> AsyncIterator[Tasks]:
    """What a module's ``meet`` finds wrong in each of its ``CASES`` that a test was selected for, by their names.

    They wait more than they work, so they do it beside each other.
    """
    slots = asyncio.Semaphore(AT_ONCE // 2)
    selected = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    wanted = {param for spec in selected if spec is not None for param in spec.params.values()}
    async with Proxy(plane) as proxy:
        bench = Bench(proxy=proxy, client=client, open_stage=open_stage, learned=learned, seed=SEED)

        async def one(case: str) -> Violations:
            async with slots:
                found: Violations = await request.module.meet(case, bench)
                return found

        tasks = {case: asyncio.create_task(one(case), name=case) for case in request.module.CASES if case in wanted}
        yield tasks
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
