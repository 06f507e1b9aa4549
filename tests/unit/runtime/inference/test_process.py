"""The server as a process: it starts, refuses what it must not load, and stops without losing a request."""

import asyncio
import gc
import json
import os
import signal
import ssl
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge

from aurora_runtime.contract import ExitCode
from aurora_runtime.inference import program
from aurora_runtime.inference.__main__ import quick_imports
from aurora_runtime.store.descriptor import Format
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import MODEL, ROW, a_body, a_regressor, publish, some_rows
from tests.unit.runtime.inference.processes import LIMIT_SECONDS, a_process, closed

CERTIFICATE = Path(__file__).parents[2] / "fakes" / "certificates" / "first.pem"


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
            except ConnectionResetError:
                continue  # it had been queued when the listener closed: the next one is refused
            await closed(writer)


async def test_sigterm_before_anything_listens_ends_it_quietly(store: ModelStore, tmp_path: Path) -> None:
    # Imports wait at a pipe in place of a slow disk, which the test reads from only after it sent the signal.
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "structlog.py").write_text(f"open({str(pipe)!r}, 'w').close()\nopen({str(pipe)!r}).read()\n")
    async with a_process(store.root, search_first=tmp_path) as server:
        await asyncio.to_thread(pipe.read_bytes)
        server.process.send_signal(signal.SIGTERM)
        assert await server.exit_code() == 0
        assert server.log == []


@pytest.mark.parametrize(
    ("stored", "estimator", "engine"),
    [("onnx", Ridge(), {"onnxruntime"}), ("trees", HistGradientBoostingRegressor(max_iter=2), set())],
)
async def test_a_model_is_served_without_the_libraries_that_trained_it(
    stored: Format, estimator: Any, engine: set[str], tmp_path: Path
) -> None:
    """Each would make the start longer and the process larger."""
    publish(ModelStore(root=tmp_path / "store"), estimator.fit(some_rows(20), np.arange(20.0)), stored=stored)
    modules = tmp_path / "modules"
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, pathlib, sys\n"
        f"atexit.register(lambda: pathlib.Path({str(modules)!r}).write_text(' '.join(sys.modules)))\n"
    )
    async with a_process(tmp_path / "store", search_first=tmp_path) as server:
        await server.logged("ready")
        server.process.send_signal(signal.SIGTERM)
        assert await server.exit_code() == 0
    packages = {module.partition(".")[0] for module in modules.read_text().split()}
    heavy = {"sklearn", "scipy", "joblib", "pandas", "onnx", "onnxruntime", "google", "matplotlib"}
    assert packages & heavy == engine


@pytest.mark.parametrize("given", [str(CERTIFICATE), None])
def test_imports_read_no_certificates_and_leave_the_process_as_it_was(
    given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if given is not None:
        monkeypatch.setenv("SSL_CERT_FILE", given)
        assert len(ssl.create_default_context().get_ca_certs()) == 1
    with quick_imports():
        assert ssl.create_default_context().get_ca_certs() == []
        assert not gc.isenabled()
    assert os.environ.get("SSL_CERT_FILE") == given
    assert gc.isenabled()


async def test_a_port_that_is_taken_is_named(store: ModelStore) -> None:
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    async with taken, a_process(store.root, "--port", str(port)) as server:
        assert await server.exit_code() == ExitCode.FAILED
    assert f"127.0.0.1:{port}" in json.dumps(server.log[-1])
    assert "the port is taken" in json.dumps(server.log[-1])


def test_the_termination_message_is_written_only_where_the_kubelet_made_its_file(tmp_path: Path) -> None:
    program.write_termination_message("why", tmp_path / "missing")
    assert not (tmp_path / "missing").exists()
    (tmp_path / "made").touch()
    program.write_termination_message("why" * 5000, tmp_path / "made")
    assert (tmp_path / "made").stat().st_size == 3584
