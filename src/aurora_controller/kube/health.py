"""``/healthz``, ``/readyz`` and ``/metrics`` over HTTP.

A probe answers 200 while all its checks pass, else 500 with a line for each; ``/readyz/<check>`` asks one alone.
They are served by the loop that reconciles, so a loop that hangs answers no probe.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeAlias

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

Check: TypeAlias = Callable[[], str | None]
"""What is wrong, or None."""

_SHUTDOWN_SECONDS: Final = 2.0


class HealthServer:
    """Probes on ``port`` and metrics on ``metrics_port``, which may be the same. Port 0 is any that is free."""

    def __init__(
        self,
        *,
        liveness: Mapping[str, Check],
        readiness: Mapping[str, Check],
        registry: CollectorRegistry,
        port: int = 8080,
        metrics_port: int = 9090,
        host: str | None = None,
    ) -> None:
        self._liveness = liveness
        self._readiness = readiness
        self._registry = registry
        self._port = port
        self._metrics_port = metrics_port
        self._host = host
        self.addresses: list[tuple[str, int]] = []
        """Where it listens while ``serving``: probes first, then metrics."""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        probes = web.Application()
        probes.router.add_get("/healthz", _probe(self._liveness))
        probes.router.add_get("/healthz/{check}", _probe(self._liveness))
        probes.router.add_get("/readyz", _probe(self._readiness))
        probes.router.add_get("/readyz/{check}", _probe(self._readiness))
        metrics = probes if 0 < self._metrics_port == self._port else web.Application()
        metrics.router.add_get("/metrics", self._metrics)
        async with AsyncExitStack() as stack:
            self.addresses = [await stack.enter_async_context(_listening(probes, self._host, self._port))]
            if metrics is not probes:
                self.addresses.append(
                    await stack.enter_async_context(_listening(metrics, self._host, self._metrics_port))
                )
            yield

    async def _metrics(self, _: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


@asynccontextmanager
async def _listening(app: web.Application, host: str | None, port: int) -> AsyncIterator[tuple[str, int]]:
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address = runner.addresses[0]
        yield (address[0], address[1])
    finally:
        await runner.cleanup()


def _probe(checks: Mapping[str, Check]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.Response:
        name = request.match_info.get("check")
        if name is not None and name not in checks:
            raise web.HTTPNotFound(text=f"no check {name!r}; there are: {', '.join(checks) or 'none'}\n")
        asked = checks if name is None else {name: checks[name]}
        problems = {check: ask() for check, ask in asked.items()}
        if not any(problems.values()):
            return web.Response(text="ok")
        lines = (f"[-] {check}: {why}" if why else f"[+] {check}: ok" for check, why in problems.items())
        return web.Response(status=500, text="\n".join(lines) + "\n")

    return answer
