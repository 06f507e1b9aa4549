"""Keeps a copy of a collection in step with the server: a consistent first state, then every change, for ever.

The first state comes by WatchList, one stream that tells all objects, says when that is all, and goes on with their
changes. A server that does not offer it is listed by page and watched from there. Either way the very first state is
the most recent one: a restarted process must not see an older state than its predecessor acted on. Later states are
never older than what is known. What ended a watch decides how it goes on:

    it was its time              watch again from the last version
    refused, broken, throttled   the same after a pause, without listing: a thousand lists would hurt the server more
    410 Gone, anything else      a new state, after a pause
    ended at once and empty      a pause first, or it would be opened in a hot loop

Source: client-go, tools/cache/reflector.go, for the cases and the numbers.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final, NoReturn, Protocol

import structlog

from aurora_controller.kube.backoff import Backoff
from aurora_controller.kube.clock import Clock
from aurora_controller.kube.errors import (
    ApiError,
    BadRequest,
    ConnectionFailed,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    StatusError,
    TooLargeResourceVersion,
    TooManyRequests,
)
from aurora_controller.kube.list_watch import Source
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, key_of, malformed_field
from aurora_controller.kube.metrics import WATCH_EVENTS_SKIPPED
from aurora_controller.kube.resource_version import is_at_least
from aurora_controller.kube.watch import WatchBroken, WatchEvent, WatchGarbled, WatchSilent

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"

_PAGE_SIZE = 250
"""Decoding a page is one step of the event loop. 500 Deployments are 5 MB and 55 ms (measured), so half of that."""
_WATCH_SECONDS = (300, 600)
"""Each watch draws its own length, so that a thousand of them do not end together."""
_SHORT_WATCH_SECONDS = 1.0
_BOOKMARK_PATIENCE_SECONDS = 75.0
"""Servers that send bookmarks do so about every minute."""
_QUIET_MARGIN_SECONDS = 30.0
_INITIAL_PATIENCE_SECONDS = 30.0
_INITIAL_LIMIT_SECONDS = 300.0
_ABSENT_SECONDS = 10.0
"""A CRD that is not installed, or a right not granted: looked for no more often."""
_FRUITLESS_WATCHES = 3
"""So many watches in a row that broke without one event: perhaps an event that nobody can read. List instead."""

log = structlog.get_logger(__name__)


class Target(Protocol):
    """The copy that is kept. Within ``put`` and ``remove`` nothing is awaited, so no reader sees half a change."""

    async def replace(self, objects: Sequence[Manifest]) -> None: ...
    def put(self, obj: Manifest) -> None: ...
    def remove(self, obj: Manifest) -> None: ...
    def progressed(self) -> None:
        """The versions seen have moved: after every state, and after events that came together."""
        ...


class Reflector:
    """One collection. ``transform`` changes each object in place before it is kept."""

    def __init__(
        self,
        *,
        kind: Kind,
        source: Source,
        target: Target,
        clock: Clock,
        transform: Callable[[Manifest], None],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._kind = kind
        self._source = source
        self._target = target
        self._clock = clock
        self._transform = transform
        self._jitter = jitter
        self._backoff = Backoff(clock=clock, jitter=jitter)
        self._offers_stream = True
        self._sends_bookmarks = False
        self._version_is_served = False
        self._initial: dict[ObjectKey, Manifest] | None = None
        self._watch_seconds = 0
        self._fruitless = 0
        self.has_synced = False
        self.version = ""
        """Everything up to this version has been seen; empty before the first state."""
        self.problem: ApiError | None = None
        """Why the state cannot be had at present; None while it can."""
        self.last_heard = clock.monotonic()
        """When the server last said anything, in the clock's monotonic time."""

    async def run(self) -> NoReturn:
        """Ends only by cancellation, or by an error that is a bug."""
        while True:
            try:
                await self._sync_and_follow()
            except ApiError as error:
                await self._pause(error)

    async def _sync_and_follow(self) -> NoReturn:
        """A new state and all watches that continue it. Raises what makes another state necessary."""
        if self._offers_stream:
            await self._stream()
        await self._list()
        await self._follow(self._resuming())

    # --- the state

    async def _stream(self) -> None:
        """State and changes by WatchList. Returns when this server must be listed instead."""
        self._initial = {}
        try:
            await self._follow(
                {
                    "sendInitialEvents": "true",
                    "resourceVersionMatch": "NotOlderThan",
                    "resourceVersion": self.version if self._version_is_served else "",
                }
            )
        except _NotStreamed as failure:
            self._fall_back(failure.cause)
        finally:
            self._initial = None

    def _fall_back(self, cause: ApiError) -> None:
        """Raises ``cause`` when listing would not go better."""
        if isinstance(cause, (Gone, TooLargeResourceVersion)):
            self._version_is_served = False
            raise cause
        if isinstance(cause, (ConnectionFailed, TooManyRequests, NotFound, Forbidden)):
            raise cause
        # Refused as nonsense, or the end of the initial events never came: asking again would cost that much again.
        if isinstance(cause, (Invalid, BadRequest, WatchSilent)):
            self._offers_stream = False
        log.info("no streamed list, listing by page", kind=self._kind.kind, cause=str(cause))

    async def _list(self) -> None:
        version = self.version if self._version_is_served else ""
        try:
            objects, version = await self._pages(version)
        except (Gone, TooLargeResourceVersion):
            if version == "":
                raise
            objects, version = await self._pages("")
        await self._replace(objects, version)

    async def _pages(self, version: str) -> tuple[list[Manifest], str]:
        # With a version, a limit would make the server pass by its watch cache.
        if version:
            return await self._all_pages({"resourceVersion": version})
        try:
            return await self._all_pages({"limit": str(_PAGE_SIZE)})
        except Gone:
            # The next page's token has expired. One whole list instead: never a mixture of two moments.
            return await self._all_pages({})

    async def _all_pages(self, params: Mapping[str, str]) -> tuple[list[Manifest], str]:
        objects: list[Manifest] = []
        while True:
            page = await self._source.page(params)
            self.last_heard = self._clock.monotonic()
            for obj in page.items:
                if self._is_whole(obj):
                    self._transform(obj)
                    objects.append(obj)
            if not page.continue_token:
                return objects, page.resource_version
            params = {"limit": str(_PAGE_SIZE), "continue": page.continue_token}
            await asyncio.sleep(0)

    async def _replace(self, objects: Sequence[Manifest], version: str) -> None:
        await self._target.replace(objects)
        # Not earlier: it says that the copy holds everything up to it.
        self.version = version
        self._version_is_served = True
        self.has_synced = True
        self.problem = None
        log.debug("state fetched", kind=self._kind.kind, objects=len(objects), resource_version=version)
        self._target.progressed()

    # --- the changes

    async def _follow(self, params: Mapping[str, str]) -> NoReturn:
        while True:
            try:
                await self._receive(params)
                if self._initial is not None:
                    raise _NotStreamed(WatchBroken("the stream ended before its state was complete"))
            except ApiError as error:
                if isinstance(error, WatchGarbled):
                    self._skip("not JSON")
                if self._initial is not None:
                    raise _NotStreamed(error) from error
                await self._recover(error)
            params = self._resuming()

    def _resuming(self) -> Mapping[str, str]:
        return {"resourceVersion": self.version}

    async def _receive(self, params: Mapping[str, str]) -> None:
        """One watch to its end. Raises what broke it."""
        began = self._clock.monotonic()
        shortest, longest = _WATCH_SECONDS
        self._watch_seconds = shortest + round((longest - shortest) * self._jitter())
        params = {**params, "allowWatchBookmarks": "true", "timeoutSeconds": str(self._watch_seconds)}
        is_fruitless = True
        try:
            async with aclosing(self._source.watch(params, patience=lambda: self._patience(began))) as batches:
                async for events in batches:
                    is_fruitless = False
                    self.last_heard = self._clock.monotonic()
                    for event in events:
                        await self._take(event)
                    self._target.progressed()
                    # Bytes that are here already are read without a pause: let others have their turn.
                    await asyncio.sleep(0)
        finally:
            self._fruitless = self._fruitless + 1 if is_fruitless else 0
        self.last_heard = self._clock.monotonic()
        if is_fruitless and self.last_heard - began < _SHORT_WATCH_SECONDS:
            raise _EndedAtOnce("the watch ended at once and empty")
        self._fruitless = 0

    def _patience(self, began: float) -> float:
        if self._initial is not None:
            left = began + _INITIAL_LIMIT_SECONDS - self._clock.monotonic()
            return max(0.0, min(_INITIAL_PATIENCE_SECONDS, left))
        return _BOOKMARK_PATIENCE_SECONDS if self._sends_bookmarks else self._watch_seconds + _QUIET_MARGIN_SECONDS

    async def _take(self, event: WatchEvent) -> None:
        if event.type == "BOOKMARK":
            await self._take_bookmark(event.object)
        elif event.type not in {"ADDED", "MODIFIED", "DELETED"}:
            self._skip("unknown type", type=event.type)
        elif self._is_whole(event.object):
            self._take_change(event.type, event.object)

    async def _take_bookmark(self, obj: Any) -> None:
        metadata = obj.get("metadata") if isinstance(obj, dict) else None
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if not isinstance(metadata, dict) or not isinstance(version, str) or not version:
            self._skip("bookmark without a version")
        elif self._initial is None:
            self._sends_bookmarks = True
            self._advance(version)
        elif _ends_initial(metadata):
            objects, self._initial = list(self._initial.values()), None
            await self._replace(objects, version)

    def _take_change(self, change: str, obj: Manifest) -> None:
        self._transform(obj)
        if self._initial is not None:
            # These are not in the order of their versions: only the bookmark at their end has one to go on from.
            if change == "DELETED":
                self._initial.pop(key_of(obj), None)
            else:
                self._initial[key_of(obj)] = obj
            return
        if change == "DELETED":
            self._target.remove(obj)
        else:
            self._target.put(obj)
        self._advance(obj["metadata"]["resourceVersion"])

    def _advance(self, version: str) -> None:
        if is_at_least(self.version, version) is not True:
            self.version = version

    def _is_whole(self, obj: Any) -> bool:
        """Whether this is an object of our kind; what is not is counted, logged and left out."""
        metadata = obj.get("metadata") if isinstance(obj, dict) else None
        if not isinstance(metadata, dict):
            self._skip("no metadata")
            return False
        if obj.get("kind") != self._kind.kind or obj.get("apiVersion") != self._kind.api_version:
            self._skip("another kind", apiVersion=obj.get("apiVersion"), objectKind=obj.get("kind"))
            return False
        field = malformed_field(metadata)
        if field is not None:
            self._skip("malformed metadata", field=field)
            return False
        return True

    def _skip(self, why: str, **details: Any) -> None:
        WATCH_EVENTS_SKIPPED.labels(kind=self._kind.kind, why=why).inc()
        log.warning("event skipped", kind=self._kind.kind, why=why, **details)

    # --- what went wrong

    async def _recover(self, error: ApiError) -> None:
        """Returns when the watch may go on from the last version, raises when a new state is needed."""
        match error:
            case WatchSilent():
                log.info("watch was silent, opened again", kind=self._kind.kind, error=str(error))
            case WatchBroken() if self._fruitless == 0:
                log.debug("watch broke, opened again", kind=self._kind.kind, error=str(error))
            case WatchBroken() | _EndedAtOnce() if self._fruitless >= _FRUITLESS_WATCHES:
                self._fruitless = 0
                raise error
            case ConnectionFailed() | TooManyRequests() | WatchBroken() | _EndedAtOnce():
                await self._pause(error)
            case _:
                raise error

    async def _pause(self, error: ApiError) -> None:
        seconds = self._backoff.next_seconds()
        if isinstance(error, (NotFound, Forbidden)):
            self.problem = error
            seconds = max(seconds, _ABSENT_SECONDS)
        if isinstance(error, StatusError) and error.retry_after_seconds is not None:
            seconds = max(seconds, error.retry_after_seconds)
        level = log.info if isinstance(error, Gone) else log.warning
        level("watching interrupted", kind=self._kind.kind, error=str(error), retry_after_seconds=round(seconds, 3))
        await self._clock.sleep(seconds)


def _ends_initial(metadata: Mapping[str, Any]) -> bool:
    annotations = metadata.get("annotations")
    return isinstance(annotations, dict) and annotations.get(INITIAL_EVENTS_END) == "true"


class _EndedAtOnce(ApiError):
    """A watch that the server ended within a second, without an event."""


class _NotStreamed(Exception):
    """The state did not come by stream, because of ``cause``."""

    def __init__(self, cause: ApiError) -> None:
        super().__init__(str(cause))
        self.cause = cause
