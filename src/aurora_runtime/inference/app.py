"""The story of a server: listen → fetch → verify → load → golden rows → ready → … → drain → stop."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Final

import structlog
from aiohttp import web

from aurora_runtime.contract import COUNTERS_PATH
from aurora_runtime.inference.auth import ApiKeys
from aurora_runtime.inference.fetch import fetch
from aurora_runtime.inference.metrics import ServerMetrics
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.predictor import Predictor
from aurora_runtime.inference.routes import Routes
from aurora_runtime.inference.settings import InferenceSettings
from aurora_runtime.store.model_store import LocalModel, ModelStore

log = structlog.get_logger(__name__)
KEYS_RELOAD_SECONDS: Final = 2.0
SHUTDOWN_SECONDS: Final = 30.0
"""How long requests in flight may take to finish after the drain."""


async def serve(settings: InferenceSettings, *, version: int, stop: asyncio.Event, hasten: asyncio.Event) -> None:
    """Serves until ``stop``, then drains. Raises ArtifactRefused, ModelNotFound and GoldenRowsDiffer."""
    started = perf_counter()
    metrics = ServerMetrics(model=settings.model, version=str(version), revision=settings.revision)
    keys = None if settings.api_keys_dir is None else ApiKeys(settings.api_keys_dir)
    routes = Routes(name=settings.model, revision=settings.revision, keys=keys, metrics=metrics)
    async with AsyncExitStack() as running:
        scratch = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="aurora-model-")))
        if keys is not None:
            await running.enter_async_context(_kept_fresh(keys))
        await running.enter_async_context(_listening(metrics_app(metrics), settings.host, settings.metrics_port))
        await running.enter_async_context(_listening(inference_app(routes, settings), settings.host, settings.port))

        store = ModelStore(root=settings.store)
        local = await _unless(
            stop,
            fetch(store, model=settings.model, version=version, digest=settings.digest, destination=scratch / "model"),
        )
        if local is None:
            return
        model = await asyncio.to_thread(LoadedModel.load, local)
        predictor = Predictor(model.engine.predict, limit=settings.queue_limit, metrics=metrics)
        running.callback(predictor.close)
        routes.serve(model, predictor)
        seconds = perf_counter() - started
        metrics.loaded(digest=model.digest, model_format=model.descriptor.format, seconds=seconds)
        log.info("ready", model=model.name, version=model.version, digest=model.digest, seconds=round(seconds, 3))

        await stop.wait()
        routes.draining = True
        log.info("draining", seconds=settings.drain_seconds)
        await _wait(hasten, settings.drain_seconds)
    log.info("stopped")


def inference_app(routes: Routes, settings: InferenceSettings) -> web.Application:
    """Predictions, metadata and health."""
    app = web.Application(middlewares=[routes.errors], client_max_size=settings.max_body_bytes)
    routes.add_to(app)
    return app


def metrics_app(metrics: ServerMetrics) -> web.Application:
    """``/metrics`` and ``/counters``: on a port of their own, which no Ingress routes to."""

    async def prometheus(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def counters(_: web.Request) -> web.Response:
        return web.Response(text=metrics.counters().to_json(), content_type="application/json")

    app = web.Application()
    app.router.add_get("/metrics", prometheus)
    app.router.add_get(COUNTERS_PATH, counters)
    return app


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
        # With port 0 the system chooses: the log is where one learns which.
        log.info("listening", addresses=[f"{address[0]}:{address[1]}" for address in runner.addresses])
        yield
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _kept_fresh(keys: ApiKeys) -> AsyncIterator[None]:
    async def reload_forever() -> None:
        while True:
            await asyncio.sleep(KEYS_RELOAD_SECONDS)
            await asyncio.to_thread(keys.reload)

    await asyncio.to_thread(keys.reload)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reload_forever())
        try:
            yield
        finally:
            task.cancel()


async def _unless(stop: asyncio.Event, work: Coroutine[None, None, LocalModel]) -> LocalModel | None:
    """The result of the work, or None when ``stop`` comes first."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not working.done():
        working.cancel()
        return None
    return working.result()


async def _wait(event: asyncio.Event, seconds: float) -> None:
    """Returns when the event comes, or the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
