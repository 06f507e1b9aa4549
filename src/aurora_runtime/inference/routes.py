"""HTTP only: parse, call, render. Every error leaves as ``{"error": "<text>"}`` with the status that fits it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import version as installed_version
from time import perf_counter
from typing import Final

import orjson
import structlog
from aiohttp import HttpVersion11, web

from aurora_runtime.inference import binary
from aurora_runtime.inference.access_log import AccessLog
from aurora_runtime.inference.auth import ApiKeys
from aurora_runtime.inference.auth_failures import AuthFailures
from aurora_runtime.inference.compression import LEAST_BYTES, chosen, compress, decompress, known
from aurora_runtime.inference.errors import (
    BodyTooLarge,
    InvalidRequest,
    NotFound,
    NotReady,
    TooBusy,
    TooManyFailures,
    TooSlow,
    Unauthorized,
    UnknownExpectation,
    UnsupportedCoding,
    UnsupportedMedia,
)
from aurora_runtime.inference.metrics import Phase, ServerMetrics
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.model_watch import ModelWatch
from aurora_runtime.inference.openapi import openapi
from aurora_runtime.inference.protocol import error_body, parse_request, render_binary_response, render_response
from aurora_runtime.inference.request_id import HEADER as REQUEST_ID_HEADER
from aurora_runtime.inference.request_id import RequestIds
from aurora_runtime.inference.workers import Workers

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

JSON: Final = "application/json"
REVISION_HEADER: Final = "X-Aurora-Revision"
VERSION_HEADER: Final = "X-Aurora-Model-Version"
RETRY_AFTER_SECONDS: Final = "1"
CLIENT_GONE: Final = 499
"""Counted, never sent: the client left before its body was complete."""

STATUSES: Final[Mapping[type[Exception], int]] = {
    InvalidRequest: 400,
    web.RequestPayloadError: 400,
    Unauthorized: 401,
    NotFound: 404,
    BodyTooLarge: 413,
    UnsupportedCoding: 415,
    UnsupportedMedia: 415,
    UnknownExpectation: 417,
    TooSlow: 408,
    TooManyFailures: 429,
    TooBusy: 503,
    NotReady: 503,
    ConnectionError: CLIENT_GONE,
}


class State(StrEnum):
    """What a server is doing, as an error tells it."""

    LOADING = "it is being loaded"
    SERVING = "it is served"
    DRAINING = "the server is stopping"


@dataclass(kw_only=True)
class Routes:
    """Handlers of one server. ``model`` arrives when it is loaded; ``state`` decides readiness."""

    name: str
    revision: str
    keys: ApiKeys | None
    workers: Workers
    metrics: ServerMetrics
    alias: str | None = None
    """What was asked for instead of a version number."""
    max_body_bytes: int = 8 * 1024 * 1024
    """Of a body when it is decompressed."""
    body_seconds: float = 30.0
    """How long a body may take to come."""
    access_log: AccessLog = field(default_factory=lambda: AccessLog(share=0))
    failures: AuthFailures = field(default_factory=AuthFailures)
    request_ids: RequestIds = field(default_factory=RequestIds)
    model: LoadedModel | None = None
    state: State = State.LOADING
    headers: dict[str, str] = field(default_factory=dict)
    """Of every response: which revision and version it comes from."""

    def __post_init__(self) -> None:
        self._idle = asyncio.Event()
        self.headers |= {"Content-Type": JSON, "Server": "aurora"}
        if self.revision:
            self.headers[REVISION_HEADER] = self.revision
        self._server = orjson.dumps(
            {"name": "aurora", "version": installed_version("aurora"), "extensions": [binary.EXTENSION]}
        )

    def serve(self, model: LoadedModel) -> None:
        """From now on the server is ready."""
        self.headers[VERSION_HEADER] = model.version
        self.metrics.watch = ModelWatch(
            model.descriptor.signature, prediction_buckets=model.descriptor.prediction_buckets
        )
        self.model, self.state = model, State.SERVING

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v2", self.server_metadata)
        app.router.add_get("/v2/", self.server_metadata)
        app.router.add_get("/openapi.json", self.document)
        app.router.add_get("/v2/health/live", self.live)
        app.router.add_get("/v2/health/ready", self.ready)
        # The model's own path stands first and without a variable: that is one dictionary look-up a request.
        for model in (f"/v2/models/{self.name}", "/v2/models/{model}"):
            for path in (model, model + "/versions/{version}"):
                app.router.add_get(path, self.model_metadata)
                app.router.add_get(path + "/openapi.json", self.document)
                app.router.add_get(path + "/ready", self.model_ready)
                app.router.add_post(path + "/infer", self.infer, expect_handler=self.expected)

    async def finished(self) -> None:
        """Returns when no inference request is in flight."""
        while self.metrics.in_flight:
            self._idle.clear()
            await self._idle.wait()

    # -- endpoints

    async def server_metadata(self, _: web.Request) -> web.Response:
        return self._response(self._server)

    async def live(self, _: web.Request) -> web.Response:
        return self._response(b'{"live":true}')

    async def ready(self, _: web.Request) -> web.Response:
        self._require_ready()
        return self._response(b'{"ready":true}')

    async def model_ready(self, request: web.Request) -> web.Response:
        model = self._addressed(request)
        self._require_ready()
        return self._response(orjson.dumps({"name": model.name, "ready": True}))

    async def model_metadata(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        return await self._encoded(request, orjson.dumps(self._addressed(request).metadata(alias=self.alias)))

    async def document(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        model = self._addressed(request)
        return await self._encoded(request, orjson.dumps(openapi(model.descriptor, guarded=self.keys is not None)))

    async def infer(self, request: web.Request) -> web.Response:
        self.metrics.begin()
        code = CLIENT_GONE
        try:
            response = await self._infer(request)
            code = response.status
        except Exception as error:
            code = status_of(error)
            raise
        finally:
            self.metrics.end(code)
            if self.metrics.in_flight == 0:
                self._idle.set()
        return response

    async def _infer(self, request: web.Request) -> web.Response:
        self._authenticate(request)
        model = self._addressed(request)
        length = request.headers.get(binary.LENGTH_HEADER)
        _require_media(request, expected=JSON if length is None else binary.MEDIA_TYPE)
        coding = known(request.headers.get("Content-Encoding", ""))
        body = await self._body(request)
        if coding is not None:
            body = await asyncio.to_thread(decompress, body, coding, limit=self.max_body_bytes)

        begun = perf_counter()
        asked = parse_request(body, features=model.features, outputs=model.outputs, header_length=length)
        decoded = perf_counter()
        job = self.workers.submit(model.predict, asked.features)
        answers = await job.future
        predicted = perf_counter()
        extra: Mapping[str, str] = {}
        if asked.binary:
            rendered, json_bytes = render_binary_response(asked, answers, model=model.name, version=model.version)
            extra = {"Content-Type": binary.MEDIA_TYPE, binary.LENGTH_HEADER: str(json_bytes)}
        else:
            rendered = render_response(asked, answers, model=model.name, version=model.version)
        encoded = perf_counter()

        if self.metrics.watch is not None:
            self.metrics.watch.observe(asked.out_of_range, answers)
        durations = self.metrics.durations
        durations[Phase.DECODE].observe(decoded - begun)
        durations[Phase.QUEUE].observe(job.started - job.asked)
        durations[Phase.PREDICT].observe(job.finished - job.started)
        durations[Phase.ENCODE].observe(encoded - predicted)
        return self._response(rendered, extra) if extra else await self._encoded(request, rendered)

    # -- what endpoints share

    def _response(self, body: bytes, extra: Mapping[str, str] | None = None) -> web.Response:
        return web.Response(body=body, headers={**self.headers, **extra} if extra else self.headers)

    async def _encoded(self, request: web.Request, body: bytes) -> web.Response:
        """A response of JSON, compressed when that pays and the client accepts it."""
        if len(body) < LEAST_BYTES:
            return self._response(body)
        extra = {"Vary": "Accept-Encoding"}
        coding = chosen(request.headers.get("Accept-Encoding", ""))
        if coding is not None:
            # Not on the workers: when their queue is full, an answer that is already there must not be lost.
            body = await asyncio.to_thread(compress, body, coding)
            extra["Content-Encoding"] = coding
        return self._response(body, extra)

    def _require_ready(self) -> None:
        if self.state is not State.SERVING:
            raise NotReady(state=self.state)

    def _addressed(self, request: web.Request) -> LoadedModel:
        """The model that the path names. While draining it still answers: routers need time to notice."""
        name = request.match_info.get("model", self.name)
        if name != self.name:
            raise NotFound(what="model", asked=name, served=self.name)
        if self.model is None:
            raise NotReady(state=self.state)
        version = request.match_info.get("version", self.model.version)
        if version != self.model.version:
            raise NotFound(what="version", asked=version, served=self.model.version)
        return self.model

    async def _body(self, request: web.Request) -> bytes:
        """Raises TooSlow when it is not complete in time."""
        if request.content.is_eof():  # it came together with the head, as most do: no timer is needed
            return await request.read()
        try:
            async with asyncio.timeout(self.body_seconds):
                return await request.read()
        except TimeoutError as error:
            raise TooSlow(seconds=self.body_seconds) from error

    def _authenticate(self, request: web.Request) -> None:
        if self.keys is None:
            return
        try:
            self.metrics.accepted_keys[self.keys.check(request.headers)] += 1
        except Unauthorized as error:
            wait = self.failures.record(request.remote or "")
            self.metrics.refused_keys["limited" if wait else error.reason] += 1
            if wait:
                raise TooManyFailures(retry_after_seconds=wait) from error
            raise

    async def expected(self, request: web.Request) -> web.Response | None:
        """Asks for the body of a client that waits to be asked; None: go on. aiohttp's own refusal is plain text."""
        if request.version < HttpVersion11:
            return None  # such a client cannot expect, and knows no interim response
        expectation = request.headers.get("Expect", "")
        if expectation.lower() != "100-continue":
            error = UnknownExpectation(given=expectation)
            return error_response(error, self.headers, request_id=self.request_ids.of(request.headers))
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # What was written is no part of the answer, which would otherwise count as begun.
        request.writer.output_size = 0
        return None

    @web.middleware
    async def errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Names and logs requests, turns errors into responses; while draining, asks clients to connect anew."""
        begun = perf_counter()
        request_id = self.request_ids.of(request.headers)
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  every error leaves in one form
            response = error_response(error, self.headers, request_id=request_id)
        response.headers[REQUEST_ID_HEADER] = request_id
        if self.access_log.wants(request.path, response.status):
            self.access_log.write(
                request_id=request_id,
                method=request.method,
                path=request.path,
                status=response.status,
                seconds=perf_counter() - begun,
            )
        if self.state is State.DRAINING:
            response.force_close()
        return response


def _require_media(request: web.Request, *, expected: str) -> None:
    """A body of bytes may call itself JSON, as it begins: clients that know the header forget the type."""
    given = request.headers.get("Content-Type", JSON)
    if given != JSON and request.content_type not in (JSON, expected):
        raise UnsupportedMedia(expected=expected, given=given)


def status_of(error: Exception) -> int:
    """HTTP status of an error; what nobody foresaw is 500."""
    if isinstance(error, web.HTTPException):
        return error.status
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)


def error_response(error: Exception, headers: Mapping[str, str], *, request_id: str) -> web.Response:
    """The response for an error, which is logged when it is ours."""
    status = status_of(error)
    extra = {}
    match error:
        case web.HTTPMethodNotAllowed():
            allowed = ", ".join(sorted(error.allowed_methods))
            message = f"method {error.method[:20]}: expected {allowed}"
            extra["Allow"] = allowed
        case web.HTTPRequestEntityTooLarge():
            message = f"body: {error.text}"
        case web.HTTPNotFound():
            message = "no such path; the model is under /v2/models/<name>"
        case web.RequestPayloadError():
            message = "body: cut off, or not encoded as its headers say"
        case _ if status == 500:
            log.error("a request failed", request_id=request_id, exc_info=error)
            message = "internal error; the server's log tells more"
        case _:
            message = str(error)
    return web.Response(status=status, body=error_body(message), headers={**headers, **extra, **_advice(error, status)})


def _advice(error: Exception, status: int) -> dict[str, str]:
    """Headers that tell a client what to do next."""
    match error:
        case Unauthorized():
            wrong = ', error="invalid_token"' if error.reason == "wrong" else ""
            return {"WWW-Authenticate": f'Bearer realm="aurora"{wrong}'}
        case UnsupportedCoding():
            return {"Accept-Encoding": error.expected}
        case TooManyFailures():
            return {"Retry-After": str(error.retry_after_seconds)}
        case _:
            return {"Retry-After": RETRY_AFTER_SECONDS} if status == 503 else {}
