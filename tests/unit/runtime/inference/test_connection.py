"""Whole requests are answered without a task; all else goes through tasks, and no client can tell."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import orjson
import pytest
from aiohttp import web

from aurora_runtime.inference.app import inference_runner
from aurora_runtime.inference.connection import EagerConnection
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.responses import Response
from tests.unit.runtime.inference.models import MODEL, Serving, a_body, until
from tests.unit.runtime.inference.test_lifecycle import HeldEngine

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n\r\n"
IDLE_SECONDS = 75.0


class Transport(asyncio.Transport):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else default

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    @property
    def answers(self) -> int:
        return self.written.count(b"HTTP/1.1 ")


@asynccontextmanager
async def connected(serving: Serving, transport: Transport) -> AsyncIterator[EagerConnection]:
    """An idle connection of the server."""
    runner = inference_runner(serving.routes)
    await runner.setup()
    assert runner.server is not None
    connection = EagerConnection(
        runner.server,
        loop=asyncio.get_running_loop(),
        access_log=None,
        keepalive_timeout=IDLE_SECONDS,
        turn=serving.routes.turn,
    )
    connection.connection_made(transport)
    await idle(connection)
    yield connection
    if not transport.closed:
        transport.close()
    connection.connection_lost(None)
    await runner.cleanup()


@asynccontextmanager
async def predicting(
    serving: Serving, model: LoadedModel
) -> AsyncIterator[tuple[EagerConnection, Transport, HeldEngine]]:
    """A connection whose request is at the engine, which holds it."""
    engine, transport = HeldEngine(), Transport()
    serving.routes.serve(replace(model, engine=engine))
    async with connected(serving, transport) as connection:
        connection.data_received(a_request())
        yield connection, transport, engine


async def idle(connection: EagerConnection) -> None:
    await until(lambda: connection._waiter is not None)


def a_request(body: Any = None, *, headers: bytes = b"") -> bytes:
    sent = orjson.dumps(a_body() if body is None else body)
    head = f"POST /v2/models/{MODEL}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(sent)}\r\n".encode()
    return head + headers + b"\r\n" + sent


async def warm(serving: Serving) -> None:
    """From now on the prediction of a row is known to be a trifle."""
    await serving.infer()
    for _ in range(100):
        serving.routes._batcher.costs.record(1, 0.0)


async def test_a_whole_request_is_answered_before_the_loop_turns(serving: Serving) -> None:
    await warm(serving)
    transport = Transport()
    async with connected(serving, transport) as connection:
        for count in (1, 2):
            connection.data_received(a_request())
            assert transport.answers == count
            await asyncio.sleep(0)  # a turn of the loop brings one request
    assert transport.written.count(b"200 OK") == 2
    assert serving.metrics.in_flight == 0


async def test_what_comes_in_one_turn_is_predicted_together_and_answered_without_the_tasks(serving: Serving) -> None:
    await warm(serving)
    serving.routes.turn._came_before = 2
    transports = [Transport() for _ in range(4)]
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connected(serving, transport)) for transport in transports]
        asleep = [connection._waiter for connection in connections]
        for connection in connections:
            connection.data_received(a_request())
        assert [transport.answers for transport in transports] == [0] * 4
        await until(lambda: all(transport.answers == 1 for transport in transports))
        assert [connection._waiter for connection in connections] == asleep
    assert serving.metrics.batches._counts[2] == 1  # more than 2 and at most 4 together


async def test_an_error_is_answered_as_fast(serving: Serving) -> None:
    transport = Transport()
    async with connected(serving, transport) as connection:
        connection.data_received(a_request({"inputs": 1}))
        assert transport.written.startswith(b"HTTP/1.1 400 ")
        await asyncio.sleep(0)
        connection.data_received(LIVE)
        assert transport.answers == 2


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([LIVE + LIVE], id="two at once"),
        pytest.param([a_request()[:-5], a_request()[-5:] + LIVE], id="a body in two parts"),
        pytest.param([LIVE, LIVE[:9], LIVE[9:]], id="a head in two parts"),
    ],
)
async def test_whatever_comes_is_answered_once_and_in_order(serving: Serving, parts: list[bytes]) -> None:
    transport = Transport()
    async with connected(serving, transport) as connection:
        for part in parts:  # from the loop, as they come: there is no task then
            asyncio.get_running_loop().call_soon(connection.data_received, part)
        await until(lambda: transport.answers == 2)
        await idle(connection)
        connection.data_received(LIVE)
        await until(lambda: transport.answers == transport.written.count(b"HTTP/1.1 200 OK") == 3)
    assert transport.written.endswith(b'{"live":true}')


async def test_nothing_is_written_over_an_answer_that_is_not_flushed(serving: Serving) -> None:
    transport = Transport()
    async with connected(serving, transport) as connection:
        connection.pause_writing()
        connection.data_received(LIVE)
        assert transport.answers == 0
        connection.resume_writing()
        await until(lambda: transport.answers == 1)


async def test_a_connection_that_ends_with_its_answer_is_closed_after_it(serving: Serving) -> None:
    transport = Transport()
    async with connected(serving, transport) as connection:
        connection.data_received(LIVE.replace(b"Host", b"Connection: close\r\nHost"))
        assert transport.closed
    assert transport.answers == 1
    assert b"Connection: close" in transport.written


async def test_an_answer_begins_the_idle_time_anew(serving: Serving) -> None:
    transport = Transport()
    async with connected(serving, transport) as connection:
        connection._next_keepalive_close_time = 0.0
        connection.data_received(LIVE)
        connection._process_keepalive()
        assert not transport.closed
        connection._next_keepalive_close_time = 0.0
        connection._process_keepalive()
        assert transport.closed


async def test_a_connection_whose_prediction_takes_longer_than_it_may_idle_stays_open_and_idles_after_it(
    serving: Serving, model: LoadedModel
) -> None:
    async with predicting(serving, model) as (connection, transport, engine):
        connection._next_keepalive_close_time = 0.0
        connection._process_keepalive()
        assert not transport.closed
        engine.released.set()
        await until(lambda: transport.answers == 1)
        assert connection._keepalive_handle is not None


async def test_a_server_that_closes_answers_what_was_begun_and_nothing_more(
    serving: Serving, model: LoadedModel
) -> None:
    async with predicting(serving, model) as (connection, transport, engine):
        task = connection._task_handler
        assert task is not None
        connection.close()
        connection.data_received(LIVE)
        engine.released.set()
        await until(task.done)
    assert transport.answers == 1


async def test_a_body_that_was_not_paused_is_not_parsed_again(serving: Serving) -> None:
    await warm(serving)
    transport = Transport()
    async with connected(serving, transport) as connection:
        parser: Any = connection._parser
        counted = Mock(wraps=parser)
        connection._parser = counted
        connection.data_received(a_request())
        connection._parser = parser
    assert (transport.answers, counted.feed_data.call_count) == (1, 1)


async def test_a_prediction_that_waits_is_begun_once_and_answered_later(serving: Serving, model: LoadedModel) -> None:
    async with predicting(serving, model) as (connection, transport, engine):
        assert (transport.answers, serving.metrics.in_flight) == (0, 1)
        await asyncio.to_thread(engine.entered.wait)
        connection.data_received(LIVE)
        engine.released.set()
        await until(lambda: transport.answers == 2)
    assert transport.written.index(b'"model_name"') < transport.written.index(b'{"live":true}')
    assert serving.metrics._codes == {200: 1}


@pytest.mark.parametrize("turns", [0, 5])
async def test_a_client_that_leaves_while_its_prediction_waits_is_forgotten(
    serving: Serving, model: LoadedModel, turns: int
) -> None:
    async with predicting(serving, model) as (connection, transport, engine):
        for _ in range(turns):
            await asyncio.sleep(0)
        connection.connection_lost(None)
        await until(lambda: serving.metrics.in_flight == 0)
        engine.released.set()
    assert serving.metrics._codes == {499: 1}
    assert transport.answers == 0


async def test_a_handler_that_breaks_is_500_and_the_connection_ends(serving: Serving) -> None:
    async def breaks(_: web.BaseRequest) -> Response:
        raise RuntimeError("secret")

    transport = Transport()
    async with connected(serving, transport) as connection:
        connection._handle = breaks
        connection.data_received(LIVE)
        assert transport.closed
    assert transport.written.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in transport.written
