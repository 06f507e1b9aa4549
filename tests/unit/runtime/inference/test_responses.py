"""What is on the wire: heads as HTTP wants them, for every kind of client."""

import asyncio

import pytest

from aurora_runtime.inference.responses import header_lines
from tests.unit.runtime.inference.models import HOST, Serving
from tests.unit.runtime.inference.processes import closed


async def answer(serving: Serving, request: bytes) -> tuple[list[bytes], bytes]:
    """Lines of the head, and the rest, of the answer on a connection that is then closed by the server."""
    reader, writer = await asyncio.open_connection(HOST, serving.port)
    writer.write(request)
    async with asyncio.timeout(30):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    await closed(writer)
    return head.split(b"\r\n"), body


async def test_a_client_that_closes_gets_a_whole_answer_and_is_told_so(serving: Serving) -> None:
    head, body = await answer(serving, b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert head[0] == b"HTTP/1.1 200 OK"
    assert b"Connection: close" in head
    assert b"Content-Length: 13" in head
    assert b"Content-Type: application/json" in head
    assert [line for line in head if line.startswith(b"Date: ")]
    assert body == b'{"live":true}'


async def test_http_1_0_is_closed_unless_it_asks_for_more(serving: Serving) -> None:
    head, _ = await answer(serving, b"GET /v2/health/live HTTP/1.0\r\n\r\n")
    assert b"Connection: close" in head
    both, _ = await answer(
        serving,
        b"GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /v2/health/live HTTP/1.0\r\n\r\n",
    )
    assert b"Connection: keep-alive" in both


async def test_head_is_get_without_a_body(serving: Serving) -> None:
    head, body = await answer(serving, b"HEAD /v2/health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert head[0] == b"HTTP/1.1 200 OK"
    assert b"Content-Length: 13" in head
    assert body == b""


async def test_requests_sent_at_once_are_answered_in_their_order(serving: Serving) -> None:
    paths = [b"/v2/health/live", b"/nowhere", b"/v2/health/ready"]
    sent = b"".join(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path for path in paths[:-1])
    sent += b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % paths[-1]
    first, rest = await answer(serving, sent)
    assert first[0] == b"HTTP/1.1 200 OK"
    assert rest.index(b'{"live":true}') < rest.index(b"404 Not Found") < rest.index(b'{"ready":true}')


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\0b"])
def test_a_value_cannot_add_a_header(value: str) -> None:
    assert header_lines({"X-Name": value}).count(b"\r\n") == 1
    assert b"\0" not in header_lines({"X-Name": value})
