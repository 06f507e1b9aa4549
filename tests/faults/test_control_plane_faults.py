"""T10: the control plane itself is restarted, compacted, and stripped of kinds, rights and credentials.

The whole plane is concerned, so these run one after the other, and each leaves it as it was.
"""

import asyncio
import base64
import shutil
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest_asyncio

from aurora_controller.api.labels import GROUP
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.errors import NotFound
from aurora_controller.kube.meta import SERVICE, Kind, Manifest, ObjectKey, uid_of
from tests.faults import oracles
from tests.faults.control_plane import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    CONTROLLER_TOKEN,
    CRD,
    OTHER_TOKEN,
    ROOT,
    ControlPlane,
    crds,
    free_ports,
    install,
    rights,
)
from tests.faults.controllers import ControllerProcess, Running, controller
from tests.faults.mirror import NotYet
from tests.faults.proxy import Door, Proxy, Write
from tests.faults.rules import Edit, Lines, Refuse, Rule
from tests.faults.runs import QUIET_SECONDS, rest
from tests.faults.scenarios import NAME, Stage
from tests.faults.vitals import vitals_of

ABSENT_SECONDS: Final = 10.0
"""Between two looks for a kind that is not served or not allowed."""
CERTIFICATES: Final = ROOT / "tests/unit/fakes/certificates"
"""Each its own authority, for 127.0.0.1."""
ROLE, BINDING = rights()[0][1], rights()[1][1]


@asynccontextmanager
async def serving(stage: Stage, proxy: Proxy, **settings: Any) -> AsyncIterator[tuple[Door, Running]]:
    """Version 1 is served, and all is at rest."""
    stage.patience_seconds = 60.0
    async with proxy.door("only") as door, controller(door, stage.namespace, **settings) as running:
        await stage.publish(1)
        await stage.serve()
        await stage.until_served(1)
        await rest(proxy, stage)
        yield door, running


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def as_it_was(plane: ControlPlane, client: KubeClient) -> AsyncIterator[None]:
    """Whatever a test fails at, the next one finds both programs, all kinds and all rights."""
    yield
    plane.start_etcd()
    await plane.start_apiserver()
    await install(client)


async def until(holds: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110
            await asyncio.sleep(0.1)


async def remove(client: KubeClient, kind: Any, manifest: Manifest) -> None:
    key = ObjectKey("", manifest["metadata"]["name"])
    await client.delete(kind, key, uid=uid_of(await client.get(kind, key)), propagation="Background")

    async def is_gone() -> bool:
        return await client.get_or_none(kind, key) is None

    await until(is_gone)


def requests_since(door: Door, moment: float, resource: str = "") -> int:
    return sum(at > moment and resource in {"", call.resource} for at, call in door.requests)


def most_for_what_is_away(since: float) -> float:
    """Requests for one collection: at once for each of the two steps in which a server takes it down, then by pause."""
    return 2 + (time.monotonic() - since) / ABSENT_SECONDS


async def test_a_kind_that_is_removed_and_installed_again(stage: Stage, proxy: Proxy, client: KubeClient) -> None:
    """The other kinds go on meanwhile; the removed one is looked for now and then."""
    async with serving(stage, proxy) as (door, running):
        await remove(client, CRD, {"metadata": {"name": "mldeployments.aurora.io"}})
        removed_at = time.monotonic()

        await stage.train()
        await stage.until_trained(2)
        assert requests_since(door, removed_at, ML_DEPLOYMENT.plural) <= most_for_what_is_away(removed_at)
        assert not running.task.done()

        await install(client)

        async def is_accepted() -> bool:
            with suppress(NotFound):
                await stage.serve()
                return True
            return False

        await until(is_accepted)
        await stage.until_served(2)


async def test_a_version_that_is_not_served_for_a_while(stage: Stage, proxy: Proxy, client: KubeClient) -> None:
    """The other kinds go on meanwhile; readiness names the one that is away."""
    [port] = free_ports(1)
    async with serving(stage, proxy, health_port=port) as (door, running):

        async def is_ready() -> bool:
            return await readiness(port) == "ok"

        async def is_missed() -> bool:
            return f"{ML_DEPLOYMENT.plural}.{GROUP} in {stage.namespace}: 404" in await readiness(port)

        assert await is_ready()
        await unserve(client, ML_DEPLOYMENT)
        await until(is_missed)
        missed_at = time.monotonic()

        await stage.train()
        await stage.until_trained(2)
        assert requests_since(door, missed_at, ML_DEPLOYMENT.plural) <= most_for_what_is_away(missed_at)
        assert not running.task.done()
        assert await is_missed()

        await install(client)
        await stage.until_canary(2)
        assert await is_ready()


async def unserve(client: KubeClient, kind: Kind) -> None:
    crd = next(one for one in crds() if one["spec"]["names"]["plural"] == kind.plural)
    versions = [{**version, "served": False} for version in crd["spec"]["versions"]]
    unserved = {**crd, "spec": {**crd["spec"], "versions": versions}}
    await client.apply(CRD, unserved, field_manager="fault-tests", force=True)


async def readiness(port: int) -> str:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/readyz") as answer:
        return await answer.text()


async def test_rights_that_are_revoked_and_given_back(stage: Stage, proxy: Proxy, client: KubeClient) -> None:
    async with serving(stage, proxy) as (door, running):
        await remove(client, CLUSTER_ROLE_BINDING, BINDING)
        door.cut()
        await stage.publish(2)
        revoked_at = time.monotonic()
        await asyncio.sleep(ABSENT_SECONDS / 2)
        asked, times = requests_since(door, revoked_at), 1 + (time.monotonic() - revoked_at) // ABSENT_SECONDS
        assert not running.task.done()

        await install(client)
        await stage.until_canary(2)
        assert asked <= times * len(door.open_watches), f"{asked} requests, each watch {times} times at most"


async def test_a_single_right_that_is_missing_is_told_and_slows_down(
    stage: Stage, proxy: Proxy, client: KubeClient
) -> None:
    async with serving(stage, proxy) as _:
        rules = [rule for rule in ROLE["rules"] if "deployments" not in rule["resources"]]
        reading = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list", "watch"]}
        await client.apply(CLUSTER_ROLE, {**ROLE, "rules": [*rules, reading]}, field_manager="fault-tests", force=True)
        await stage.publish(2)

        def is_told() -> bool:
            said = str(stage.status(ML_DEPLOYMENT, NAME).get("conditions"))
            return "deployments" in said and "forbidden" in said

        await stage.until(is_told, "word of the missing right")
        await asyncio.sleep(ABSENT_SECONDS / 4)
        refused = [step.began for step in proxy.steps(stage.namespace) if step.status == 403]
        assert oracles.i11_a_failing_key_backs_off(refused, until=time.monotonic()) == []

        await install(client)
        await stage.until_canary(2)


async def test_a_rotated_token_is_taken_up_without_a_restart(stage: Stage, proxy: Proxy, tmp_path: Path) -> None:
    async with proxy.door("only") as door:
        door.token = None
        program = ControllerProcess(door, stage.namespace, tmp_path, name="only", **LEASE)

        def rotate() -> None:
            program.token_file.write_text(OTHER_TOKEN)
            door.refused_tokens.add(CONTROLLER_TOKEN)

        await assert_taken_up(rotate, program, door, stage, proxy)


async def test_a_rotated_authority_is_trusted_without_a_restart(stage: Stage, proxy: Proxy, tmp_path: Path) -> None:
    async with proxy.door("only", certificate=CERTIFICATES / "first.pem") as door:
        program = ControllerProcess(door, stage.namespace, tmp_path, name="only", **LEASE)
        shutil.copy(CERTIFICATES / "first.pem", program.authority_file)

        def rotate() -> None:
            shutil.copy(CERTIFICATES / "second.pem", program.authority_file)
            door.present(CERTIFICATES / "second.pem")

        await assert_taken_up(rotate, program, door, stage, proxy)


LEASE: Final[dict[str, Any]] = {"lease_seconds": 6.0, "renew_deadline_seconds": 4.0, "retry_seconds": 0.5}
"""A renewal that meets what was before fails, and the next one is due before the Lease is over."""


CUTS: Final = 5
LEAKS: Final = {"fds": 6.0, "threads": 4.0}
"""Connections at rest differ by what was last asked for, threads by how many files are read at once; a watch or a
connection that was forgotten at each cut would be dozens."""


async def reconnected(stage: Stage, door: Door) -> None:
    """Every connection breaks, and every watch is back."""
    watched, cut_at = {resource for resource, count in door.open_watches.items() if count}, time.monotonic()
    door.cut()

    def is_back() -> bool:
        opened = {call.resource for at, call in door.requests if at > cut_at and call.verb == "watch"}
        return watched <= opened and all(door.open_watches[resource] for resource in watched)

    await stage.until(is_back, "all watches")


async def assert_taken_up(
    rotate: Callable[[], None], program: ControllerProcess, door: Door, stage: Stage, proxy: Proxy
) -> None:
    """The program goes on as the leader it was, when nothing of before is accepted any more, and leaks nothing."""
    stage.patience_seconds = 60.0
    program.start()
    try:
        await stage.publish(1)
        await stage.serve()
        await stage.until_served(1)
        await rest(proxy, stage)
        before = vitals_of(program.pid)

        rotate()
        for _ in range(CUTS):
            await reconnected(stage, door)
        await stage.publish(2)
        await stage.until_canary(2)
        await rest(proxy, stage)

        def leaks() -> oracles.Violations:
            return oracles.i12_nothing_leaks(asdict(before), asdict(vitals_of(program.pid)), allowed=LEAKS)

        # Connections that were needed at once are closed when they have been idle for long enough.
        with suppress(NotYet):
            await stage.until(lambda: leaks() == [], "as many open files and threads as before")
        assert leaks() == []
        writes = [write for write in proxy.writes if write.call.namespace == stage.namespace]
        transitions = {write.answer["spec"]["leaseTransitions"] for write in writes if is_renewal(write)}
        assert transitions == {0}
        assert oracles.i5_only_the_holder_writes(writes) == []
    finally:
        program.kill()


def is_renewal(write: Write) -> bool:
    return write.call.resource == "leases" and write.is_done


async def test_an_api_server_that_ends_and_comes_back(stage: Stage, proxy: Proxy, plane: ControlPlane) -> None:
    """First it takes no new connections, then it closes those it has."""
    async with serving(stage, proxy) as (_, running):
        before = len(proxy.steps(stage.namespace))
        await asyncio.to_thread(plane.end, "kube-apiserver", patience_seconds=3.0)
        await asyncio.sleep(QUIET_SECONDS)
        await plane.start_apiserver()
        await rest(proxy, stage)
        assert [step for step in proxy.steps(stage.namespace)[before:] if step.is_done] == []

        await stage.publish(2)
        await stage.until_canary(2)
        assert not running.task.done()


async def test_an_etcd_that_is_killed_and_comes_back(stage: Stage, proxy: Proxy, plane: ControlPlane) -> None:
    async with serving(stage, proxy) as (_, running):
        await asyncio.to_thread(plane.end, "etcd", signal.SIGKILL)
        await asyncio.sleep(QUIET_SECONDS)
        plane.start_etcd()
        await plane.until_ready()

        await stage.publish(2)
        await stage.until_canary(2)
        assert not running.task.done()


async def test_a_history_that_was_compacted_is_listed_anew(stage: Stage, proxy: Proxy, plane: ControlPlane) -> None:
    """What happened while nobody watched is known to nobody: not the events, only the state."""
    async with serving(stage, proxy) as (door, _):
        deaf = door.rules.add(Rule(action=Refuse(), verb="watch", times=None))
        door.cut()
        await stage.delete(SERVICE, NAME)
        await stage.publish(2)
        await compact(plane)
        # A server that starts knows no version from before.
        await asyncio.to_thread(plane.end, "kube-apiserver", signal.SIGKILL)
        await plane.start_apiserver()
        told: list[bytes] = []
        door.rules.add(Rule(action=Edit(lines=noting(told)), verb="watch", times=None))
        door.rules.remove(deaf)

        await stage.until_canary(2)
        await stage.until(lambda: stage.get(SERVICE, NAME) is not None, "the Service")
        assert any(b'"code":410' in line for line in told), "no version had been compacted away"


def noting(told: list[bytes]) -> Any:
    async def passing(stream: Lines) -> Lines:
        async for line in stream:
            told.append(line)
            yield line

    return passing


async def compact(plane: ControlPlane) -> None:
    async with aiohttp.ClientSession(plane.etcd_url, raise_for_status=True) as session:
        async with session.post("/v3/kv/range", json={"key": base64.b64encode(b"x").decode()}) as answer:
            revision = (await answer.json())["header"]["revision"]
        async with session.post("/v3/kv/compaction", json={"revision": revision, "physical": True}):
            pass
