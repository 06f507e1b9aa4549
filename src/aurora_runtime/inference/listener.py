"""A server on an address, which speaks JSON even when the request is no HTTP, and ends gracefully."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import structlog
from aiohttp.web_runner import BaseRunner

from aurora_runtime.inference.connection import LINE_BYTES, MOST_HEADERS, Connection

log = structlog.get_logger(__name__)
FINISH_SECONDS: Final = 30.0
"""How long requests in flight may take to finish once nobody can connect any more."""
CLOSE_SECONDS: Final = 1.0
"""How long connections may take to close after that."""
IDLE_SECONDS: Final = 75.0
"""Longer than NGINX keeps a connection to its upstream (60 s): the side that sends requests should close first."""
_BACKLOG: Final = 1024


async def _at_once() -> None:
    """Nothing to wait for."""


@asynccontextmanager
async def listening(
    runner: BaseRunner,
    *,
    name: str,
    host: str,
    port: int,
    finished: Callable[[], Awaitable[None]] = _at_once,
    idle_seconds: float = IDLE_SECONDS,
    connection: Callable[..., Connection] = Connection,
) -> AsyncIterator[int]:
    """Serves inside the block, which gets the port. At its end no connection is taken; what is in flight may finish.

    ``finished`` returns when nothing is in flight. aiohttp waits for handlers too, but reads no more of their bodies.
    A connection that sends no complete request head for ``idle_seconds`` is closed.
    """
    await runner.setup()
    try:
        loop, manager = asyncio.get_running_loop(), runner.server
        assert manager is not None  # noqa: S101  set by setup
        try:
            server = await loop.create_server(
                lambda: connection(
                    manager,
                    loop=loop,
                    access_log=None,  # turns it off
                    keepalive_timeout=idle_seconds,
                    max_line_size=LINE_BYTES,
                    max_field_size=LINE_BYTES,
                    max_headers=MOST_HEADERS,
                    auto_decompress=False,  # done where the result is bounded
                ),
                host,
                port,
                backlog=_BACKLOG,
            )
        except OSError as error:
            reason = "the port is taken" if error.errno == errno.EADDRINUSE else error.strerror
            raise OSError(error.errno, f"cannot listen on {host}:{port} ({name}): {reason}") from error
        # With port 0 the system chooses: the log is where one learns which.
        taken: int = server.sockets[0].getsockname()[1]
        log.info("listening", server=name, host=host, port=taken)
        try:
            yield taken
        finally:
            server.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(FINISH_SECONDS):
                    await finished()
    finally:
        await runner.cleanup()
