"""The story of a server: listen → fetch → verify → load → golden rows → ready → … → drain → stop."""

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final, TypeVar, cast

import structlog
from aiohttp import web

from aurora_runtime.contract import COUNTERS_PATH
from aurora_runtime.inference.access_log import AccessLog
from aurora_runtime.inference.auth import ApiKeys
from aurora_runtime.inference.batching import BatchLimits
from aurora_runtime.inference.connection import EagerConnection
from aurora_runtime.inference.fetch import fetch
from aurora_runtime.inference.libraries import check_libraries, warn_of_libraries
from aurora_runtime.inference.listener import CLOSE_SECONDS, listening
from aurora_runtime.inference.metrics import ServerMetrics
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.payload_log import PayloadLog
from aurora_runtime.inference.protocol import error_body
from aurora_runtime.inference.responses import JSON
from aurora_runtime.inference.routes import Routes, State
from aurora_runtime.inference.sampling import Sampler
from aurora_runtime.inference.settings import InferenceSettings
from aurora_runtime.inference.workers import Workers
from aurora_runtime.store.memory import return_freed_memory
from aurora_runtime.store.model_store import ModelStore

log = structlog.get_logger(__name__)
KEYS_RELOAD_SECONDS: Final = 2.0
MEMORY_SECONDS: Final = 30.0
"""Between two looks for memory that is free and can go back to the system: what a burst of requests took."""
T = TypeVar("T")


async def serve(settings: InferenceSettings, *, stop: asyncio.Event, hasten: asyncio.Event) -> None:
    """Serves until ``stop``, drains until ``hasten`` or the time is over, returns when the last request is answered.

    Raises ArtifactRefused, ModelNotFound, LibrariesDiffer and GoldenRowsDiffer when nothing may be served,
    InvalidSettings when they do not fit the model, StorageUnavailable when it was stopped while the storage failed.
    """
    known_version = settings.version if isinstance(settings.version, int) else None
    metrics = ServerMetrics(model=settings.model, version=known_version, revision=settings.revision)
    async with AsyncExitStack() as running:  # left in reverse: listeners first, then what they stand on
        scratch = running.enter_context(tempfile.TemporaryDirectory(prefix="aurora-", ignore_cleanup_errors=True))
        workers = await running.enter_async_context(Workers(threads=settings.threads))
        keys = await running.enter_async_context(_fresh_keys(settings.api_keys_dir))
        routes = _routes(settings, keys=keys, workers=workers, metrics=metrics)
        await running.enter_async_context(
            listening(metrics_runner(metrics), name="metrics", host=settings.host, port=settings.metrics_port)
        )
        await running.enter_async_context(
            listening(
                inference_runner(routes),
                name="http",
                host=settings.host,
                port=settings.port,
                finished=routes.finished,
                idle_seconds=settings.idle_timeout_seconds,
                connection=partial(EagerConnection, turn=routes.turn),
            )
        )

        model = await _unless(stop, _load(settings, metrics, workers, Path(scratch)))
        if model is None:
            return
        await running.enter_async_context(every(MEMORY_SECONDS, return_freed_memory))
        routes.payload_log = _payload_log(settings, model)
        routes.serve(model)
        log.info("ready", model=model.name, version=model.version, revision=settings.revision, digest=model.digest)

        await stop.wait()
        routes.state = State.DRAINING
        log.info("draining", seconds=settings.drain_seconds)
        await _wait(hasten, settings.drain_seconds)
    log.info("stopped")


def _routes(settings: InferenceSettings, *, keys: ApiKeys | None, workers: Workers, metrics: ServerMetrics) -> Routes:
    return Routes(
        name=settings.model,
        revision=settings.revision,
        keys=keys,
        workers=workers,
        metrics=metrics,
        alias=settings.version if isinstance(settings.version, str) else None,
        max_body_bytes=settings.max_body_bytes,
        limits=BatchLimits(
            threads=settings.threads,
            queue=settings.queue_limit,
            rows=settings.batch_rows,
            seconds=settings.request_timeout_seconds,
        ),
        body_seconds=settings.body_timeout_seconds,
        access_log=AccessLog(Sampler(share=settings.access_log_share)),
    )


def _payload_log(settings: InferenceSettings, model: LoadedModel) -> PayloadLog | None:
    """None unless it was asked for. Raises InvalidSettings when it is to redact what the model does not have."""
    if settings.payload_log is None:
        return None
    return PayloadLog(
        Sampler(share=settings.payload_log.percent / 100),
        signature=model.descriptor.signature,
        redact=settings.payload_log.redact,
    )


async def _load(settings: InferenceSettings, metrics: ServerMetrics, workers: Workers, scratch: Path) -> LoadedModel:
    begun = perf_counter()
    local = await fetch(
        ModelStore(root=settings.store),
        model=settings.model,
        version=settings.version,
        digest=settings.digest,
        destination=scratch / "model",
        workers=workers,
        before_copy=partial(check_libraries, policy=settings.library_versions),
    )
    warn_of_libraries(local.descriptor)
    model = await workers.run(LoadedModel.load, local)
    # What is here now stays: the collector need not look at it again while requests wait.
    gc.collect()
    gc.freeze()
    metrics.loaded(
        version=local.descriptor.version,
        digest=local.digest,
        model_format=local.descriptor.format,
        seconds=perf_counter() - begun,
    )
    return model


def inference_runner(routes: Routes) -> web.ServerRunner:
    """Predictions, metadata and health. A handler whose client leaves is cancelled: nobody computes for nobody."""
    loop = asyncio.get_running_loop()
    # aiohttp's types ask for its own response class; its protocol asks for no more than ours has.
    handler = cast("Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", routes.handle)
    server = web.Server(
        handler,
        request_factory=lambda message, payload, protocol, writer, task: web.BaseRequest(
            message, payload, protocol, writer, task, loop, client_max_size=routes.max_body_bytes
        ),
        handler_cancellation=True,
    )
    return web.ServerRunner(server, shutdown_timeout=CLOSE_SECONDS)


def metrics_runner(metrics: ServerMetrics) -> web.AppRunner:
    """``metrics_app``, ready to listen."""
    return web.AppRunner(metrics_app(metrics), handle_signals=False, shutdown_timeout=CLOSE_SECONDS)


def metrics_app(metrics: ServerMetrics) -> web.Application:
    """``/metrics`` and ``/counters``: on a port of their own, which no Ingress routes to."""

    async def prometheus(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def counters(_: web.Request) -> web.Response:
        counted = metrics.counters()
        if counted is None:
            return web.Response(status=503, body=error_body("the version is not known yet"), content_type=JSON)
        return web.Response(text=counted.to_json(), content_type=JSON)

    app = web.Application()
    app.router.add_get("/metrics", prometheus)
    app.router.add_get(COUNTERS_PATH, counters)
    return app


@asynccontextmanager
async def _fresh_keys(folder: Path | None) -> AsyncIterator[ApiKeys | None]:
    """The keys in the folder, read again every few seconds; None when everybody may ask."""
    if folder is None:
        yield None
        return
    keys = ApiKeys(folder)
    await asyncio.to_thread(keys.reload)
    async with every(KEYS_RELOAD_SECONDS, keys.reload):
        yield keys


@asynccontextmanager
async def every(seconds: float, work: Callable[[], object]) -> AsyncIterator[None]:
    """Inside the block, blocking ``work`` is done again and again, with as many seconds between."""

    async def forever() -> None:
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(work)

    working = asyncio.create_task(forever())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait((working,))


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, T]) -> T | None:
    """The result of the work, or None when ``stop`` comes first. Raises what the work does, also when it is stopped."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    working.cancel()
    await asyncio.wait((working,))
    return None if working.cancelled() else working.result()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event comes, or the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
