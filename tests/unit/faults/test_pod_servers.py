"""Whatever ends a pod's server while it starts, nothing goes on listening: a socket left open fails a later test."""

import asyncio
from contextlib import suppress

import pytest

from aurora_controller.api import labels
from aurora_controller.kube.meta import Manifest
from aurora_runtime.contract import METRICS_PORT
from tests.faults.pod_servers import PodServers

POD: Manifest = {
    "metadata": {"uid": "one", "labels": {labels.MODEL: "m", labels.VERSION: "1", labels.REVISION: "r"}},
}


async def is_answered(address: str) -> bool:
    with suppress(ConnectionRefusedError):
        _, writer = await asyncio.open_connection(address, METRICS_PORT)
        writer.close()
        await writer.wait_closed()
        return True
    return False


async def test_a_pod_keeps_its_address_until_it_is_gone() -> None:
    servers = PodServers()
    address = await servers.start(POD)
    assert await servers.start(POD) == address
    assert await is_answered(address)
    await servers.keep({"one"})
    assert await is_answered(address)
    await servers.keep(set())
    assert not await is_answered(address)


async def test_a_pod_that_goes_while_it_starts_leaves_nothing_listening() -> None:
    servers = PodServers()
    starting = asyncio.create_task(servers.start(POD))
    await asyncio.sleep(0)
    assert not starting.done()
    await servers.keep(set())
    assert not await is_answered(await starting)


async def test_a_start_that_is_cancelled_leaves_nothing_listening() -> None:
    servers = PodServers()
    address = await servers.start(POD)
    await servers.keep(set())
    starting = asyncio.create_task(servers.start(POD))
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await servers.keep(set())
    # Addresses are given in order.
    following = address.rpartition(".")[0] + f".{int(address.rpartition('.')[2]) + 1}"
    assert not await is_answered(following)
