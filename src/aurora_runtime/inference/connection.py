"""A connection: answers in our form whatever it is sent, and at once what needs no waiting.

aiohttp handles each request in a task, which it wakes by another: two turns of the event loop, some 50 µs. A
connection that is idle, and receives one whole request while requests come one by one, begins its handler right where
the bytes come in. When the handler is done with that, so is the connection. When it waits, fails or ends the
connection, aiohttp's tasks take it on from there. See docs/adr/0008.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.http_exceptions import LineTooLong

from aurora_runtime.inference.eager import Eager
from aurora_runtime.inference.errors import without_messages
from aurora_runtime.inference.protocol import error_body
from aurora_runtime.inference.responses import Response

log = structlog.get_logger(__name__)
LINE_BYTES: Final = 8190
MOST_HEADERS: Final = 128
_TOO_LARGE: Final = f"request head: expected at most {MOST_HEADERS} headers, and at most {LINE_BYTES} bytes in a line"


class Connection(web.RequestHandler):
    """What cannot be parsed as HTTP never reaches the application, but is answered in the same form."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  of the overridden method
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status == 500:
            log.error("a request failed", **without_messages(exc))
        first_line = str(message or exc).partition("\n")[0].rstrip(":")
        text = "internal error; the server's log tells more" if status == 500 else f"not HTTP: {first_line}"
        if isinstance(exc, LineTooLong) or first_line.startswith("Too many headers"):
            status, text = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _TOO_LARGE
        response = web.Response(status=status, body=error_body(text), content_type="application/json")
        response.force_close()
        return response

    def log_exception(self, *_: Any, **kwargs: Any) -> None:
        """What comes here are broken bodies and connections, after they were answered or lost: clients' doing."""
        log.debug("a connection failed", **without_messages(kwargs.get("exc_info")))


class EagerConnection(Connection):
    """Begins handlers, which must return our ``Response``, where the request comes in, while ``is_quiet`` says so.

    aiohttp has no hook there, so this leans on what it keeps for itself; its version is locked, and
    tests/unit/runtime/inference/test_connection.py fails when that is no longer so:

    - ``_waiter``, the future that the idle task awaits, is None or done while the task is at work;
    - ``_messages`` are requests that the task has not begun, and the parser is told of each that leaves them;
    - ``_next_keepalive_close_time`` is when an idle connection is closed.
    """

    __slots__ = ("_begun", "_handle", "_is_quiet", "_make_request")

    def __init__(self, manager: web.Server, *, is_quiet: Callable[[], bool], **options: Any) -> None:
        super().__init__(manager, **options)
        self._is_quiet = is_quiet
        self._handle: Any = manager.request_handler
        self._make_request: Any = manager.request_factory
        self._request_handler: Any = self._go_on
        self._begun: Eager[Response] | None = None

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done() or not self._is_quiet():
            super().data_received(data)
            return
        self._waiter = None  # the task sleeps on while it is seen whether it is needed
        try:
            super().data_received(data)
            if len(self._messages) == 1 and not self._upgraded and not self.writing_paused:
                self._answer_at_once()
        finally:
            self._waiter = waiter
        if self._messages:
            waiter.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._begun is not None:
            self._begun.cancel()
            self._begun = None

    def _answer_at_once(self) -> None:
        """Answers the only message, or leaves it to the task with what was begun."""
        message, payload = self._messages[0]
        parser, transport = self._parser, self.transport
        if not isinstance(message, RawRequestMessage) or not payload.is_eof() or parser is None or transport is None:
            return
        writer = StreamWriter(self, self._loop)
        request = self._make_request(message, payload, self, writer, self._task_handler)
        begun: Eager[Response] = Eager(self._handle(request))
        response = begun.result
        if response is None or response.force_close or not request.keep_alive:
            self._begun = begun
            return
        self._messages.popleft()
        parser.message_consumed()
        transport.write(response.rendered(request))
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    async def _go_on(self, request: web.BaseRequest) -> Response:
        begun, self._begun = self._begun, None
        return await (self._handle(request) if begun is None else begun)
