"""A connection: answers in our form whatever it is sent, and without a task what is whole when it comes.

aiohttp handles each request in a task, which it wakes by another: two turns of the event loop, some 50 µs. An idle
connection that receives one whole request begins its handler without, together with all others that receive one at the
same time, and answers when the handler is done. All else is done by aiohttp's tasks. See docs/adr/0008 and 0010.
"""

import asyncio
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.http_exceptions import LineTooLong

from aurora_runtime.inference.eager import Eager
from aurora_runtime.inference.errors import INTERNAL_ERROR, without_messages
from aurora_runtime.inference.protocol import error_body
from aurora_runtime.inference.responses import HEADERS, Response, header_lines
from aurora_runtime.inference.turn import Turn

log = structlog.get_logger(__name__)
LINE_BYTES: Final = 8190
MOST_HEADERS: Final = 128
_ERROR_LINES: Final = header_lines(HEADERS)
_TOO_LARGE: Final = f"request head: expected at most {MOST_HEADERS} headers, and at most {LINE_BYTES} bytes in a line"


class Connection(web.RequestHandler):
    """What cannot be parsed as HTTP never reaches the application, but is answered in the same form."""

    __slots__ = ()

    def handle_error(  # type: ignore[override]  # its protocol asks for no more than our response has
        self,
        request: web.BaseRequest,  # noqa: ARG002  of the overridden method
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> Response:
        if status == 500:
            log.error("a request failed", **without_messages(exc))
        first_line = str(message or exc).partition("\n")[0].rstrip(":")
        text = INTERNAL_ERROR if status == 500 else f"not HTTP: {first_line}"
        if isinstance(exc, LineTooLong) or first_line.startswith("Too many headers"):
            status, text = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE
        response = Response(error_body(text), lines=_ERROR_LINES, status=status)
        response.force_close = True
        return response

    def log_exception(self, *_: Any, **kwargs: Any) -> None:
        """What comes here are broken bodies and connections, after they were answered or lost: clients' doing."""
        log.debug("a connection failed", **without_messages(kwargs.get("exc_info")))


class EagerConnection(Connection):
    """Begins handlers, which must return our ``Response``, without a task.

    aiohttp has no hook there, so this leans on what it keeps for itself; its version is locked, and
    tests/unit/runtime/inference/test_connection.py fails when that is no longer so:

    - ``_waiter``, the future that the idle task awaits, is None or done while the task is at work. It is taken away
      from the first byte on until a handler here is done, which so looks the same from outside: what comes next is kept
      for later;
    - ``_messages`` are requests that are not answered yet, and the parser is told of each that leaves them;
    - ``_next_keepalive_close_time`` is when an idle connection is closed, by the timer ``_keepalive_handle``;
    - ``_close``: no further request is answered.
    """

    __slots__ = ("_begun", "_handle", "_make_request", "_turn", "_untaken")

    def __init__(self, manager: web.Server, *, turn: Turn, **options: Any) -> None:
        super().__init__(manager, **options)
        self._turn = turn
        self._handle: Any = manager.request_handler
        self._make_request: Any = manager.request_factory
        self._begun: Eager[Response] | None = None
        self._untaken = b""
        """What came, and waits for all else that is there to be read."""

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if self._untaken:
            self._untaken += data
        elif waiter is None or waiter.done():
            super().data_received(data)
        else:
            self._waiter, self._untaken = None, data
            self._turn.take(self._take, waiter)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Called after each body that is read. aiohttp's parses once more, whether or not reading was paused."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._begun is not None:
            self._begun.cancel()

    def _take(self, waiter: "asyncio.Future[None]") -> None:
        """What came while the connection was idle."""
        data, self._untaken = self._untaken, b""
        super().data_received(data)
        if not self._begins(waiter):
            self._hand_back(waiter)

    def _begins(self, waiter: "asyncio.Future[None]") -> bool:
        """Begins to answer the only message; False when that is for the task, or there is none."""
        if len(self._messages) != 1 or self._upgraded or self.writing_paused:
            return False
        message, payload = self._messages[0]
        if not isinstance(message, RawRequestMessage) or not payload.is_eof():
            return False
        request = self._make_request(message, payload, self, StreamWriter(self, self._loop), self._task_handler)
        self._begun = Eager(self._handle(request), partial(self._answer, waiter, request))
        self._begun.go_on()
        return True

    def _answer(self, waiter: "asyncio.Future[None]", request: web.BaseRequest, begun: Eager[Response]) -> None:
        """What ``begun`` returned for the first message, or 500."""
        self._begun = None
        parser, transport = self._parser, self.transport
        if parser is None or transport is None:
            return  # the client has left
        response = begun.result or self.handle_error(request, 500, begun.error)
        self._messages.popleft()
        parser.message_consumed()
        rendered = response.rendered(request)
        if not response.keep_alive:
            transport.write(rendered)
            self.force_close()
            return
        self._turn.write(transport, rendered)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:  # it went off while the handler was at work
            self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)
        self._hand_back(waiter)

    def _hand_back(self, waiter: "asyncio.Future[None]") -> None:
        """To the task, which sleeps on unless more messages have come."""
        self._waiter = waiter
        if self._messages:
            waiter.set_result(None)
        elif self._close:
            waiter.cancel()
