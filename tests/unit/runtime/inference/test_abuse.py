"""Clients that are slow, huge, broken or malicious cost little, and nobody else notices them."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest

from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.live import LiveServer, a_live_server
from tests.unit.runtime.inference.models import FEATURES, MODEL, a_body, a_regressor, a_tensor, some_rows
from tests.unit.runtime.inference.processes import LIMIT_SECONDS, closed

PATH = f"/v2/models/{MODEL}/infer"
MEBIBYTE = 1024 * 1024
CONNECTIONS = 64
REQUESTS_EACH = 12


@dataclass(frozen=True, kw_only=True)
class Target:
    """A ready server process."""

    server: LiveServer
    session: aiohttp.ClientSession

    async def infer(self, body: bytes) -> tuple[int, Any]:
        async with self.session.post(PATH, data=body, headers={"Content-Type": "application/json"}) as response:
            return response.status, await response.json()

    async def send(self, head_and_more: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection of its own on which this was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port)
        writer.write(head_and_more)
        await writer.drain()
        return reader, writer


@pytest.fixture(scope="module")
def patient_server(store: ModelStore) -> Iterator[LiveServer]:
    with a_live_server(store.root, "--max-body-bytes", str(MEBIBYTE)) as server:
        yield server


@pytest.fixture(scope="module")
def hasty_server(store: ModelStore) -> Iterator[LiveServer]:
    with a_live_server(store.root, "--idle-timeout-seconds", "0.2", "--body-timeout-seconds", "0.2") as server:
        yield server


@pytest.fixture
async def target(patient_server: LiveServer) -> AsyncIterator[Target]:
    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with aiohttp.ClientSession(patient_server.url, connector=connector) as session:
        yield Target(server=patient_server, session=session)


@pytest.fixture
async def hasty(hasty_server: LiveServer) -> AsyncIterator[Target]:
    """It soon gives up on clients."""
    async with aiohttp.ClientSession(hasty_server.url) as session:
        yield Target(server=hasty_server, session=session)


def head(content_length: int) -> bytes:
    return f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: {content_length}\r\n\r\n".encode()


async def test_an_old_client_is_not_asked_for_its_body(target: Target) -> None:
    body = orjson.dumps(a_body())
    old = head(len(body)).replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"Host", b"Expect: 100-continue\r\nHost")
    reader, writer = await target.send(old + body)
    async with asyncio.timeout(LIMIT_SECONDS):
        assert (await reader.readline()).split()[1] == b"200"
    await closed(writer)


@pytest.mark.parametrize(
    "large",
    [
        pytest.param(b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\nHost: a\r\n\r\n", id="a path"),
        pytest.param(b"GET /v2 HTTP/1.1\r\nX-API-Key: " + b"secret" * 1400 + b"\r\n\r\n", id="a header"),
        pytest.param(b"GET /v2 HTTP/1.1\r\n" + b"X: 1\r\n" * 129 + b"\r\n", id="many headers"),
    ],
)
async def test_too_large_a_head_is_431_and_comes_back_neither_whole_nor_in_part(target: Target, large: bytes) -> None:
    reader, writer = await target.send(large)
    async with asyncio.timeout(LIMIT_SECONDS):
        answer = await reader.read()
    assert answer.split()[1] == b"431"
    expected = "request head: expected at most 128 headers, and at most 8190 bytes in a line"
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2]) == {"error": expected}
    await closed(writer)


@pytest.mark.parametrize("sent", [b"", b"POST /v2 HTTP/1.1\r\nHost: a\r\nX-Slow: "], ids=["nothing", "half a head"])
async def test_a_head_that_never_ends_is_hung_up_on(hasty: Target, sent: bytes) -> None:
    reader, writer = await hasty.send(sent)
    async with asyncio.timeout(LIMIT_SECONDS):
        assert await reader.read() == b""
    await closed(writer)


async def test_a_body_that_never_ends_is_408_and_holds_nobody_up(hasty: Target) -> None:
    reader, writer = await hasty.send(head(99) + b"{")
    assert (await hasty.infer(orjson.dumps(a_body())))[0] == 200
    async with asyncio.timeout(LIMIT_SECONDS):
        answer = await reader.readuntil(b"}")
    assert answer.startswith(b"HTTP/1.1 408")
    assert answer.endswith(b'{"error":"body: expected within 0.2 s of its head"}')
    await closed(writer)


async def test_a_body_of_64_mb_is_413_and_never_in_memory(target: Target) -> None:
    before = target.server.peak_memory_bytes()
    reader, writer = await target.send(head(64 * MEBIBYTE))
    answering = asyncio.create_task(reader.readline())
    with suppress(ConnectionError):
        for _ in range(64):
            if answering.done():
                break
            writer.write(b" " * MEBIBYTE)
            await writer.drain()
    async with asyncio.timeout(LIMIT_SECONDS):
        assert (await answering).startswith(b"HTTP/1.1 413")
    assert target.server.peak_memory_bytes() - before < 16 * MEBIBYTE
    await closed(writer)
    assert (await target.infer(orjson.dumps(a_body())))[0] == 200


async def test_bombs_are_413_and_never_in_memory(target: Target) -> None:
    bomb = gzip.compress(bytes(256 * MEBIBYTE), 9)
    assert len(bomb) < MEBIBYTE
    before = target.server.peak_memory_bytes()
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}

    async def throw() -> int:
        async with target.session.post(PATH, data=bomb, headers=headers) as response:
            return response.status

    assert await asyncio.gather(*(throw() for _ in range(8))) == [413] * 8
    # Of 2 GiB. What threads and their allocators take on the first use is in it too.
    assert target.server.peak_memory_bytes() - before < 64 * MEBIBYTE


async def test_json_of_10000_levels_is_400(target: Target) -> None:
    deep = b"[" * 10_000 + b"]" * 10_000
    within = orjson.dumps(a_body(a_tensor(data="deep"))).replace(b'"deep"', deep)
    for body in (deep, within):
        status, answer = await target.infer(body)
        assert status == 400
        assert list(answer) == ["error"]


async def test_connections_cut_in_the_middle_of_a_body_leave_nothing_behind(target: Target) -> None:
    for _ in range(50):
        _, writer = await target.send(head(99) + b"{")
        writer.transport.abort()
    assert (await target.infer(orjson.dumps(a_body())))[0] == 200
    async with (
        asyncio.timeout(LIMIT_SECONDS),
        aiohttp.ClientSession() as session,
    ):
        while True:
            async with session.get(f"http://127.0.0.1:{target.server.metrics_port}/counters") as response:
                counters = await response.json()
            if counters["inFlight"] == 0:
                break
    assert counters["errors"] == 0


async def test_good_and_bad_requests_of_64_connections_never_mix(target: Target) -> None:
    rows = some_rows(CONNECTIONS * REQUESTS_EACH, seed=3)
    expected = a_regressor().predict(rows)

    async def client(number: int) -> None:
        for turn in range(REQUESTS_EACH):
            index = number * REQUESTS_EACH + turn
            row = a_tensor(data=rows[index].tolist())
            match index % 4:
                case 0:
                    status, answer = await target.infer(b"{" + str(index).encode())
                    assert (status, list(answer)) == (400, ["error"])
                case 1:
                    short = a_tensor(shape=[index + 2, len(FEATURES)], data=rows[index].tolist())
                    status, answer = await target.infer(orjson.dumps(a_body(short, id=str(index))))
                    assert status == 400
                    assert str(index + 2) in answer["error"]
                case _:
                    status, answer = await target.infer(orjson.dumps(a_body(row, id=str(index))))
                    assert (status, answer["id"]) == (200, str(index))
                    assert answer["outputs"][0]["data"] == [expected[index]]

    async with asyncio.TaskGroup() as clients:
        for number in range(CONNECTIONS):
            clients.create_task(client(number))
