import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import orjson
import pytest

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.errors import (
    ApiError,
    ConnectionFailed,
    Gone,
    ServerError,
    TooManyRequests,
    UnexpectedResponse,
)
from aurora_controller.kube.meta import Kind
from aurora_controller.kube.rest import RestClient
from aurora_controller.kube.watch import (
    LineBuffer,
    WatchBroken,
    WatchEvent,
    WatchGarbled,
    WatchSilent,
    WatchUnreadable,
    watch,
)
from tests.unit.fakes.api_faults import Abort, Answer, Stream
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.clock import FakeClock, until

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")


def a_line(name: str = "one", *, type: str = "ADDED", size: int = 0) -> bytes:  # noqa: A002
    obj = {"metadata": {"name": name, "resourceVersion": "5"}, "data": {"x": "x" * size}}
    return orjson.dumps({"type": type, "object": obj}) + b"\n"


def an_error(code: int) -> bytes:
    return orjson.dumps({"type": "ERROR", "object": {"kind": "Status", "code": code, "message": "no"}}) + b"\n"


@pytest.fixture
async def server() -> AsyncIterator[FakeAPIServer]:
    async with FakeAPIServer(CONFIG_MAP) as running:
        yield running


class Watching:
    """What a watch gave before it ended, and how it ended."""

    def __init__(self) -> None:
        self.events: list[WatchEvent] = []
        self.error: ApiError | None = None

    @property
    def names(self) -> Sequence[str]:
        return [event.object["metadata"]["name"] for event in self.events]


async def follow(
    server: FakeAPIServer, *, watching: Watching | None = None, clock: Clock | None = None, patience: float = 75.0
) -> Watching:
    watching = watching or Watching()
    async with RestClient(StaticConfig(server.url)) as rest:
        batches: AsyncGenerator[list[WatchEvent]] = watch(
            rest,
            CONFIG_MAP.path("team"),
            params={"resourceVersion": "1000", "allowWatchBookmarks": "true"},
            patience=lambda: patience,
            clock=clock or FakeClock(),
        )
        async with aclosing(batches):
            try:
                async for batch in batches:
                    watching.events += batch
            except ApiError as error:
                watching.error = error
    return watching


async def test_events_come_in_order_until_the_server_ends_the_stream(server: FakeAPIServer) -> None:
    server.fail(Stream(chunks=[a_line("a") + a_line("b"), a_line("c", type="DELETED")]))
    watching = await follow(server)
    assert [(event.type, event.object["metadata"]["name"]) for event in watching.events] == [
        ("ADDED", "a"),
        ("ADDED", "b"),
        ("DELETED", "c"),
    ]
    assert watching.error is None
    assert server.received[0].query["watch"] == "true"


async def test_lines_may_be_cut_anywhere(server: FakeAPIServer) -> None:
    whole = a_line("a") + a_line("b") + a_line("c")
    server.fail(Stream(chunks=[whole[start : start + 7] for start in range(0, len(whole), 7)]))
    assert (await follow(server)).names == ["a", "b", "c"]


async def test_a_line_of_five_megabytes_is_read(server: FakeAPIServer) -> None:
    server.fail(Stream(chunks=[a_line("big", size=5 * 1024 * 1024), a_line("next")]))
    assert (await follow(server)).names == ["big", "next"]


@pytest.mark.parametrize(("code", "expected"), [(410, Gone), (429, TooManyRequests), (500, ServerError)])
async def test_an_error_event_ends_the_watch_after_the_events_before_it(
    server: FakeAPIServer, code: int, expected: type[ApiError]
) -> None:
    server.fail(Stream(chunks=[a_line("a") + an_error(code) + a_line("never")], ending="silence"))
    watching = await follow(server)
    assert watching.names == ["a"]
    assert type(watching.error) is expected


@pytest.mark.parametrize(("code", "expected"), [(410, Gone), (429, TooManyRequests), (500, ServerError)])
async def test_a_watch_that_is_refused_says_why(server: FakeAPIServer, code: int, expected: type[ApiError]) -> None:
    server.fail(Answer(code=code, body={"kind": "Status", "code": code, "message": "no"}))
    assert type((await follow(server)).error) is expected


async def test_a_refused_watch_is_not_retried_here(server: FakeAPIServer) -> None:
    server.fail(Answer(code=429, headers={"Retry-After": "1"}, body={"kind": "Status", "code": 429}), times=None)
    await follow(server)
    assert server.count("watch") == 1


async def test_a_proxys_page_is_no_stream_of_events(server: FakeAPIServer) -> None:
    server.fail(Answer(code=502, body=b"<html>", content_type="text/html"))
    assert isinstance((await follow(server)).error, UnexpectedResponse)
    server.fail(Stream(chunks=[b"<html>\n"], content_type="text/html"))
    watching = await follow(server)
    assert isinstance(watching.error, UnexpectedResponse)
    assert watching.events == []


async def test_a_connection_that_breaks_keeps_what_came_before(server: FakeAPIServer) -> None:
    server.fail(Stream(chunks=[a_line("a"), a_line("b")[:20]], ending="abort"))
    watching = await follow(server)
    assert watching.names == ["a"]
    assert isinstance(watching.error, WatchBroken)


async def test_a_stream_that_ends_within_a_line_is_broken(server: FakeAPIServer) -> None:
    server.fail(Stream(chunks=[a_line("a"), a_line("b")[:20]]))
    watching = await follow(server)
    assert watching.names == ["a"]
    assert isinstance(watching.error, WatchBroken)


async def test_a_line_that_is_not_json_breaks_the_watch(server: FakeAPIServer) -> None:
    server.fail(Stream(chunks=[a_line("a") + b'{"type": "ADDED", "obj\n' + a_line("b")], ending="silence"))
    watching = await follow(server)
    assert watching.names == ["a"]
    assert isinstance(watching.error, WatchGarbled)


async def test_a_server_that_is_gone_before_it_answers_has_failed(server: FakeAPIServer) -> None:
    server.fail(Abort())
    assert isinstance((await follow(server)).error, ConnectionFailed)


async def test_silence_is_borne_as_long_as_patience_says_and_each_byte_renews_it(server: FakeAPIServer) -> None:
    """A peer that is gone without a goodbye looks like this: an open connection on which nothing comes."""
    clock, watching = FakeClock(), Watching()
    following = asyncio.create_task(follow(server, watching=watching, clock=clock))
    await until(lambda: server.open_watches == 1)
    await clock.advance(74)
    server.send_bookmarks()
    await until(lambda: len(watching.events) == 1)
    await clock.advance(74)
    assert not following.done()
    await clock.advance(2)
    await following
    assert isinstance(watching.error, WatchSilent)


async def test_lines_that_are_no_events_are_passed_on_for_others_to_judge(server: FakeAPIServer) -> None:
    server.fail(Stream(chunks=[b'[1]\n{}\n{"type": 7, "object": null}\n\n']))
    watching = await follow(server)
    assert [(event.type, event.object) for event in watching.events] == [("", [1]), ("None", None), ("7", None)]


async def test_a_cancelled_watch_closes_its_connection(server: FakeAPIServer) -> None:
    following = asyncio.create_task(follow(server))
    await until(lambda: server.open_watches == 1)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    server.objects.next_version()
    server.send_bookmarks()
    await until(lambda: server.open_watches == 0)


async def test_a_watch_whose_client_is_closed_is_broken_and_cannot_be_opened_again(server: FakeAPIServer) -> None:
    """At a shutdown connections may close before tasks are cancelled: no reason to die of it."""
    rest = RestClient(StaticConfig(server.url))
    batches = watch(rest, CONFIG_MAP.path("team"), params={}, patience=lambda: 75.0, clock=FakeClock())
    server.fail(Stream(chunks=[a_line()], ending="silence"))
    async with aclosing(batches):
        await anext(batches)
        await rest.close()
        with pytest.raises(WatchBroken):
            await anext(batches)
    with pytest.raises(ConnectionFailed, match="closed"):
        await rest.request("GET", CONFIG_MAP.path("team"))


def test_a_line_without_end_is_given_up() -> None:
    lines = LineBuffer(max_line_bytes=100)
    assert lines.feed(b"x" * 90) == []
    with pytest.raises(WatchUnreadable):
        lines.feed(b"x" * 20)


def test_the_limit_is_on_lines_and_not_on_what_comes_at_once() -> None:
    lines = LineBuffer(max_line_bytes=100)
    assert len(lines.feed((b"x" * 60 + b"\n") * 50)) == 50


async def test_events_that_arrive_together_are_decoded_in_portions(server: FakeAPIServer) -> None:
    """A first state of thousands arrives faster than it is read, on a dozen watches at once."""
    server.fail(Stream(chunks=[b"".join(a_line(f"o{number}") for number in range(40))]))
    async with RestClient(StaticConfig(server.url)) as rest:
        path, clock = CONFIG_MAP.path("team"), FakeClock()
        batches = watch(rest, path, params={"resourceVersion": "1"}, patience=lambda: 75.0, clock=clock)
        async with aclosing(batches):
            sizes = [len(batch) async for batch in batches]
    assert (sum(sizes), max(sizes)) == (40, 16)
