import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from structlog.contextvars import bound_contextvars

from aurora_controller.kube.config import Access, StaticConfig
from aurora_controller.kube.errors import (
    ApiError,
    Conflict,
    ConnectionFailed,
    NotFound,
    OutcomeUnknown,
    ServerError,
    TooManyRequests,
    Unauthorized,
    UnexpectedResponse,
    WriteRefused,
)
from aurora_controller.kube.meta import Kind, Manifest
from aurora_controller.kube.rest import Response, RestClient
from tests.unit.fakes.api_faults import Abort, Answer, LoseAnswer, Stream
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.clock import FakeClock, QuickClock, until
from tests.unit.fakes.metrics import series

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
COLLECTION = CONFIG_MAP.path("team")
ONE = CONFIG_MAP.path("team", "one")
MANIFEST: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "team"}}
BODY = b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"one","namespace":"team"}}'


@dataclass
class World:
    server: FakeAPIServer
    rest: RestClient
    clock: QuickClock

    async def get(self) -> Response:
        return await self.rest.request("GET", ONE)

    async def create(self) -> Response:
        return await self.rest.request("POST", COLLECTION, body=BODY, content_type="application/json")


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = QuickClock()
    async with FakeAPIServer(CONFIG_MAP, clock=clock) as server:
        config = StaticConfig(server.url)
        async with RestClient(config, clock=clock, jitter=lambda: 0.0, user_agent="tests/1") as rest:
            yield World(server, rest, clock)


def an_answer(code: int, *, retry_after: str = "", reason: str = "") -> Answer:
    status = {"kind": "Status", "apiVersion": "v1", "code": code, "reason": reason, "message": "no"}
    return Answer(code=code, body=status, headers={"Retry-After": retry_after} if retry_after else {})


async def test_a_request_says_who_sends_it_and_asks_for_plain_objects(world: World) -> None:
    world.server.put(CONFIG_MAP, MANIFEST)
    assert (await world.get()).json()["metadata"]["name"] == "one"
    headers = world.server.received[0].headers
    assert (headers["User-Agent"], headers["Accept"], headers["Accept-Encoding"]) == (
        "tests/1",
        "application/json",
        "identity",
    )
    assert "Authorization" not in headers
    assert "X-Reconcile-ID" not in headers


async def test_a_request_within_a_reconcile_names_it(world: World) -> None:
    with bound_contextvars(reconcile_id="4d1c"):
        await world.create()
    assert world.server.received[0].headers["X-Reconcile-ID"] == "4d1c"


async def test_a_refusal_is_raised_as_what_it_is(world: World) -> None:
    with pytest.raises(NotFound):
        await world.get()


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_any_request_is_retried_when_the_server_says_when(world: World, code: int) -> None:
    world.server.fail(an_answer(code, retry_after="2"), times=2)
    assert (await world.create()).code == 201
    assert world.clock.slept == [2, 2]


@pytest.mark.parametrize("code", [429, 500, 503])
async def test_without_a_retry_after_it_is_not_retried(world: World, code: int) -> None:
    world.server.fail(an_answer(code))
    with pytest.raises((TooManyRequests, ServerError)):
        await world.create()
    assert world.server.count("create") == 1


async def test_a_conflict_is_not_retried_whatever_the_header_says(world: World) -> None:
    world.server.fail(an_answer(409, retry_after="1"))
    with pytest.raises(Conflict):
        await world.create()
    assert world.clock.slept == []


async def test_retries_end_after_ten(world: World) -> None:
    world.server.fail(an_answer(429, retry_after="1"), times=None)
    with pytest.raises(TooManyRequests) as raised:
        await world.get()
    assert raised.value.retry_after_seconds == 1
    assert world.server.count("get") == 11


async def test_a_long_pause_is_left_to_the_caller(world: World) -> None:
    world.server.fail(an_answer(429, retry_after="60"))
    with pytest.raises(TooManyRequests) as raised:
        await world.get()
    assert raised.value.retry_after_seconds == 60
    assert world.clock.slept == []


async def test_a_date_in_place_of_seconds_is_no_retry_after(world: World) -> None:
    world.server.fail(an_answer(503, retry_after="Mon, 23 Nov 2026 10:00:00 GMT"))
    with pytest.raises(ServerError):
        await world.get()
    assert world.clock.slept == []


async def test_pauses_are_jittered() -> None:
    clock = QuickClock()
    async with (
        FakeAPIServer(CONFIG_MAP) as server,
        RestClient(StaticConfig(server.url), clock=clock, jitter=lambda: 0.5) as rest,
    ):
        server.fail(an_answer(429, retry_after="10"))
        await rest.request("GET", COLLECTION)
    assert clock.slept == [11]


async def test_a_read_whose_connection_breaks_is_sent_again(world: World) -> None:
    world.server.put(CONFIG_MAP, MANIFEST)
    world.server.fail(Abort(), verb="get")
    assert (await world.get()).code == 200
    assert world.clock.slept == [1]


async def test_a_read_whose_body_breaks_is_sent_again(world: World) -> None:
    world.server.put(CONFIG_MAP, MANIFEST)
    world.server.fail(Stream(chunks=[b'{"meta'], ending="abort"), verb="get")
    assert (await world.get()).json()["metadata"]["name"] == "one"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("break_", [Abort(), LoseAnswer()], ids=["before", "after"])
async def test_a_write_whose_connection_breaks_is_sent_once(
    world: World, method: str, break_: Abort | LoseAnswer
) -> None:
    world.server.put(CONFIG_MAP, {**MANIFEST, "metadata": {"name": "other", "namespace": "team"}})
    world.server.fail(break_)
    path = COLLECTION if method == "POST" else CONFIG_MAP.path("team", "other")
    with pytest.raises(OutcomeUnknown):
        await world.rest.request(method, path, body=BODY, content_type="application/merge-patch+json")
    assert len(world.server.received) == 1


async def test_a_write_may_have_been_performed_when_its_answer_is_lost(world: World) -> None:
    world.server.fail(LoseAnswer(), verb="create")
    with pytest.raises(OutcomeUnknown):
        await world.create()
    assert (await world.get()).code == 200


async def test_a_write_to_nobody_has_certainly_not_been_performed() -> None:
    async with RestClient(StaticConfig("http://127.0.0.1:1"), clock=QuickClock()) as rest:
        with pytest.raises(ConnectionFailed):
            await rest.request("POST", COLLECTION, body=BODY)


async def test_a_silent_server_is_given_up_at_the_deadline() -> None:
    clock = FakeClock()
    async with FakeAPIServer(CONFIG_MAP) as server, RestClient(StaticConfig(server.url), clock=clock) as rest:
        server.fail(Stream(ending="silence"), times=None)
        for method, expected in {"GET": ConnectionFailed, "PATCH": OutcomeUnknown}.items():
            asked = asyncio.create_task(rest.request(method, ONE, timeout_seconds=7))
            await until(lambda: len(server.received) > 0)
            await clock.advance(6.9)
            assert not asked.done()
            await clock.advance(0.2)
            with pytest.raises(expected):
                await asked
            server.received.clear()


async def test_a_proxys_page_is_not_taken_for_an_answer_of_the_server(world: World) -> None:
    world.server.fail(Answer(code=502, body=b"<html>Bad Gateway</html>", content_type="text/html"))
    with pytest.raises(UnexpectedResponse) as raised:
        await world.get()
    assert raised.value.code == 502


async def test_a_good_code_with_a_page_is_unexpected_too(world: World) -> None:
    world.server.fail(Answer(code=200, body=b"<html>Log in</html>", content_type="text/html"))
    with pytest.raises(UnexpectedResponse):
        (await world.get()).json()


async def test_a_filter_in_front_of_the_server_answers_in_plain_text(world: World) -> None:
    throttled = Answer(code=429, body=b"too many requests", headers={"Retry-After": "1"}, content_type="text/plain")
    world.server.fail(throttled)
    await world.create()
    world.server.fail(Answer(code=404, body=b"404 page not found", content_type="text/plain"))
    with pytest.raises(NotFound, match="page not found"):
        await world.get()


async def test_a_redirect_is_not_followed(world: World) -> None:
    world.server.fail(Answer(code=307, headers={"Location": "http://elsewhere.invalid/"}))
    with pytest.raises(UnexpectedResponse):
        await world.create()


async def test_a_closed_gate_lets_reads_pass_and_no_write() -> None:
    async with (
        FakeAPIServer(CONFIG_MAP) as server,
        RestClient(StaticConfig(server.url), may_write=lambda: False) as rest,
    ):
        await rest.request("GET", COLLECTION)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            with pytest.raises(WriteRefused):
                await rest.request(method, ONE, body=BODY)
        assert [one.method for one in server.received] == ["GET"]


async def test_the_gate_is_asked_again_before_each_retry() -> None:
    leading = iter([True, False])
    async with (
        FakeAPIServer(CONFIG_MAP) as server,
        RestClient(StaticConfig(server.url), clock=QuickClock(), may_write=lambda: next(leading)) as rest,
    ):
        server.fail(an_answer(429, retry_after="1"), times=None)
        with pytest.raises(WriteRefused):
            await rest.request("POST", COLLECTION, body=BODY)
        assert server.count("create") == 1


@dataclass
class Keyring:
    """A configuration that hands out the next token when it is told to renew."""

    server: str
    tokens: list[str]
    proxy: str | None = None
    tls_server_name: str | None = None
    renewals: int = field(default=0, init=False)

    async def access(self, *, renew: bool = False) -> Access:
        if renew:
            self.renewals += 1
            del self.tokens[: len(self.tokens) > 1]
        return Access(f"Bearer {self.tokens[0]}")


@asynccontextmanager
async def guarded(*tokens: str) -> AsyncIterator[tuple[FakeAPIServer, RestClient, Keyring]]:
    """A server that refuses once."""
    async with FakeAPIServer(CONFIG_MAP) as server:
        keyring = Keyring(server.url, list(tokens))
        async with RestClient(keyring) as rest:
            server.fail(an_answer(401, reason="Unauthorized"))
            yield server, rest, keyring


async def test_a_refused_token_is_renewed_and_tried_once_more() -> None:
    async with guarded("old", "new") as (server, rest, _):
        await rest.request("GET", COLLECTION)
        assert [one.headers["Authorization"] for one in server.received] == ["Bearer old", "Bearer new"]


async def test_a_token_that_did_not_change_is_not_tried_again() -> None:
    async with guarded("same") as (server, rest, keyring):
        with pytest.raises(Unauthorized):
            await rest.request("GET", COLLECTION)
        assert (len(server.received), keyring.renewals) == (1, 1)


async def test_requests_are_counted_by_code_and_method(world: World) -> None:
    host = world.server.url.removeprefix("http://")

    def count(code: str, method: str) -> float:
        return sum(series("rest_client_requests_total", code=code, method=method, host=host))

    with pytest.raises(NotFound):
        await world.get()
    await world.create()
    world.server.fail(Abort())
    with pytest.raises(ApiError):
        await world.create()
    assert (count("404", "GET"), count("201", "POST"), count("<error>", "POST")) == (1, 1, 1)


async def test_watches_do_not_take_the_connections_of_writes() -> None:
    """Each purpose has a pool of its own: one that is full holds up nobody else."""
    async with (
        FakeAPIServer(CONFIG_MAP) as server,
        RestClient(StaticConfig(server.url), max_connections=0) as streams,
        RestClient(StaticConfig(server.url), max_connections=1) as writes,
        asyncio.TaskGroup() as group,
    ):

        async def watch_on() -> None:
            async with streams.stream(COLLECTION, params={"watch": "true"}, timeout_seconds=5) as response:
                await response.content.readany()

        for _ in range(120):
            group.create_task(watch_on())
        await until(lambda: server.open_watches == 120)
        assert (await writes.request("POST", COLLECTION, body=BODY)).code == 201
        server.end_watches()
