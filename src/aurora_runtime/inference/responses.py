"""What leaves the server: one write of head and body.

aiohttp's own response builds, checks and renders a map of headers each time, which costs more than the prediction of
a row. Here the part of the head that never changes is rendered once.
"""

import time
from collections.abc import Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion10, web

JSON: Final = "application/json"
HEADERS: Final[Mapping[str, str]] = {"Content-Type": JSON, "Server": "aurora"}
"""Of every response, whatever else it carries."""
_PHRASES: Final = {status.value: status.phrase.encode() for status in HTTPStatus}


class Response:
    """A status, a body, and the lines of a head; aiohttp's protocol calls ``prepare`` and ``write_eof``."""

    __slots__ = ("_body", "_lines", "force_close", "keep_alive", "status")

    def __init__(self, body: bytes, *, lines: bytes, status: int = 200) -> None:
        """``lines`` are header lines, each with its end of line."""
        self.status = status
        self.force_close = False
        """Set to end the connection after this response."""
        self.keep_alive = True
        """Whether the connection stays open, once the response is sent."""
        self._body = body
        self._lines = lines

    def add(self, lines: bytes) -> None:
        """More header lines."""
        self._lines += lines

    async def prepare(self, request: web.BaseRequest) -> None:
        """Sends it. Raises ConnectionError when the client is gone."""
        await request.writer.write(self.rendered(request))

    def rendered(self, request: web.BaseRequest) -> bytes:
        """What is sent in answer to ``request``; from then on ``keep_alive`` is known."""
        self.keep_alive = request.keep_alive and not self.force_close
        if not self.keep_alive:
            connection = b"Connection: close\r\n"
        elif request.version == HttpVersion10:
            connection = b"Connection: keep-alive\r\n"
        else:
            connection = b""
        head = b"HTTP/1.1 %d %b\r\n%bDate: %b\r\n%bContent-Length: %d\r\n\r\n" % (
            self.status,
            _PHRASES.get(self.status, b"Client Closed Request"),
            self._lines,
            _date(),
            connection,
            len(self._body),
        )
        return head if request.method == "HEAD" else head + self._body

    async def write_eof(self) -> None:
        """Everything is sent by ``prepare``."""


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Rendered header lines. What would end a line is left out: nobody can add headers through a value."""
    return "".join(
        f"{name}: {value.translate({10: None, 13: None, 0: None})}\r\n" for name, value in headers.items()
    ).encode(errors="replace")


_dated: tuple[int, bytes] = (0, b"")


def _date() -> bytes:
    """The time as HTTP writes it, made once a second."""
    global _dated  # noqa: PLW0603  a cache of one value
    now = int(time.time())
    if _dated[0] != now:
        _dated = now, formatdate(now, usegmt=True).encode()
    return _dated[1]
