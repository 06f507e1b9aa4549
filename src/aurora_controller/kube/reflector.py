"""Keeps a store in step with the server: a consistent first state, then every change, for ever.

A first state comes by WatchList, one stream that tells all objects and goes on with their changes; where the server
does not serve it, by paged LIST and a watch from there. Both begin at the most recent version (a quorum read): a
restarted process must not see an older state than its predecessor acted on. After 410 Gone, in either of its forms,
the state is fetched anew. A stream that ends at once and empty counts as a failure, or it would be re-opened in a hot
loop.
Source: client-go, tools/cache/reflector.go, for the cases and the numbers.
"""

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, Protocol

import structlog

from aurora_controller.kube.client import ListResult
from aurora_controller.kube.clock import Clock
from aurora_controller.kube.errors import (
    ApiError,
    ConnectionFailed,
    Gone,
    NotFound,
    StatusError,
    TooManyRequests,
    UnexpectedResponse,
)
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, key_of
from aurora_controller.kube.rest import RestClient
from aurora_controller.kube.store import ObjectStore
from aurora_controller.kube.watch import WatchEvent, watch_events

INITIAL_EVENTS_END: Final = "k8s.io/initial-events-end"
FIRST_DELAY_SECONDS: Final = 0.8
LONGEST_DELAY_SECONDS: Final = 30.0
CALM_SECONDS: Final = 120.0
"""A reflector that had no trouble for so long begins its delays anew."""
ABSENT_SECONDS: Final = 10.0
"""How often a kind is looked for that is not served."""
SHORT_WATCH_SECONDS: Final = 1.0
INACTIVITY_SECONDS: Final = 75.0
"""Bookmarks come about every minute; without any, the server itself ends a watch after its timeout."""
QUIET_MARGIN_SECONDS: Final = 30.0
WATCH_SECONDS: Final = (300, 600)

log = structlog.get_logger(__name__)


class Lister(Protocol):
    async def list(self, kind: Kind, namespace: str | None = None, label_selector: str = "") -> ListResult: ...


class Sink(Protocol):
    """Told of each change after the store has it."""

    def __call__(self, old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None: ...


class Reflector:
    """One kind in one namespace (None: all), under one label selector."""

    def __init__(
        self,
        *,
        kind: Kind,
        namespace: str | None,
        label_selector: str,
        rest: RestClient,
        lister: Lister,
        store: ObjectStore,
        on_change: Sink,
        on_progress: Callable[[], None],
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._kind = kind
        self._namespace = namespace
        self._selector = label_selector
        self._rest = rest
        self._lister = lister
        self._store = store
        self._on_change = on_change
        self._on_progress = on_progress
        self._clock = clock
        self._jitter = jitter
        self._can_watch_list = True
        self._saw_bookmark = False
        self._delay = FIRST_DELAY_SECONDS
        self.has_synced = False
        self.last_heard = clock.monotonic()
        """When the server last said anything."""

    async def run(self) -> None:
        """Never returns."""
        while True:
            began = self._clock.monotonic()
            try:
                await self._follow()
            except ApiError as error:
                await self._pause(error, began)

    async def _follow(self) -> None:
        """From what is known, or from nothing, until something breaks or the watch is over."""
        if self._store.resource_version == "":
            if self._can_watch_list and await self._watch_list():
                return
            await self._list()
        await self._watch()

    async def _list(self) -> None:
        result = await self._lister.list(self._kind, self._namespace, self._selector)
        self._replace({key_of(item): item for item in result.items}, result.resource_version)

    def _replace(self, objects: dict[ObjectKey, Manifest], resource_version: str) -> None:
        """The whole state at once: what is not in it is gone."""
        is_first = not self.has_synced
        for key in [key for key in self._store.items() if key not in objects]:
            self._on_change(self._store.remove(key), None, is_initial=False)
        for key, obj in objects.items():
            known = self._store.get(key)
            if known is not None and _version_of(known) == _version_of(obj):
                continue
            self._on_change(self._store.put(obj), obj, is_initial=is_first)
        self._store.resource_version = resource_version
        self.has_synced = True
        self._heard()

    async def _watch_list(self) -> bool:
        """The state and its changes by one stream. False when this server does not serve that."""
        params = self._params() | {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        async with aclosing(self._events(params, INACTIVITY_SECONDS)) as events:
            try:
                await self._fetch(events)
            except (Gone, NotFound, TooManyRequests):
                raise
            except (StatusError, UnexpectedResponse) as error:
                log.info("the server does not stream lists", kind=self._kind.kind, error=str(error))
                self._can_watch_list = False
                return False
            async for event in events:
                self._take(event)
        return True

    async def _fetch(self, events: AsyncGenerator[WatchEvent]) -> None:
        """Collects the state aside and swaps it in when the server says that it is complete."""
        fetched: dict[ObjectKey, Manifest] = {}
        async for event in events:
            match event.type:
                case "BOOKMARK" if _is_initial_end(event):
                    self._replace(fetched, _version_of(event.object))
                    return
                case "ADDED" | "MODIFIED":
                    fetched[key_of(event.object)] = event.object
                case "DELETED":
                    fetched.pop(key_of(event.object), None)
        raise ConnectionFailed("the stream ended before the state was complete")

    async def _watch(self) -> None:
        began, count = self._clock.monotonic(), 0
        params = self._params() | {"resourceVersion": self._store.resource_version}
        quiet = INACTIVITY_SECONDS if self._saw_bookmark else float(params["timeoutSeconds"]) + QUIET_MARGIN_SECONDS
        async with aclosing(self._events(params, quiet)) as events:
            async for event in events:
                count += 1
                self._take(event)
        if count == 0 and self._clock.monotonic() - began < SHORT_WATCH_SECONDS:
            raise ConnectionFailed("the watch ended at once and empty")

    def _events(self, params: dict[str, str], inactivity_seconds: float) -> AsyncGenerator[WatchEvent]:
        path = self._kind.path(self._namespace)
        return watch_events(self._rest, path, params=params, inactivity_seconds=inactivity_seconds, clock=self._clock)

    def _params(self) -> dict[str, str]:
        shortest, longest = WATCH_SECONDS
        seconds = shortest + int((longest - shortest) * self._jitter())
        params = {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
        return params | ({"labelSelector": self._selector} if self._selector else {})

    def _take(self, event: WatchEvent) -> None:
        """Store, then handlers, with nothing awaited between: readers never see half of it."""
        version = _version_of(event.object)
        if not version or event.type not in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"):
            log.warning("event is skipped", kind=self._kind.kind, type=event.type)
            return
        self._store.resource_version = version
        if event.type == "BOOKMARK":
            self._saw_bookmark = True
        elif event.type == "DELETED":
            known = self._store.remove(key_of(event.object))
            self._on_change(known or event.object, None, is_initial=False)
        else:
            self._on_change(self._store.put(event.object), event.object, is_initial=False)
        self._heard()

    def _heard(self) -> None:
        self.last_heard = self._clock.monotonic()
        self._on_progress()

    async def _pause(self, error: ApiError, began: float) -> None:
        """Decides what is still known after an error, and how long to wait before going on."""
        if isinstance(error, Gone):
            log.info("watching starts anew", kind=self._kind.kind, error=str(error))
            self._store.resource_version = ""
            return
        if not isinstance(error, (TooManyRequests, ConnectionFailed)):
            self._store.resource_version = ""
        if self._clock.monotonic() - began > CALM_SECONDS:
            self._delay = FIRST_DELAY_SECONDS
        delay = self._delay * (1 + self._jitter())
        self._delay = min(2 * self._delay, LONGEST_DELAY_SECONDS)
        if isinstance(error, NotFound):
            delay = ABSENT_SECONDS
        log.warning("cannot watch", kind=self._kind.kind, namespace=self._namespace, error=str(error), delay=delay)
        await self._clock.sleep(delay)


def _version_of(obj: Manifest) -> str:
    version: str = (obj.get("metadata") or {}).get("resourceVersion", "")
    return version


def _is_initial_end(event: WatchEvent) -> bool:
    annotations = event.object["metadata"].get("annotations") or {}
    return annotations.get(INITIAL_EVENTS_END) == "true"
