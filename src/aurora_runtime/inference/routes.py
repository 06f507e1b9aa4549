"""HTTP only: parse, call, render. Every error leaves as ``{"error": "<text>"}`` with the status that fits it."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Final

import structlog
from aiohttp import web

from aurora_runtime.inference.auth import ApiKeys, key_in
from aurora_runtime.inference.errors import InvalidRequest, NotFound, NotReady, TooBusy, Unauthorized
from aurora_runtime.inference.metrics import ServerMetrics
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.predictor import Predictor
from aurora_runtime.inference.protocol import error_body, parse_request, render_response

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
JSON: Final = "application/json"
RETRY_AFTER_SECONDS: Final = "1"
SERVER_METADATA: Final = b'{"name":"aurora","version":"2","extensions":[]}'


class Routes:
    """Handlers of one server. The model arrives when it is loaded; ``draining`` ends readiness."""

    def __init__(self, *, name: str, revision: str, keys: ApiKeys | None, metrics: ServerMetrics) -> None:
        self._name = name
        self._revision = revision
        self._keys = keys
        self._metrics = metrics
        self._model: LoadedModel | None = None
        self._predictor: Predictor | None = None
        self._inputs: list[str] = []
        self._outputs: list[str] = []
        self.draining = False

    def serve(self, model: LoadedModel, predictor: Predictor) -> None:
        """From now on the server is ready."""
        self._model, self._predictor = model, predictor
        self._inputs = model.descriptor.signature.feature_names
        self._outputs = [tensor.name for tensor in model.descriptor.signature.outputs]

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/v2", self.server_metadata)
        app.router.add_get("/v2/", self.server_metadata)
        app.router.add_get("/v2/health/live", self.live)
        app.router.add_get("/v2/health/ready", self.ready)
        for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            app.router.add_get(prefix, self.model_metadata)
            app.router.add_get(f"{prefix}/ready", self.model_ready)
            app.router.add_post(f"{prefix}/infer", self.infer)

    async def server_metadata(self, _: web.Request) -> web.Response:
        return web.Response(body=SERVER_METADATA, content_type=JSON)

    async def live(self, _: web.Request) -> web.Response:
        return web.Response(body=b'{"live":true}', content_type=JSON)

    async def ready(self, _: web.Request) -> web.Response:
        self._ready_model()
        return web.Response(body=b'{"ready":true}', content_type=JSON)

    async def model_ready(self, request: web.Request) -> web.Response:
        model = self._addressed(request)
        return web.json_response({"name": model.name, "ready": True})

    async def model_metadata(self, request: web.Request) -> web.Response:
        self._authorize(request)
        return web.json_response(self._addressed(request).metadata())

    async def infer(self, request: web.Request) -> web.Response:
        self._metrics.begin()
        code = 500
        try:
            response = await self._infer(request)
            code = response.status
        except Exception as error:
            code = status_of(error)
            raise
        except asyncio.CancelledError:
            code = 499  # the client went away: nobody's fault here
            raise
        finally:
            self._metrics.end(code)
        return response

    async def _infer(self, request: web.Request) -> web.Response:
        self._authorize(request)
        model = self._addressed(request)
        assert self._predictor is not None  # noqa: S101  set together with the model
        if request.content_type not in (JSON, "application/octet-stream") or "Content-Encoding" in request.headers:
            raise web.HTTPUnsupportedMediaType(text=f"Content-Type: expected {JSON}, not compressed")
        body = await request.read()
        begin = perf_counter()
        asked = parse_request(body, inputs=self._inputs, outputs=self._outputs)
        self._metrics.observe("decode", perf_counter() - begin)
        answers = await self._predictor.predict(asked.features)
        begin = perf_counter()
        rendered = render_response(model=model.name, version=model.version, request=asked, answers=answers)
        self._metrics.observe("encode", perf_counter() - begin)
        return web.Response(body=rendered, content_type=JSON)

    def _ready_model(self) -> LoadedModel:
        if self._model is None or self.draining:
            raise NotReady
        return self._model

    def _addressed(self, request: web.Request) -> LoadedModel:
        """The model that the path names. While draining it still answers: routers need time to notice."""
        name, version = request.match_info["model"], request.match_info.get("version")
        if name != self._name:
            raise NotFound(f"model '{name}' is not here, this server has '{self._name}'")
        if self._model is None:
            raise NotReady
        if version is not None and version != self._model.version:
            raise NotFound(f"version '{version}' of '{name}' is not here, this server has '{self._model.version}'")
        return self._model

    def _authorize(self, request: web.Request) -> None:
        if self._keys is not None and self._keys.name_of(key_in(request.headers)) is None:
            self._metrics.refused_key()
            raise Unauthorized

    @web.middleware
    async def errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Turns errors into statuses, and marks every response with what served it."""
        try:
            response = await handler(request)
        except Exception as error:  # noqa: BLE001  every error leaves in one form
            response = error_response(error)
        response.headers["X-Aurora-Revision"] = self._revision
        if self.draining:
            response.force_close()
        return response


def status_of(error: Exception) -> int:
    """HTTP status of an error; what is not foreseen is 500."""
    match error:
        case web.HTTPException():
            return error.status
        case Unauthorized():
            return 401
        case NotFound():
            return 404
        case InvalidRequest():
            return 400
        case TooBusy() | NotReady():
            return 503
    return 500


def error_response(error: Exception) -> web.Response:
    status = status_of(error)
    headers = {}
    match error:
        case web.HTTPMethodNotAllowed():
            message = f"{error.method} is not allowed here: use {', '.join(sorted(error.allowed_methods))}"
            headers["Allow"] = error.headers["Allow"]
        case web.HTTPNotFound():
            message = "no such path: the model is under /v2/models/<name>"
        case web.HTTPException():
            message = error.text or error.reason
        case _ if status == 500:
            log.error("a request failed", exc_info=error)
            message = "internal error: the server's log tells more"
        case _:
            message = str(error)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if status == 503:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return web.Response(status=status, body=error_body(message), content_type=JSON, headers=headers)
