"""One watch: a response that goes on for minutes, one JSON object a line.

What the HTTP library gives is not used for lines, because its limit on their length ends streams that a large object
is part of. Silence is measured here too: a connection whose other end is gone looks like one where nothing happens.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.errors import ApiError, UnexpectedResponse, error_of
from aurora_controller.kube.rest import CONNECTION_ERRORS, RestClient

_MAX_LINE_BYTES = 64 * 1024 * 1024
"""Far beyond what etcd stores; a longer line is not an object."""
_OPEN_SECONDS = 30.0
_DECODED_AT_ONCE = 16
"""Lines of one chunk: a dozen watches that bring their first states at once must not add up to one long turn."""

ERROR = "ERROR"


class WatchBroken(ApiError):
    """The connection broke, or its last line is incomplete: what came before it is good."""


class WatchGarbled(WatchBroken):
    """A whole line is not JSON; what came before it is good, and the event can be had again."""


class WatchSilent(ApiError):
    """Not even a bookmark came for too long: the other end may be gone."""


class WatchUnreadable(ApiError):
    """A line without end: the stream cannot be continued."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """``type`` is ADDED, MODIFIED, DELETED, BOOKMARK or something newer; ``object`` may be anything at all."""

    type: str
    object: Any


async def watch(
    rest: RestClient, path: str, *, params: Mapping[str, str], patience: Callable[[], float], clock: Clock
) -> AsyncGenerator[list[WatchEvent]]:
    """Events as they come, those that arrived together in lists of at most 16, until the server ends the stream.

    ``patience`` is asked before each wait how many seconds of silence to bear. An ERROR event is raised as the
    StatusError it carries, after the events before it. Close it with ``aclosing``.
    """
    lines = LineBuffer()
    async with (
        rest.stream(path, params={**params, "watch": "true"}, timeout_seconds=_OPEN_SECONDS) as response,
        aclosing(_chunks(response, patience, clock)) as chunks,
    ):
        if response.content_type != "application/json":
            raise UnexpectedResponse(f"a watch of type {response.content_type}", code=response.status)
        async for chunk in chunks:
            whole = lines.feed(chunk)
            for start in range(0, len(whole), _DECODED_AT_ONCE):
                events: list[WatchEvent] = []
                failure = _decode_into(events, whole[start : start + _DECODED_AT_ONCE])
                if events:
                    yield events
                if failure is not None:
                    raise failure
    if lines.partial:
        raise WatchBroken(f"ended within a line of {len(lines.partial)} bytes")


class LineBuffer:
    """Splits a stream of chunks into lines, looking at each byte once however long a line is."""

    def __init__(self, *, max_line_bytes: int = _MAX_LINE_BYTES) -> None:
        self.partial = bytearray()
        self._max_line_bytes = max_line_bytes

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that ``chunk`` completes. Raises WatchUnreadable beyond the limit."""
        head, newline, rest = chunk.partition(b"\n")
        self.partial += head
        if len(self.partial) > self._max_line_bytes:
            raise WatchUnreadable(f"a line longer than {self._max_line_bytes} bytes")
        if not newline:
            return []
        *whole, tail = rest.split(b"\n")
        lines = [bytes(self.partial), *whole]
        self.partial = bytearray(tail)
        return [line for line in lines if line]


async def _chunks(
    response: aiohttp.ClientResponse, patience: Callable[[], float], clock: Clock
) -> AsyncGenerator[bytes]:
    """The body as it arrives, with everything that sockets can raise turned into ours."""
    while True:
        seconds = patience()
        try:
            async with clock.timeout(seconds):
                chunk = await response.content.readany()
        except TimeoutError as error:
            raise WatchSilent(f"nothing came for {seconds:g} s") from error
        except asyncio.CancelledError:
            raise
        # RuntimeError: what aiohttp says when the connection was closed between two reads, as at a shutdown.
        except (*CONNECTION_ERRORS, RuntimeError) as error:
            raise WatchBroken(f"{type(error).__name__}: {error}") from error
        if not chunk:
            return
        yield chunk


def _decode_into(events: list[WatchEvent], lines: list[bytes]) -> ApiError | None:
    """Appends what can be read; what ends the stream, if one of the lines does."""
    for line in lines:
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            return WatchGarbled(f"a line that is not JSON: {error}")
        if not isinstance(value, dict):
            events.append(WatchEvent("", value))
            continue
        kind, obj = value.get("type"), value.get("object")
        if kind == ERROR:
            return error_of(obj if isinstance(obj, dict) else {})
        events.append(WatchEvent(str(kind), obj))
    return None
