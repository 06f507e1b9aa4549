"""One request to the API server: credentials, the write gate, deadlines, and the retries that are safe.

A ``RestClient`` is one pool of connections for one purpose. Watches hold theirs for minutes and writes must never
queue behind them, nor a Lease behind either, so each purpose has a client of its own.

What is retried, as client-go does: any request that the server answered with 429 or 5xx *and* a Retry-After, and
reads whose connection broke. A write whose connection broke is not: it may have been performed.
"""

import asyncio
import random
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias
from urllib.parse import urlsplit

import aiohttp
import orjson
import structlog
from structlog.contextvars import get_contextvars

from aurora_controller.kube.clock import Clock, SystemClock
from aurora_controller.kube.config import Access, ClusterConfig
from aurora_controller.kube.errors import (
    ApiError,
    ConnectionFailed,
    OutcomeUnknown,
    StatusError,
    UnexpectedResponse,
    WriteRefused,
    error_of,
)
from aurora_controller.kube.metrics import (
    REST_REQUEST_BYTES,
    REST_REQUESTS,
    REST_RESPONSE_BYTES,
    REST_RETRIES,
    REST_SECONDS,
)

MayWrite: TypeAlias = Callable[[], bool]
"""Asked immediately before each attempt of a mutating request."""

RECONCILE_ID_HEADER: Final = "X-Reconcile-ID"
"""Names the reconcile that a request belongs to, by the id that its log lines bear: a proxy can tell them apart."""
_JSON = "application/json"
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_RETRIES = 10
_MAX_RETRY_AFTER_SECONDS = 30.0
"""Longer pauses are the caller's to take: it has a queue, this has only a connection."""
_BROKEN_READ_PAUSE_SECONDS = 1.0
_CONNECT_SECONDS = 10.0
_UNACKNOWLEDGED_MILLISECONDS = 30_000
"""Sent data that no peer acknowledges for so long breaks the connection, where Linux's own patience is 15 minutes."""

# What aiohttp lets through when a connection breaks is wider than its ClientError.
CONNECTION_ERRORS = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, ssl.SSLError, OSError)

log = structlog.get_logger(__name__)


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    opened = socket.socket(family, kind, protocol)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MILLISECONDS)
    return opened


@dataclass(frozen=True)
class Response:
    """An answer of 2xx, read to its end."""

    code: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        try:
            value: dict[str, Any] = orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise UnexpectedResponse(f"the body is not JSON: {error}", code=self.code) from error
        return value


class RestClient:
    """Requests through one pool of at most ``max_connections`` (0: unlimited). Use it inside one event loop.

    ``may_write`` guards POST, PUT, PATCH and DELETE; without it all may pass.
    """

    def __init__(
        self,
        config: ClusterConfig,
        *,
        clock: Clock | None = None,
        max_connections: int = 32,
        timeout_seconds: float = 30.0,
        may_write: MayWrite | None = None,
        user_agent: str = "aurora-controller",
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._clock = clock or SystemClock()
        self._max_connections = max_connections
        self._timeout_seconds = timeout_seconds
        self._may_write = may_write
        self._user_agent = user_agent
        self._jitter = jitter
        self._host = urlsplit(config.server).netloc
        self._opened: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Breaks what is under way; later requests fail as if there were no server."""
        self._is_closed = True
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        timeout_seconds: float | None = None,
    ) -> Response:
        """The answer, when it is 2xx. ``timeout_seconds`` is the deadline of each attempt.

        Raises what ``kube/errors.py`` lists, and nothing else.
        """
        call = _Call(method, path, params or {}, body, content_type)
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        for retry in range(_MAX_RETRIES + 1):
            try:
                return await self._attempt(call, seconds)
            except (StatusError, ConnectionFailed) as error:
                pause = _pause_before_retry(error, call)
                if pause is None or retry == _MAX_RETRIES:
                    raise
                code = str(error.code) if isinstance(error, StatusError) else "<error>"
                REST_RETRIES.labels(code=code, verb=method, host=self._host).inc()
                log.debug("request is retried", method=method, path=path, error=str(error), pause_seconds=pause)
            # A thousand clients told to come back in one second should not all do so in the same one.
            await self._clock.sleep(pause * (1 + 0.2 * self._jitter()))
        raise AssertionError("the last retry raises")

    @asynccontextmanager
    async def stream(
        self, path: str, *, params: Mapping[str, str], timeout_seconds: float
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A GET whose body the caller reads while it comes. ``timeout_seconds`` covers only the wait for the headers.

        Raises as ``request`` does until the block is entered; what breaks in the body is the caller's to catch.
        Nothing is retried.
        """
        call = _Call("GET", path, params)
        with _translated(call):
            async with self._clock.timeout(timeout_seconds):
                response = await self._send(call)
        try:
            if response.status >= 300:
                with _translated(call):
                    async with self._clock.timeout(timeout_seconds):
                        answer = Response(response.status, response.headers, await response.read())
                raise _error_in(answer)
            yield response
        finally:
            # A stream that is left early must not be drained, and its connection cannot be used again.
            response.close()

    async def _attempt(self, call: "_Call", seconds: float) -> Response:
        with _translated(call):
            async with self._clock.timeout(seconds), await self._send(call) as response:
                answer = Response(response.status, response.headers, await response.read())
        REST_REQUEST_BYTES.labels(verb=call.method, host=self._host).observe(len(call.body or b""))
        REST_RESPONSE_BYTES.labels(verb=call.method, host=self._host).observe(len(answer.body))
        if answer.code >= 300:
            raise _error_in(answer)
        return answer

    async def _send(self, call: "_Call") -> aiohttp.ClientResponse:
        """The response with its body unread. Refused credentials, or an untrusted server, are looked up once more."""
        access = await self._config.access()
        try:
            response = await self._send_with(access, call)
        except aiohttp.ClientConnectorCertificateError:
            renewed = await self._config.access(renew=True)
            if renewed.ssl_context is access.ssl_context:
                raise
            return await self._send_with(renewed, call)
        if response.status != 401:
            return response
        renewed = await self._config.access(renew=True)
        if renewed == access:
            return response
        response.release()
        return await self._send_with(renewed, call)

    async def _send_with(self, access: Access, call: "_Call") -> aiohttp.ClientResponse:
        if not call.is_read and self._may_write is not None and not self._may_write():
            raise WriteRefused(f"{call.method} {call.path} not sent: not leading")
        headers = {"Accept": _JSON}
        if access.authorization:
            headers["Authorization"] = access.authorization
        if call.content_type:
            headers["Content-Type"] = call.content_type
        if reconcile_id := get_contextvars().get("reconcile_id"):
            headers[RECONCILE_ID_HEADER] = reconcile_id
        code = "<error>"
        began = self._clock.monotonic()
        try:
            response = await self._session().request(
                call.method,
                self._config.server + call.path,
                params=call.params,
                data=call.body,
                headers=headers,
                ssl=True if access.ssl_context is None else access.ssl_context,
                server_hostname=self._config.tls_server_name,
                proxy=self._config.proxy,
                allow_redirects=False,
            )
            code = str(response.status)
        finally:
            REST_REQUESTS.labels(code=code, method=call.method, host=self._host).inc()
            if not call.is_watch:
                REST_SECONDS.labels(verb=call.method, host=self._host).observe(self._clock.monotonic() - began)
        return response

    def _session(self) -> aiohttp.ClientSession:
        # Made at first use: a session belongs to the loop that runs then.
        if self._is_closed:
            raise ConnectionFailed("this client is closed")
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, socket_factory=_socket),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
                # Inside a cluster, packing a list costs both sides more time than sending it as it is.
                headers={"User-Agent": self._user_agent, "Accept-Encoding": "identity"},
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(_without_silent_retry,),
            )
        return self._opened


@dataclass(frozen=True)
class _Call:
    method: str
    path: str
    params: Mapping[str, str]
    body: bytes | None = None
    content_type: str | None = None

    @property
    def is_read(self) -> bool:
        return self.method in _READS

    @property
    def is_watch(self) -> bool:
        return "watch" in self.params


class _BrokenConnection(Exception):
    """Carries an error past aiohttp, as its cause."""


async def _without_silent_retry(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp sends PUT and DELETE again when the connection breaks under them. The second answer (Conflict, NotFound)
    # would hide that the first was performed.
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenConnection from error


@contextmanager
def _translated(call: _Call) -> Iterator[None]:
    """Turns what sockets, TLS and HTTP raise into ConnectionFailed or, for a write on its way, OutcomeUnknown."""
    try:
        yield
    except (ApiError, asyncio.CancelledError):
        raise
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise ConnectionFailed(f"{call.method} {call.path}: {_text(error)}") from error
    except (_BrokenConnection, *CONNECTION_ERRORS) as error:
        cause = error.__cause__ if isinstance(error, _BrokenConnection) and error.__cause__ else error
        failure = ConnectionFailed if call.is_read else OutcomeUnknown
        raise failure(f"{call.method} {call.path}: {_text(cause)}") from cause


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _error_in(answer: Response) -> ApiError:
    """What a non-2xx answer says; pages of proxies are told apart from the server's own words."""
    retry_after = _retry_after(answer.headers)
    try:
        status = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return error_of(status, code=answer.code, retry_after_seconds=retry_after)
    # Filters in front of the API handlers answer in plain text: "too many requests", "404 page not found".
    if answer.headers.get("Content-Type", "").startswith("text/plain"):
        text = answer.body[:200].decode(errors="replace").strip()
        return error_of({"message": text}, code=answer.code, retry_after_seconds=retry_after)
    return UnexpectedResponse(f"HTTP {answer.code}, {answer.headers.get('Content-Type', 'no type')}", code=answer.code)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if text.isdecimal() else None


def _pause_before_retry(error: StatusError | ConnectionFailed, call: _Call) -> float | None:
    """Seconds to wait, or None when a retry is unsafe or not ours to make."""
    if isinstance(error, ConnectionFailed):
        # Broken underway, most often an idle connection that the server had just closed. A server that refuses, or is
        # silent for the whole deadline, is the caller's to come back to.
        hopeless = (aiohttp.ClientConnectorError, TimeoutError, type(None))
        return None if not call.is_read or isinstance(error.__cause__, hopeless) else _BROKEN_READ_PAUSE_SECONDS
    if error.code != 429 and error.code < 500:
        return None
    pause = error.retry_after_seconds
    return pause if pause is not None and pause <= _MAX_RETRY_AFTER_SECONDS else None
