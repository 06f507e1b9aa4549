"""Pods are asked all at once, within bounds, and one that does not answer is reported."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aurora_controller.analysis.scrape import HttpCounterReader, PodAddress
from aurora_runtime.contract import COUNTERS_PATH, ServingCounters

Handler = Callable[[web.Request], Awaitable[web.Response]]


def counters(revision: str = "1-a", requests: int = 5) -> str:
    return ServingCounters(
        model="m", version=1, revision=revision, start_time=1.0, requests=requests, errors=0, in_flight=2
    ).to_json()


async def answering(_: web.Request) -> web.Response:
    return web.Response(text=counters())


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def scrape(
    session: aiohttp.ClientSession, handler: Handler, *, pods: int = 1, **limits: float
) -> tuple[int, int]:
    """How many answered, and how many did not."""
    app = web.Application()
    app.router.add_get(COUNTERS_PATH, handler)
    async with TestServer(app) as server:
        reader = HttpCounterReader(session=session, port=server.port or 0, **limits)
        found = await reader.read([PodAddress(uid=f"p{n}", ip="127.0.0.1", revision="1-a") for n in range(pods)])
        return len(found.readings), len(found.silent)


async def test_what_a_pod_says_is_read(session: aiohttp.ClientSession) -> None:
    app = web.Application()
    app.router.add_get(COUNTERS_PATH, answering)
    async with TestServer(app) as server:
        reader = HttpCounterReader(session=session, port=server.port or 0)
        found = await reader.read([PodAddress(uid="p", ip="127.0.0.1", revision="1-a")])
    (reading,) = found.readings
    assert (reading.pod, reading.revision, reading.requests, reading.in_flight) == ("p", "1-a", 5, 2)


async def test_nobody_to_ask_is_no_failure(session: aiohttp.ClientSession) -> None:
    found = await HttpCounterReader(session=session).read([])
    assert (list(found.readings), list(found.silent)) == ([], [])


async def test_a_refused_connection_is_reported(session: aiohttp.ClientSession) -> None:
    reader = HttpCounterReader(session=session, port=1)
    found = await reader.read([PodAddress(uid="p", ip="127.0.0.1", revision="1-a")])
    assert (list(found.readings), list(found.silent)) == ([], ["p"])


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(lambda: web.Response(status=500), id="an error"),
        pytest.param(lambda: web.Response(text="<html>"), id="no JSON"),
        pytest.param(lambda: web.Response(text="x" * 100_000), id="far too much"),
        pytest.param(lambda: web.Response(status=302, headers={"Location": "/elsewhere"}), id="a redirect"),
        pytest.param(lambda: web.Response(text=counters(revision="9-z")), id="another pod at this address"),
    ],
)
async def test_an_answer_that_is_none_is_reported(
    session: aiohttp.ClientSession, response: Callable[[], web.Response]
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return response()

    assert await scrape(session, handler) == (0, 1)


async def test_a_pod_that_does_not_answer_in_time_holds_nobody_up(session: aiohttp.ClientSession) -> None:
    asked: list[int] = []

    async def handler(_: web.Request) -> web.Response:
        asked.append(1)
        if len(asked) == 1:
            await asyncio.Event().wait()
        return web.Response(text=counters())

    assert await scrape(session, handler, pods=3, timeout_seconds=0.05) == (2, 1)


async def test_a_scrape_ends_in_time_however_many_pods_hang(session: aiohttp.ClientSession) -> None:
    async def handler(_: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    assert await scrape(session, handler, pods=40, timeout_seconds=60.0, total_seconds=0.05) == (0, 40)


async def test_at_most_32_pods_are_asked_at_a_time(session: aiohttp.ClientSession) -> None:
    present, most = 0, 0

    async def handler(_: web.Request) -> web.Response:
        nonlocal present, most
        present += 1
        most = max(most, present)
        await asyncio.sleep(0)
        present -= 1
        return web.Response(text=counters())

    assert await scrape(session, handler, pods=80) == (80, 0)
    assert most <= 32


async def test_cancellation_is_not_swallowed(session: aiohttp.ClientSession) -> None:
    is_asked = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        is_asked.set()
        await asyncio.Event().wait()
        return web.Response()

    task = asyncio.create_task(scrape(session, handler))
    await is_asked.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
