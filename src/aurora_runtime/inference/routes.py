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
from aurora_runtime.inference.batching import Batcher, BatchLimits
from aurora_runtime.inference.compression import LEAST_BYTES, chosen, compress, decompress, known
from aurora_runtime.inference.errors import (
    INTERNAL_ERROR,
    BodyTooLarge,
    NoSuchPath,
    NotFound,
    NotReady,
    TooManyFailures,
    TooSlow,
    Unauthorized,
    UnknownExpectation,
    UnsupportedMedia,
    WrongMethod,
    without_messages,
)
from aurora_runtime.inference.metrics import ServerMetrics
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.model_watch import ModelWatch
from aurora_runtime.inference.openapi import openapi
from aurora_runtime.inference.paths import Address, Endpoint, address_of
from aurora_runtime.inference.payload_log import PayloadLog
from aurora_runtime.inference.protocol import error_body, parse_request, render_binary_response, render_response
from aurora_runtime.inference.request_id import HEADER as REQUEST_ID_HEADER
from aurora_runtime.inference.request_id import RequestIds
from aurora_runtime.inference.responses import HEADERS, JSON, Response, header_lines
from aurora_runtime.inference.sampling import Sampler
from aurora_runtime.inference.statuses import CLIENT_GONE, advice, status_of
from aurora_runtime.inference.turn import Turn
from aurora_runtime.inference.workers import Workers

log = structlog.get_logger(__name__)
Handler = Callable[[web.BaseRequest, Address], Awaitable[Response]]

REVISION_HEADER: Final = "X-Aurora-Revision"
VERSION_HEADER: Final = "X-Aurora-Model-Version"
_REQUEST_ID: Final = web.RequestKey("request_id", str)


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
    limits: BatchLimits = field(default_factory=BatchLimits)
    alias: str | None = None
    """What was asked for instead of a version number."""
    max_body_bytes: int = 8 * 1024 * 1024
    """Of a body when it is decompressed."""
    body_seconds: float = 30.0
    """How long a body may take to come."""
    access_log: AccessLog = field(default_factory=lambda: AccessLog(Sampler(share=0)))
    payload_log: PayloadLog | None = None
    failures: AuthFailures = field(default_factory=AuthFailures)
    request_ids: RequestIds = field(default_factory=RequestIds)
    turn: Turn = field(default_factory=Turn)
    """Shared with the connections."""
    model: LoadedModel | None = None
    state: State = State.LOADING
    headers: dict[str, str] = field(default_factory=dict)
    """Of every response: which revision and version it comes from."""

    def __post_init__(self) -> None:
        self._idle = asyncio.Event()
        self.headers |= HEADERS
        if self.revision:
            self.headers[REVISION_HEADER] = self.revision
        self._head_lines = header_lines(self.headers)
        self._server = orjson.dumps(
            {"name": "aurora", "version": installed_version("aurora"), "extensions": [binary.EXTENSION]}
        )
        # The path that nearly all requests have is not taken apart each time.
        self._infer_path = f"/v2/models/{self.name}/infer"
        self._infer_address = Address(Endpoint.INFER, self.name)
        self._handlers: Mapping[Endpoint, Handler] = {
            Endpoint.SERVER: self.server_metadata,
            Endpoint.LIVE: self.live,
            Endpoint.READY: self.ready,
            Endpoint.MODEL: self.model_metadata,
            Endpoint.MODEL_READY: self.model_ready,
            Endpoint.DOCUMENT: self.document,
            Endpoint.INFER: self.infer,
        }

    def serve(self, model: LoadedModel) -> None:
        """From now on the server is ready."""
        self.headers[VERSION_HEADER] = model.version
        self._head_lines = header_lines(self.headers)
        self.metrics.watch = ModelWatch(
            model.descriptor.signature, prediction_buckets=model.descriptor.prediction_buckets
        )
        batcher = Batcher(
            predict=model.predict,
            workers=self.workers,
            limits=self.limits,
            observe=self.metrics.batches.observe,
            turn=self.turn,
        )
        self.metrics.queue_depth = lambda: batcher.waiting
        self._batcher = batcher
        self._document = orjson.dumps(openapi(model.descriptor, guarded=self.keys is not None))
        self.model, self.state = model, State.SERVING

    async def finished(self) -> None:
        """Returns when no inference request is in flight."""
        while self.metrics.in_flight:
            self._idle.clear()
            await self._idle.wait()

    async def handle(self, request: web.BaseRequest) -> Response:
        """Any request: names and logs it, turns errors into responses; while draining, asks clients to connect anew."""
        begun = perf_counter()
        request_id = self.request_ids.of(request.headers)
        request[_REQUEST_ID] = request_id
        status = CLIENT_GONE
        try:
            response = await self._answer(request, request_id)
            status = response.status
        finally:
            path = request.rel_url.raw_path
            if self.access_log.wants(path, status):
                self.access_log.write(
                    request_id=request_id,
                    method=request.method,
                    path=path,
                    status=status,
                    seconds=perf_counter() - begun,
                )
        response.add(f"{REQUEST_ID_HEADER}: {request_id}\r\n".encode())  # an id has no end of line in it
        response.force_close = self.state is State.DRAINING
        return response

    async def _answer(self, request: web.BaseRequest, request_id: str) -> Response:
        try:
            path = request.rel_url.raw_path
            address = self._infer_address if path == self._infer_path else address_of(path)
            if address is None:
                raise NoSuchPath
            if request.method not in address.endpoint.methods:
                raise WrongMethod(method=request.method, allowed=address.endpoint.methods)
            _require_known_expectation(request)
            return await self._handlers[address.endpoint](request, address)
        except Exception as error:  # noqa: BLE001  every error leaves in one form
            return self._error_response(error, request_id)

    # -- endpoints

    async def server_metadata(self, _: web.BaseRequest, __: Address) -> Response:
        return self._response(self._server)

    async def live(self, _: web.BaseRequest, __: Address) -> Response:
        return self._response(b'{"live":true}')

    async def ready(self, _: web.BaseRequest, __: Address) -> Response:
        self._require_ready()
        return self._response(b'{"ready":true}')

    async def model_ready(self, _: web.BaseRequest, address: Address) -> Response:
        model = self._addressed(address)
        self._require_ready()
        return self._response(orjson.dumps({"name": model.name, "ready": True}))

    async def model_metadata(self, request: web.BaseRequest, address: Address) -> Response:
        self._authenticate(request)
        return await self._encoded(request, orjson.dumps(self._addressed(address).metadata(alias=self.alias)))

    async def document(self, request: web.BaseRequest, address: Address) -> Response:
        self._authenticate(request)
        self._addressed(address)
        return await self._encoded(request, self._document)

    async def infer(self, request: web.BaseRequest, address: Address) -> Response:
        self.metrics.begin()
        code = 200
        try:
            return await self._infer(request, address)
        except BaseException as error:
            code = status_of(error)
            raise
        finally:
            self.metrics.end(code)
            if self.metrics.in_flight == 0:
                self._idle.set()

    async def _infer(self, request: web.BaseRequest, address: Address) -> Response:
        client = self._authenticate(request)
        model = self._addressed(address)
        length = request.headers.get(binary.LENGTH_HEADER)
        _require_media(request, expected=JSON if length is None else binary.MEDIA_TYPE)
        coding = known(request.headers.get("Content-Encoding", ""))
        body = await self._body(request)
        if coding is not None:
            body = await asyncio.to_thread(decompress, body, coding, limit=self.max_body_bytes)

        begun = perf_counter()
        asked = parse_request(body, features=model.features, outputs=model.outputs, header_length=length)
        decoded = perf_counter()
        answers, queue_seconds, predict_seconds = await self._batcher.ask(
            asked.features, client=client, clients=1 if self.keys is None else self.keys.count
        )
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
        if self.payload_log is not None:
            self.payload_log.offer(request[_REQUEST_ID], asked.features, answers)
        durations = self.metrics.durations
        durations.decode.observe(decoded - begun)
        durations.queue.observe(queue_seconds)
        durations.predict.observe(predict_seconds)
        durations.encode.observe(encoded - predicted)
        return self._response(rendered, extra) if extra else await self._encoded(request, rendered)

    # -- what endpoints share

    def _response(self, body: bytes, extra: Mapping[str, str] | None = None, *, status: int = 200) -> Response:
        lines = header_lines({**self.headers, **extra}) if extra else self._head_lines
        return Response(body, lines=lines, status=status)

    async def _encoded(self, request: web.BaseRequest, body: bytes) -> Response:
        """A response of JSON, compressed when that pays and the client accepts it."""
        if len(body) < LEAST_BYTES:
            return self._response(body)
        extra = {"Vary": "Accept-Encoding"}
        coding = chosen(request.headers.get("Accept-Encoding", ""))
        if coding is not None:
            # Not on the workers: predictions would wait for it.
            body = await asyncio.to_thread(compress, body, coding)
            extra["Content-Encoding"] = coding
        return self._response(body, extra)

    def _require_ready(self) -> None:
        if self.state is not State.SERVING:
            raise NotReady(state=self.state)

    def _addressed(self, address: Address) -> LoadedModel:
        """The model that the path names. While draining it still answers: routers need time to notice."""
        if address.model not in (None, self.name):
            raise NotFound(what="model", asked=str(address.model), served=self.name)
        if self.model is None:
            raise NotReady(state=self.state)
        if address.version not in (None, self.model.version):
            raise NotFound(what="version", asked=str(address.version), served=self.model.version)
        return self.model

    async def _body(self, request: web.BaseRequest) -> bytes:
        """Raises BodyTooLarge, and TooSlow when it is not complete in time."""
        if request.content.is_eof():  # it came together with the head, as most do: no timer is needed
            body = request.content.read_nowait()
            if len(body) > self.max_body_bytes:
                raise BodyTooLarge(limit=self.max_body_bytes)
            return body
        if (request.content_length or 0) > self.max_body_bytes:
            raise BodyTooLarge(limit=self.max_body_bytes)
        await self._ask_for_body(request)
        try:
            async with asyncio.timeout(self.body_seconds):
                return await request.read()
        except web.HTTPRequestEntityTooLarge:
            raise BodyTooLarge(limit=self.max_body_bytes) from None
        except TimeoutError as error:
            raise TooSlow(seconds=self.body_seconds) from error

    async def _ask_for_body(self, request: web.BaseRequest) -> None:
        """Lets a client go on that waits to be asked. Older than HTTP/1.1, it cannot wait, and knows no such answer."""
        if "Expect" in request.headers and request.version >= HttpVersion11:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            # What was written is no part of the answer, which would otherwise count as begun.
            request.writer.output_size = 0

    def _authenticate(self, request: web.BaseRequest) -> str:
        """Name of the request's key; empty when none is needed."""
        if self.keys is None:
            return ""
        try:
            name = self.keys.check(request.headers)
        except Unauthorized as error:
            wait = self.failures.record(request.remote or "")
            self.metrics.refused_keys["limited" if wait else error.reason] += 1
            if wait:
                raise TooManyFailures(retry_after_seconds=wait) from error
            raise
        self.metrics.accepted_keys[name] += 1
        return name

    def _error_response(self, error: Exception, request_id: str) -> Response:
        """The response for an error, which is logged when it is ours."""
        status = status_of(error)
        if isinstance(error, web.RequestPayloadError):
            message = "body: cut off, or not encoded as its headers say"
        elif status == 500:
            log.error("a request failed", request_id=request_id, **without_messages(error))
            message = INTERNAL_ERROR
        else:
            message = str(error)
        return self._response(error_body(message), advice(error), status=status)


def _require_media(request: web.BaseRequest, *, expected: str) -> None:
    """A body of bytes may call itself JSON, as it begins: clients that know the header forget the type."""
    given = request.headers.get("Content-Type", JSON)
    if given != JSON and request.content_type not in (JSON, expected):
        raise UnsupportedMedia(expected=expected, given=given)


def _require_known_expectation(request: web.BaseRequest) -> None:
    expectation = request.headers.get("Expect", "100-continue")
    if expectation.lower() != "100-continue" and request.version >= HttpVersion11:
        raise UnknownExpectation(given=expectation)
