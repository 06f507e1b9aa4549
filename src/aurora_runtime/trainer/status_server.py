"""``/metrics`` and ``/progress`` of a running trainer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from aurora_runtime.contract import PROGRESS_PATH
from aurora_runtime.trainer.progress import Progress


def build_app(progress: Progress, registry: CollectorRegistry) -> web.Application:
    """The application, not yet listening."""

    async def answer_progress(_: web.Request) -> web.Response:
        return web.Response(text=progress.current.to_json(), content_type="application/json")

    async def answer_metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.router.add_get(PROGRESS_PATH, answer_progress)
    app.router.add_get("/metrics", answer_metrics)
    return app


@asynccontextmanager
async def status_server(app: web.Application, *, port: int | None) -> AsyncIterator[None]:
    """Listens on ``port`` of all addresses while the block runs; None listens nowhere."""
    if port is None:
        yield
        return
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
