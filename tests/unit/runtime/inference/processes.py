"""A server in a process of its own, and what it has said."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aurora_runtime.inference import program
from tests.unit.runtime.inference.models import MODEL

LIMIT_SECONDS = 60
SOURCES = str(Path(program.__file__).parents[2])


@dataclass(kw_only=True)
class Server:
    """A process and what it has logged so far."""

    process: Process
    log: list[dict[str, Any]] = field(default_factory=list)

    async def logged(self, event: str) -> dict[str, Any]:
        """The first line with this event; waits for it."""
        for line in self.log:
            if line["event"] == event:
                return line
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            async for text in self.process.stderr:
                self.log.append(json.loads(text))
                if self.log[-1]["event"] == event:
                    return self.log[-1]
        raise AssertionError(f"the server never logged {event!r}, but {self.log}")

    async def port(self, server: str) -> int:
        """The port that the system chose for the server called so."""
        await self.logged("fetching")
        return next(int(line["port"]) for line in self.log if line.get("server") == server)

    async def exit_code(self) -> int:
        """Waits for the end; the whole log is there then."""
        assert self.process.stderr is not None
        async with asyncio.timeout(LIMIT_SECONDS):
            self.log += [json.loads(text) async for text in self.process.stderr]
            return await self.process.wait()


@asynccontextmanager
async def a_process(root: Path, *flags: str, search_first: Path | None = None) -> AsyncIterator[Server]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "aurora_runtime.inference", "--store", str(root), "--model", MODEL),
        *("--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", *flags),
        stderr=PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in (search_first, SOURCES) if path)},
    )
    try:
        yield Server(process=process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def closed(writer: asyncio.StreamWriter) -> None:
    """Ends a connection, whatever the other side did to it."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
