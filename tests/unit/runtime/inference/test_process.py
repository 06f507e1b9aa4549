"""The server as a process: it starts, refuses what it must not load, and stops without losing a request."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from aurora_runtime.contract import ExitCode
from aurora_runtime.inference import __main__ as program
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import KEY, MODEL, ROW, a_body, a_regressor, publish

LIMIT_SECONDS = 30
SOURCES = str(Path(program.__file__).parents[2])


@dataclass(kw_only=True)
class Server:
    """A process and what it has logged so far."""

    process: Process
    log: list[dict[str, Any]] = field(default_factory=list)

    async def logged(self, event: str) -> dict[str, Any]:
        """The first line with this event; waits for it."""
        for line in self.log:
            if line["event"] == event:
                return line
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            async for text in self.process.stderr:
                self.log.append(json.loads(text))
                if self.log[-1]["event"] == event:
                    return self.log[-1]
        raise AssertionError(f"the server never logged {event!r}, but {self.log}")

    async def port(self, server: str) -> int:
        """The port that the system chose for the server called so."""
        await self.logged("fetching")
        return next(int(line["port"]) for line in self.log if line.get("server") == server)

    async def exit_code(self) -> int:
        """Waits for the end; the whole log is there then."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            self.log += [json.loads(text) async for text in self.process.stderr]
            return await self.process.wait()


@asynccontextmanager
async def a_process(root: Path, *flags: str) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "aurora_runtime.inference", "--store", str(root), "--model", MODEL),
        *("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", *flags),
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": SOURCES},
    )
    try:
        yield Server(process=process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_it_starts_answers_and_stops(store: ModelStore) -> None:
    digest = store.open(MODEL, 1).digest
    async with a_process(store.root, "--digest", digest, "--revision", "1-abc") as server:
        assert (await server.logged("ready"))["digest"] == digest
        url = f"http://127.0.0.1:{await server.port('http')}/v2/models/{MODEL}/infer"
        counters_url = f"http://127.0.0.1:{await server.port('metrics')}/counters"
        async with aiohttp.ClientSession() as session:
            async with session.post(url, json=a_body()) as response:
                answered = await response.json()
            async with session.get(counters_url) as response:
                counters = await response.json()
        assert answered["outputs"][0]["data"] == a_regressor().predict([ROW]).tolist()
        assert (counters["version"], counters["revision"], counters["requests"]) == (1, "1-abc", 1)
        server.process.send_signal(signal.SIGTERM)
        assert await server.exit_code() == 0
        assert server.log[-1]["event"] == "stopped"


async def test_a_request_in_flight_is_answered_after_sigterm(store: ModelStore) -> None:
    async with a_process(store.root, "--drain-seconds", "600") as server:
        await server.logged("ready")
        port = await server.port("http")
        body = orjson.dumps(a_body())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[:10])

        server.process.send_signal(signal.SIGTERM)
        await server.logged("draining")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            async with session.get("/v2/health/ready") as response:
                assert response.status == 503
            async with session.post(f"/v2/models/{MODEL}/infer", json=a_body()) as response:
                assert (response.status, response.headers["Connection"]) == (200, "close")

        server.process.send_signal(signal.SIGTERM)  # ends the 600 seconds
        await refused_connections(port)
        writer.write(body[10:])
        async with asyncio.timeout(LIMIT_SECONDS):
            answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in answer
        await closed(writer)
        assert await server.exit_code() == 0


async def refused_connections(port: int) -> None:
    """Waits until nobody listens there any more."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Ends a connection, whatever the other side did to it."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize("damage", ["flipped", "truncated", "grown", "missing", "a link", "another file beside it"])
async def test_damaged_bytes_are_refused_by_the_name_of_the_file(tmp_path: Path, damage: str) -> None:
    published = publish(ModelStore(root=tmp_path), a_regressor())
    artifact = published.path / "model.joblib"
    data = bytearray(artifact.read_bytes())
    match damage:
        case "flipped":
            data[len(data) // 2] ^= 1
            artifact.write_bytes(data)
        case "truncated":
            artifact.write_bytes(data[:-1])
        case "grown":
            artifact.write_bytes(data + b"x")
        case "missing":
            artifact.unlink()
        case "a link":
            artifact.rename(tmp_path / "elsewhere")
            artifact.symlink_to(tmp_path / "elsewhere")
        case _:
            artifact = published.path / "extra.joblib"
            artifact.write_bytes(b"x")
    async with a_process(tmp_path, "--version", "1", "--digest", published.digest) as server:
        assert await server.exit_code() == ExitCode.ARTIFACT_REFUSED
    last = server.log[-1]
    assert last["event"] == "model refused"
    assert str(artifact) in last["error"]
    assert "estore the files" in last["error"]
    if damage in ("flipped", "truncated", "grown"):
        assert len(re.findall(r"sha256:[0-9a-f]{64}", last["error"])) == 2


async def test_another_digest_than_the_one_asked_for_is_refused(store: ModelStore) -> None:
    asked, found = "sha256:" + "1" * 64, store.open(MODEL, 1).digest
    async with a_process(store.root, "--version", "1", "--digest", asked) as server:
        assert await server.exit_code() == ExitCode.ARTIFACT_REFUSED
    assert asked in server.log[-1]["error"]
    assert found in server.log[-1]["error"]


async def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    publish(ModelStore(root=tmp_path / "store"), Burglar(marker))
    async with a_process(tmp_path / "store") as server:
        assert await server.exit_code() == ExitCode.ARTIFACT_REFUSED
    assert "outside the allow-list" in server.log[-1]["error"]
    assert not marker.exists()


class Burglar:
    """Predicts, and when unpickled leaves a mark."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def predict(self, features: Any) -> Any:
        return a_regressor().predict(features)

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._marker),)


async def test_a_model_that_does_not_exist_is_named_with_the_remedy(tmp_path: Path) -> None:
    async with a_process(tmp_path) as server:
        assert await server.exit_code() == ExitCode.ARTIFACT_REFUSED
    assert MODEL in server.log[-1]["error"]
    assert "train the model first" in server.log[-1]["error"]


async def test_a_storage_that_fails_is_asked_again_until_sigterm(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.symlink_to(root)  # reading it fails for ever
    async with a_process(root, "--version", "1") as server:
        assert "ELOOP" in (await server.logged("storage failed, fetching again"))["error"]
        server.process.send_signal(signal.SIGTERM)
        assert await server.exit_code() == ExitCode.OK


async def test_a_port_that_is_taken_is_named(store: ModelStore) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    async with taken, a_process(store.root, "--port", str(port)) as server:
        assert await server.exit_code() == ExitCode.FAILED
    assert f"127.0.0.1:{port}" in json.dumps(server.log[-1])
    assert "the port is taken" in json.dumps(server.log[-1])


async def test_an_empty_folder_of_keys_serves_nobody(store: ModelStore, tmp_path: Path) -> None:
    async with a_process(store.root, "--api-keys-dir", str(tmp_path)) as server:
        await server.logged("ready")
        url = f"http://127.0.0.1:{await server.port('http')}/v2/models/{MODEL}/infer"
        async with (
            aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session,
            session.post(url, json=a_body()) as response,
        ):
            assert response.status == 401


def test_the_termination_message_is_written_only_where_the_kubelet_made_its_file(tmp_path: Path) -> None:
    program.write_termination_message("why", tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    (tmp_path / "made").touch()
    program.write_termination_message("why" * 5000, tmp_path / "made")
    assert (tmp_path / "made").stat().st_size == 3584
