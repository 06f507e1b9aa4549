"""What can happen to the lines of a watch between the server and the controller.

Each ``Edit`` keeps the order of lines and lets them pass as they come, except where its name says otherwise.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson

from aurora_controller.kube.client import ListResult
from aurora_controller.kube.reflector import INITIAL_EVENTS_END
from tests.faults.rules import Break, Edit, Lines, status

Event: TypeAlias = dict[str, Any]
_END: Final = b""
PADDING_BYTES: Final = 5 * 1024 * 1024


# ---- ends


Last: TypeAlias = Callable[[bytes], Iterator[bytes]]
"""What of a line is still sent; then the answer ends, or breaks by ``Break``."""


def after(count: int, last: Last) -> Edit:
    """Lets ``count`` lines pass; the next is the last."""

    async def edited(lines: Lines) -> AsyncIterator[bytes]:
        left = count
        async for line in lines:
            if left == 0:
                for piece in last(line):
                    yield piece
                return
            left -= 1
            yield line

    return Edit(lines=edited)


def with_nothing(line: bytes) -> Iterator[bytes]:
    return iter(())


def with_error(code: int, reason: str) -> Last:
    return lambda line: iter([line_of({"type": "ERROR", "object": status(code, reason)})])


def with_a_part(line: bytes) -> Iterator[bytes]:
    """The body is complete, as far as HTTP is concerned."""
    yield line[: len(line) // 2]


def with_no_json(line: bytes) -> Iterator[bytes]:
    yield line[: len(line) // 2] + b"\n"


def with_a_reset(line: bytes) -> Iterator[bytes]:
    """Within a chunk."""
    raise Break(line[: len(line) // 2])
    yield line


def for_seconds(seconds: float) -> Edit:
    """Ends cleanly then, whatever has passed."""

    async def edited(lines: Lines) -> AsyncIterator[bytes]:
        upstream = lines.__aiter__()
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    line = await anext(upstream)
            except TimeoutError:
                return
            yield line

    return Edit(lines=edited)


def then_silence(count: int) -> Edit:
    """Nothing more after so many lines and a bookmark, and no end: the other end is gone, and nobody says so."""

    async def edited(lines: Lines) -> AsyncIterator[bytes]:
        left = count
        async for line in lines:
            yield line
            if left == 0:
                yield line_of({"type": "BOOKMARK", "object": orjson.loads(line)["object"]})
                await asyncio.Event().wait()
            left -= 1

    return Edit(lines=edited)


# ---- when


def late(seconds: float) -> Edit:
    """Every line comes so much later than it was sent."""

    async def edited(lines: Lines) -> AsyncIterator[bytes]:
        async with _read_ahead(lines) as queue:
            while True:
                sent, line = await queue.get()
                if line == _END:
                    return
                await asyncio.sleep(max(0.0, sent + seconds - time.monotonic()))
                yield line

    return Edit(lines=edited)


class Gate:
    """Lines pass, or are held back until ``release``: then the last of each object alone, or an end by 410."""

    def __init__(self) -> None:
        self._is_holding = False
        self._is_expired = False
        self._version = 0
        self._released = asyncio.Event()

    def hold(self) -> None:
        self._is_holding = True

    def release(self, version: int, *, is_expired: bool) -> None:
        """Once it has what came of the change that made this version: the server may tell others of it first."""
        self._version, self._is_expired = version, is_expired
        self._released.set()

    @property
    def edit(self) -> Edit:
        return Edit(lines=self._edited)

    async def _edited(self, lines: Lines) -> AsyncIterator[bytes]:
        held: dict[str, bytes] = {}
        async for line in lines:
            if not self._is_holding:
                yield line
                continue
            metadata = orjson.loads(line)["object"]["metadata"]
            held[metadata.get("name", "")] = line
            await self._released.wait()
            if int(metadata["resourceVersion"]) < self._version:
                continue
            self._is_holding = False
            if self._is_expired:
                yield line_of({"type": "ERROR", "object": status(410, "Expired")})
                return
            for last in held.values():
                yield last


@asynccontextmanager
async def _read_ahead(lines: Lines) -> AsyncIterator["asyncio.Queue[tuple[float, bytes]]"]:
    """Lines with the time at which they came, the last of them empty."""
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def read() -> None:
        try:
            async for line in lines:
                queue.put_nowait((time.monotonic(), line))
        finally:
            queue.put_nowait((time.monotonic(), _END))

    reading = asyncio.create_task(read())
    try:
        yield queue
    finally:
        reading.cancel()
        await asyncio.wait([reading])


def replay(state: ListResult, until: asyncio.Event) -> Edit:
    """An old first state, and nothing after it before ``until`` is set."""

    async def edited(lines: Lines) -> AsyncIterator[bytes]:
        for obj in state.items:
            yield line_of({"type": "ADDED", "object": obj})
        kind = {key: state.items[0][key] for key in ("apiVersion", "kind")} if state.items else {}
        metadata = {"resourceVersion": state.resource_version, "annotations": {INITIAL_EVENTS_END: "true"}}
        yield line_of({"type": "BOOKMARK", "object": {**kind, "metadata": metadata}})
        await until.wait()
        async for line in lines:
            yield line

    return Edit(lines=edited, url=lambda url: _resumed(url, state.resource_version))


def _resumed(url: str, version: str) -> str:
    """The watch that follows a state, in place of one that brings it."""
    parts = urlsplit(url)
    query = {key: value for key, value in parse_qsl(parts.query) if key not in _OF_A_STATE}
    return parts._replace(query=urlencode({**query, "resourceVersion": version})).geturl()


_OF_A_STATE: Final = frozenset({"sendInitialEvents", "resourceVersionMatch", "resourceVersion"})


# ---- lines


def each(change: Callable[[Event, bytes], Iterator[bytes]]) -> Edit:
    """What becomes of each event, given as it was sent, too."""

    async def edited(lines: Lines) -> AsyncIterator[bytes]:
        async for line in lines:
            for piece in change(orjson.loads(line), line):
                yield piece

    return Edit(lines=edited)


def twice(event: Event, line: bytes) -> Iterator[bytes]:
    yield line
    yield line


def among_strangers(event: Event, line: bytes) -> Iterator[bytes]:
    """Before each event some that nobody can understand."""
    obj = event["object"]
    yield line_of({"type": "SHELVED", "object": obj})
    yield line_of({"type": "MODIFIED", "object": {**obj, "kind": "Table", "apiVersion": "meta.k8s.io/v1"}})
    yield line_of({"type": "DELETED", "object": {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}})
    yield line_of({"type": "BOOKMARK", "object": {}})
    yield orjson.dumps(["no event"]) + b"\n"
    yield line


def without_bookmarks(event: Event, line: bytes) -> Iterator[bytes]:
    """But for the one that ends a first state."""
    if event["type"] != "BOOKMARK" or is_end_of_state(event):
        yield line


def without_the_end_of_the_state(event: Event, line: bytes) -> Iterator[bytes]:
    if not is_end_of_state(event):
        yield line


def losing_deletions() -> Edit:
    """Half a second after the first was lost the history is said to be gone, which brings a new state."""

    async def edited(lines: Lines) -> AsyncIterator[bytes]:
        async for line in lines:
            if orjson.loads(line)["type"] != "DELETED":
                yield line
                continue
            async for later in for_seconds(0.5).lines(lines):
                if orjson.loads(later)["type"] != "DELETED":
                    yield later
            yield line_of({"type": "ERROR", "object": status(410, "Expired")})
            return

    return Edit(lines=edited)


def with_a_long_line(number: int) -> Edit:
    """Five megabytes of it, in what a controller does not keep."""

    async def edited(lines: Lines) -> AsyncIterator[bytes]:
        left = number
        async for line in lines:
            left -= 1
            if left == 0:
                event = orjson.loads(line)
                event["object"]["metadata"]["managedFields"] = [{"manager": "x" * PADDING_BYTES}]
                yield line_of(event)
            else:
                yield line

    return Edit(lines=edited)


def is_end_of_state(event: Event) -> bool:
    annotations = event["object"]["metadata"].get("annotations") or {}
    return event["type"] == "BOOKMARK" and annotations.get(INITIAL_EVENTS_END) == "true"


def line_of(event: Mapping[str, Any]) -> bytes:
    return orjson.dumps(event) + b"\n"
