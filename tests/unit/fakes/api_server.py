"""A kube-apiserver on loopback: real HTTP, real versions, conflicts and watches, and failures on demand.

    async with FakeAPIServer(CONFIG_MAP, JOB) as server:
        rest = RestClient(StaticConfig(server.url))

What it does with objects is in ``api_objects.py``; ``tests/shared/api_server_conformance.py`` holds it, and a real
server, to the same promises. Time does nothing here unless a watch says how long it may last: else bookmarks come,
watches end and history is forgotten when a test says so.
"""

import asyncio
import base64
import copy
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import orjson
from aiohttp import web

from aurora_controller.kube.clock import Clock, SystemClock
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, key_of
from tests.unit.fakes.api_faults import Abort, Answer, Behaviour, LoseAnswer, Received, Rule, Stream
from tests.unit.fakes.api_objects import ApiObjects, Change, Refused, selects

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
_LAST_BOOKMARK_SECONDS = 2.0
"""Before its end, a watch is told where the next one can begin."""


class FakeAPIServer:
    """Serves ``kinds``; others are 404 until they are installed. ``offers_watch_list`` is a feature gate."""

    def __init__(
        self,
        *kinds: Kind,
        clock: Clock | None = None,
        offers_watch_list: bool = True,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self.objects = ApiObjects(clock=self._clock)
        self.offers_watch_list = offers_watch_list
        self.received: list[Received] = []
        self._ssl_context = ssl_context
        self._kinds = set(kinds)
        self._rules: list[Rule] = []
        self._watches: set[_Watch] = set()
        self._pages: dict[str, list[Manifest]] = {}
        self._runner = web.AppRunner(self._app(), shutdown_timeout=0.1, access_log=None)
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._ssl_context)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"{'https' if self._ssl_context else 'http'}://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end_watches()
        await self._runner.cleanup()

    # --- what a test does to it

    def install(self, kind: Kind) -> None:
        self._kinds.add(kind)

    def uninstall(self, kind: Kind) -> None:
        self._kinds.discard(kind)
        self.end_watches()

    def fail(
        self,
        behaviour: Behaviour,
        *,
        verb: str | None = None,
        plural: str | None = None,
        name: str | None = None,
        subresource: str | None = None,
        times: int | None = 1,
    ) -> None:
        """The next ``times`` requests that match (None: all of them) meet this behaviour. Earlier rules go first."""

        def matches(received: Received) -> bool:
            wanted = {"verb": verb, "plural": plural, "name": name, "subresource": subresource}
            return all(value is None or getattr(received, key) == value for key, value in wanted.items())

        self._rules.append(Rule(matches, behaviour, times))

    def forgive(self) -> None:
        """Forgets all rules."""
        self._rules.clear()

    def put(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Creates the object, or changes it to this as somebody else's write would, status included."""
        key = key_of(manifest)
        if self.objects.find(kind, key) is None:
            self.objects.create(kind, manifest, manager="test")
        self.objects.merge_patch(kind, key, manifest, manager="test", subresource="")
        return self.objects.merge_patch(kind, key, manifest, manager="test", subresource="status")

    def end_watches(self) -> None:
        """As servers do when a watch has lasted long enough."""
        for watch in self._watches:
            watch.events.put_nowait(None)

    def send_bookmarks(self) -> None:
        """To those who asked for them."""
        for watch in self._watches:
            watch.bookmark(self.objects.version)

    def send_to_watches(self, event: Manifest) -> None:
        """Any event, however malformed."""
        for watch in self._watches:
            watch.events.put_nowait(event)

    @property
    def open_watches(self) -> int:
        return len(self._watches)

    def count(self, verb: str, plural: str | None = None) -> int:
        """Requests of this verb so far."""
        return sum(one.verb == verb and plural in {None, one.plural} for one in self.received)

    # --- HTTP

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received, kind = await self._receive(request)
        self.received.append(received)
        rule = next((rule for rule in self._rules if rule.times != 0 and rule.matches(received)), None)
        if rule is not None:
            if rule.times is not None:
                rule.times -= 1
            if not isinstance(rule.behaviour, LoseAnswer):
                return await self._misbehave(request, rule.behaviour)
        try:
            if kind is None:
                raise Refused(404, "NotFound", "the server could not find the requested resource")
            if received.is_watch:
                return await self._watch(request, kind, received)
            response = self._answer(kind, received)
        except Refused as refused:
            response = _json(refused.status, refused.status["code"], _retry_after(refused))
        if rule is not None:
            _cut(request)
        return response

    async def _misbehave(self, request: web.Request, behaviour: Behaviour) -> web.StreamResponse:
        match behaviour:
            case Answer(code=code, body=body, headers=headers, content_type=content_type):
                data = body if isinstance(body, bytes) else orjson.dumps(body)
                return web.Response(status=code, body=data, headers=headers, content_type=content_type)
            case Stream(chunks=chunks, ending=ending, content_type=content_type):
                async with _streaming(request, content_type) as response:
                    for chunk in chunks:
                        await response.write(chunk)
                    if ending == "abort":
                        _cut(request)
                    if ending == "silence":
                        await asyncio.Event().wait()
                return response
            case Abort() | LoseAnswer():
                _cut(request)
                return web.Response()

    async def _receive(self, request: web.Request) -> tuple[Received, Kind | None]:
        parts = request.path.strip("/").split("/")
        group_version, rest = ("", parts[1]), parts[2:]
        if parts[0] == "apis":
            group_version, rest = (parts[1], parts[2]), parts[3:]
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = (*rest, "", "")[:3]
        kind = next(
            (one for one in self._kinds if (one.group, one.version) == group_version and one.plural == plural), None
        )
        received = Received(
            request.method, plural, namespace, name, subresource, request.query, request.headers, await request.read()
        )
        return received, kind

    def _answer(self, kind: Kind, received: Received) -> web.Response:
        key = ObjectKey(received.namespace, received.name)
        manager = received.query.get("fieldManager") or received.headers.get("User-Agent", "").partition("/")[0]
        body: Manifest = orjson.loads(received.body) if received.body else {}
        match received.verb:
            case "list":
                return _json(self._list(kind, received))
            case "get":
                return _json(self.objects.get(kind, key))
            case "create":
                _check_place(body, received)
                return _json(self.objects.create(kind, body, manager=manager), 201)
            case "update":
                _check_place(body, received)
                subresource = received.subresource
                return _json(self.objects.replace(kind, key, body, manager=manager, subresource=subresource))
            case "delete":
                return _json(self._delete(kind, key, body))
            case _:
                return self._patch(kind, key, received, body, manager)

    def _patch(self, kind: Kind, key: ObjectKey, received: Received, body: Manifest, manager: str) -> web.Response:
        subresource = received.subresource
        content_type = received.headers.get("Content-Type", "")
        if content_type == "application/merge-patch+json":
            return _json(self.objects.merge_patch(kind, key, body, manager=manager, subresource=subresource))
        if content_type != "application/apply-patch+yaml":
            raise Refused(
                415, "UnsupportedMediaType", f"the body of the request was in an unknown format {content_type}"
            )
        if not received.query.get("fieldManager"):
            raise Refused(400, "BadRequest", "fieldManager is required for apply patch")
        _check_place(body, received)
        is_new = self.objects.find(kind, key) is None
        force = received.query.get("force") == "true"
        applied = self.objects.apply(kind, key, body, manager=manager, force=force, subresource=subresource)
        return _json(applied, 201 if is_new else 200)

    def _delete(self, kind: Kind, key: ObjectKey, options: Manifest) -> Manifest:
        preconditions = options.get("preconditions") or {}
        live = self.objects.get(kind, key)
        uid, version = preconditions.get("uid", ""), preconditions.get("resourceVersion", "")
        held = self.objects.delete(kind, key, uid=uid, version=version)
        if held is not None:
            return held
        details = {"name": key.name, "kind": kind.plural, "group": kind.group, "uid": live["metadata"]["uid"]}
        return {"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success", "details": details}

    # --- lists

    def _list(self, kind: Kind, received: Received) -> Manifest:
        query = received.query
        self._check_reachable(query.get("resourceVersion", ""))
        if token := query.get("continue"):
            if (version := orjson.loads(base64.urlsafe_b64decode(f"{token}=="))["rv"]) < self.objects.oldest:
                raise Refused(410, "Expired", "The provided continue parameter is too old")
            items = self._pages[token]
        else:
            version = self.objects.version
            items = self.objects.listed(kind, received.namespace, query.get("labelSelector", ""))
        limit = int(query.get("limit") or 0) or len(items)
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if items[limit:]:
            start = {"v": "meta.k8s.io/v1", "rv": version, "start": f"{key_of(items[limit - 1]).name}\0"}
            next_token = base64.urlsafe_b64encode(orjson.dumps(start)).decode().rstrip("=")
            self._pages[next_token] = items[limit:]
            metadata |= {"continue": next_token, "remainingItemCount": len(items) - limit}
        if kind.group in {"", "apps", "batch"}:
            # Items of built-in kinds do not say what they are.
            items = [{name: value for name, value in item.items() if name not in _TYPE} for item in items]
        return {
            "apiVersion": kind.api_version,
            "kind": f"{kind.kind}List",
            "metadata": metadata,
            "items": items[:limit],
        }

    def _check_reachable(self, version: str) -> None:
        if version.isdecimal() and int(version) > self.objects.version:
            cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
            message = f"Too large resource version: {version}, current: {self.objects.version}"
            raise Refused(504, "Timeout", message, [cause])

    # --- watches

    async def _watch(self, request: web.Request, kind: Kind, received: Received) -> web.StreamResponse:
        query = received.query
        sends_initial = query.get("sendInitialEvents") == "true"
        if sends_initial and not (self.offers_watch_list and query.get("resourceVersionMatch") == "NotOlderThan"):
            raise Refused(422, "Invalid", "sendInitialEvents: Forbidden: is forbidden for watch")
        self._check_reachable(query.get("resourceVersion", ""))
        wants_bookmarks = query.get("allowWatchBookmarks") in {"true", "1"}
        selector = query.get("labelSelector", "")
        watch = _Watch(kind, received.namespace, selector, wants_bookmarks=wants_bookmarks)
        since = query.get("resourceVersion", "")
        if sends_initial or since in {"", "0"}:
            for obj in self.objects.listed(kind, received.namespace, watch.selector):
                watch.events.put_nowait({"type": "ADDED", "object": obj})
            if sends_initial:
                watch.events.put_nowait(_bookmark(kind, self.objects.version, {INITIAL_EVENTS_END: "true"}))
        elif int(since) < self.objects.oldest:
            gone = Refused(410, "Expired", f"too old resource version: {since} ({self.objects.oldest})")
            watch.events.put_nowait({"type": "ERROR", "object": gone.status})
            watch.events.put_nowait(None)
        else:
            for change in self.objects.history:
                if change.version > int(since):
                    watch.take(change)
        lasts_seconds = float(query["timeoutSeconds"]) if "timeoutSeconds" in query else None
        return await self._serve(request, watch, lasts_seconds)

    async def _serve(self, request: web.Request, watch: "_Watch", lasts_seconds: float | None) -> web.StreamResponse:
        # Subscribed before anything is awaited: no change falls between what was queued and what is to come.
        self.objects.subscribers.append(watch.take)
        self._watches.add(watch)
        ending = asyncio.create_task(self._end_after(lasts_seconds, watch)) if lasts_seconds is not None else None
        try:
            async with _streaming(request, "application/json") as response:
                while (event := await watch.events.get()) is not None:
                    await response.write(orjson.dumps(event) + b"\n")
            return response
        finally:
            if ending is not None:
                ending.cancel()
            self._watches.discard(watch)
            self.objects.subscribers.remove(watch.take)

    async def _end_after(self, seconds: float, watch: "_Watch") -> None:
        await self._clock.sleep(seconds - _LAST_BOOKMARK_SECONDS)
        watch.bookmark(self.objects.version)
        await self._clock.sleep(_LAST_BOOKMARK_SECONDS)
        watch.events.put_nowait(None)


_TYPE = frozenset({"apiVersion", "kind"})


class _Watch:
    """One open watch: what it shall see, and what waits to be sent; None ends it."""

    def __init__(self, kind: Kind, namespace: str, selector: str, *, wants_bookmarks: bool) -> None:
        self.kind = kind
        self.selector = selector
        self.events: asyncio.Queue[Manifest | None] = asyncio.Queue()
        self._namespace = namespace
        self._wants_bookmarks = wants_bookmarks

    def bookmark(self, version: int) -> None:
        if self._wants_bookmarks:
            self.events.put_nowait(_bookmark(self.kind, version))

    def take(self, change: Change) -> None:
        if change.kind != self.kind:
            return
        if self._namespace and change.object["metadata"].get("namespace") != self._namespace:
            return
        # An object that enters or leaves the selector appears or vanishes, as far as this watch is concerned.
        was_in = change.before is not None and selects(self.selector, change.before)
        is_in = change.type != "DELETED" and selects(self.selector, change.object)
        if was_in or is_in:
            kind = "MODIFIED" if was_in and is_in else "ADDED" if is_in else "DELETED"
            self.events.put_nowait({"type": kind, "object": copy.deepcopy(change.object)})


def _bookmark(kind: Kind, version: int, annotations: Mapping[str, str] | None = None) -> Manifest:
    metadata: dict[str, Any] = {"resourceVersion": str(version), "creationTimestamp": None}
    if annotations:
        metadata["annotations"] = dict(annotations)
    obj = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return {"type": "BOOKMARK", "object": obj}


@asynccontextmanager
async def _streaming(request: web.Request, content_type: str) -> AsyncIterator[web.StreamResponse]:
    response = web.StreamResponse(headers={"Content-Type": content_type})
    response.enable_chunked_encoding()
    await response.prepare(request)
    yield response
    await response.write_eof()


def _cut(request: web.Request) -> None:
    """Breaks the connection without a goodbye."""
    if request.transport is not None:
        request.transport.abort()


def _check_place(manifest: Manifest, received: Received) -> None:
    metadata = manifest.get("metadata") or {}
    if not metadata.get("name"):
        raise Refused(422, "Invalid", "metadata.name: Required value: name or generateName is required")
    if received.name and metadata["name"] != received.name:
        raise Refused(400, "BadRequest", "the name of the object does not match the name on the URL")
    if metadata.setdefault("namespace", received.namespace) != received.namespace:
        raise Refused(400, "BadRequest", "the namespace of the provided object does not match the namespace sent")
    if not received.namespace:
        del metadata["namespace"]


def _retry_after(refused: Refused) -> Mapping[str, str]:
    return {"Retry-After": "1"} if refused.status["code"] == 504 else {}


def _json(value: Manifest, code: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=code, body=orjson.dumps(value), content_type="application/json", headers=headers)
