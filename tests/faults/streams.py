"""What can happen to the lines of a watch between the server and the controller.

Each ``Edit`` keeps the order of lines and lets them pass as they come, except where its name says otherwise.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import orjson

from aurora_controller.kube.reflector import INITIAL_EVENTS_END
from tests.faults.rules import Break, Edit, Lines, status

Event: TypeAlias = dict[str, Any]
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
