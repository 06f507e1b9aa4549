"""Readiness, load beyond the queue, and the drain, inside one process."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from numpy.typing import NDArray
from structlog.testing import capture_logs

from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.routes import State
from tests.unit.runtime.inference.conftest import QUEUE_LIMIT
from tests.unit.runtime.inference.models import HOST, KEY, MODEL, Serving, a_body, until


class HeldEngine:
    """Answers 1.0 for each row, but not before it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        self.entered.set()
        assert self.released.wait(10)
        return {"prediction": np.ones(len(features))}


class BrokenEngine:
    """Cannot."""

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        raise RuntimeError("secret path /var/lib")


class OverflowingEngine:
    """Has no number to answer with for the second row."""

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        return {"prediction": np.array([1.0, np.inf])}


@contextmanager
def held(serving: Serving, model: LoadedModel) -> Iterator[HeldEngine]:
    engine = HeldEngine()
    serving.routes.serve(replace(model, engine=engine))
    try:
        yield engine
    finally:
        engine.released.set()


async def test_while_loading_it_is_alive_and_not_ready(starting: Serving) -> None:
    assert (await starting.request("GET", "/v2/health/live")).status == 200
    for reply in (
        await starting.request("GET", "/v2/health/ready"),
        await starting.request("GET", f"/v2/models/{MODEL}/ready"),
        await starting.request("GET", f"/v2/models/{MODEL}"),
        await starting.infer(),
    ):
        assert reply.status == 503
        assert reply.headers["Retry-After"] == "1"
        assert "loaded" in reply.error


async def test_once_loaded_it_is_ready(serving: Serving) -> None:
    assert (await serving.request("GET", "/v2/health/ready")).body == {"ready": True}
    for path in (f"/v2/models/{MODEL}/ready", f"/v2/models/{MODEL}/versions/1/ready"):
        assert (await serving.request("GET", path)).body == {"name": MODEL, "ready": True}


async def test_while_draining_it_answers_but_is_not_ready_and_closes_connections(serving: Serving) -> None:
    serving.routes.state = State.DRAINING
    reply = await serving.infer()
    assert (reply.status, reply.headers["Connection"]) == (200, "close")
    for path in ("/v2/health/ready", f"/v2/models/{MODEL}/ready"):
        unready = await serving.request("GET", path)
        assert unready.status == 503
        assert "stopping" in unready.error
    assert (await serving.request("GET", "/v2/health/live")).status == 200


async def test_health_answers_while_a_prediction_runs(serving: Serving, model: LoadedModel) -> None:
    with held(serving, model) as engine:
        running = asyncio.create_task(serving.infer())
        await asyncio.to_thread(engine.entered.wait)
        assert (await serving.request("GET", "/v2/health/ready")).status == 200
        assert serving.metrics.in_flight == 1
        engine.released.set()
        assert (await running).body["outputs"][0]["data"] == [1.0]
    assert serving.metrics.in_flight == 0


async def test_beyond_the_queue_it_is_503_at_once_and_the_others_are_answered(
    serving: Serving, model: LoadedModel
) -> None:
    with held(serving, model) as engine:
        running = asyncio.create_task(serving.infer())
        await asyncio.to_thread(engine.entered.wait)
        waiting = [asyncio.create_task(serving.infer()) for _ in range(QUEUE_LIMIT)]
        await until(lambda: serving.metrics.queue_depth() == QUEUE_LIMIT)
        refused = await serving.infer()
        engine.released.set()
        answered = await asyncio.gather(running, *waiting)
    assert refused.status == 503
    assert refused.headers["Retry-After"] == "1"
    assert str(QUEUE_LIMIT) in refused.error
    assert [reply.status for reply in answered] == [200] * (1 + QUEUE_LIMIT)


async def test_one_of_several_keys_cannot_fill_the_queue(guarded: Serving, model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "greedy").write_text("another")
    assert guarded.routes.keys is not None
    guarded.routes.keys.reload()
    greedy, other = {"X-API-Key": "another"}, {"X-API-Key": KEY}
    with held(guarded, model) as engine:
        running = asyncio.create_task(guarded.infer(headers=other))
        await asyncio.to_thread(engine.entered.wait)
        waiting = [asyncio.create_task(guarded.infer(headers=greedy)) for _ in range(QUEUE_LIMIT - 1)]
        await until(lambda: guarded.metrics.queue_depth() == QUEUE_LIMIT - 1)
        refused = await guarded.infer(headers=greedy)
        waiting.append(asyncio.create_task(guarded.infer(headers=other)))
        await until(lambda: guarded.metrics.queue_depth() == QUEUE_LIMIT)
        engine.released.set()
        answered = await asyncio.gather(running, *waiting)
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert "'greedy'" in refused.error
    assert [reply.status for reply in answered] == [200] * (1 + QUEUE_LIMIT)


async def test_a_prediction_that_takes_too_long_is_504(serving: Serving, model: LoadedModel) -> None:
    serving.routes.limits = replace(serving.routes.limits, seconds=0.01)
    with held(serving, model):
        reply = await serving.infer()
    assert reply.status == 504
    assert "0.01 s" in reply.error


async def test_mixed_requests_at_once_get_each_their_own_answer(serving: Serving) -> None:
    async def ask(number: int) -> tuple[int, Any]:
        body = b"{" if number % 3 == 0 else a_body(id=str(number))
        reply = await serving.infer(body)
        return reply.status, reply.body.get("id")

    at_once = range(QUEUE_LIMIT)
    replies = [
        await asyncio.gather(*(ask(first + number) for number in at_once)) for first in range(0, 60, QUEUE_LIMIT)
    ]
    assert list(chain.from_iterable(replies)) == [
        (400, None) if number % 3 == 0 else (200, str(number)) for number in range(60)
    ]


async def test_an_unforeseen_error_is_500_without_internals_and_logged_once(
    serving: Serving, model: LoadedModel
) -> None:
    serving.routes.serve(replace(model, engine=BrokenEngine()))
    with capture_logs() as logs:
        reply = await serving.infer()
    assert reply.status == 500
    assert "secret" not in reply.error
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["a request failed"]
    assert logs[0]["request_id"] == reply.headers["X-Request-Id"]


async def test_a_row_without_a_finite_answer_is_refused_by_number(serving: Serving, model: LoadedModel) -> None:
    serving.routes.serve(replace(model, engine=OverflowingEngine()))
    reply = await serving.infer()
    assert reply.status == 400
    assert "row 1" in reply.error


@pytest.mark.parametrize("size", [0, 5])
async def test_a_client_that_leaves_before_its_body_is_complete_is_no_error_of_ours(
    serving: Serving, size: int
) -> None:
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection(HOST, serving.port)
        head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n"
        writer.write(head.encode() + b"{" * size)
        await writer.drain()
        await until(lambda: serving.metrics.in_flight == 1)
        writer.close()
        await writer.wait_closed()
        await until(lambda: serving.metrics.in_flight == 0)
    counters = serving.metrics.counters()
    assert counters is not None
    assert (counters.requests, counters.errors) == (1, 0)
    assert b'code="499"' in serving.metrics.render()
    assert [(line["log_level"], line["status"]) for line in logs] == [("info", 499)]


async def test_a_client_that_leaves_instead_of_sending_its_body_is_no_error_of_ours(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(request: web.BaseRequest) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    monkeypatch.setattr(serving.routes, "_ask_for_body", gone)
    with capture_logs() as logs:
        _, writer = await asyncio.open_connection(HOST, serving.port)
        writer.write(f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n".encode())
        await until(lambda: logs != [])
        writer.close()
        await writer.wait_closed()
    assert [(line["log_level"], line["status"]) for line in logs] == [("info", 499)]
