"""Read your own writes: a request is reconciled again only when the cache has seen what it wrote.

Without this, a reconcile right after a write would decide on the state before it, and create twice.
"""

import asyncio
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, key_of, uid_of
from aurora_controller.kube.reconcile import Request
from aurora_controller.kube.resource_version import is_at_least

PATIENCE_SECONDS: Final = 10.0
"""A write that the cache does not watch never comes back; a reconcile on an old view ends in a conflict at worst."""

log = structlog.get_logger(__name__)


class SeenObjects(Protocol):
    """What the caches know of one object."""

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...
    def seen_version(self, kind: Kind, key: ObjectKey) -> str | None:
        """Version up to which this object's collection is known; None when it is not watched."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Write:
    kind: Kind
    key: ObjectKey
    uid: str
    version: str
    """Empty for a deletion: then the uid must be gone, or marked as being deleted."""


@dataclass(kw_only=True)
class ConsistencyStore:
    """Writes by request, until the cache has seen them."""

    cache: SeenObjects
    clock: Clock
    patience_seconds: float = PATIENCE_SECONDS
    _pending: dict[Request, dict[tuple[Kind, ObjectKey], _Write]] = field(default_factory=dict, init=False)
    _waiters: set["asyncio.Future[None]"] = field(default_factory=set, init=False)

    def wrote(self, request: Request, kind: Kind, obj: Manifest) -> None:
        """The answer to a create, apply or patch."""
        version = obj["metadata"].get("resourceVersion", "")
        if version:
            self._remember(request, _Write(kind=kind, key=key_of(obj), uid=uid_of(obj), version=version))

    def deleted(self, request: Request, kind: Kind, key: ObjectKey, uid: str) -> None:
        self._remember(request, _Write(kind=kind, key=key, uid=uid, version=""))

    def clear(self, request: Request) -> None:
        """The object is gone, and with it the interest in what was written for it."""
        self._pending.pop(request, None)

    async def ready(self, request: Request) -> None:
        """Returns when the cache has seen every write of this request, or after ``patience_seconds``."""
        if self._is_ready(request):
            return
        try:
            async with self.clock.timeout(self.patience_seconds):
                while not self._is_ready(request):
                    await self._next_change()
        except TimeoutError:
            unseen = [f"{write.kind.kind} {write.key}" for write in self._pending[request].values()]
            log.warning("own writes not seen in time", unseen=unseen)
            self.clear(request)

    def changed(self) -> None:
        """Told by the caches after every event."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def _next_change(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _remember(self, request: Request, write: _Write) -> None:
        self._pending.setdefault(request, {})[write.kind, write.key] = write

    def _is_ready(self, request: Request) -> bool:
        pending = self._pending.get(request)
        if pending is None:
            return True
        for place in [place for place, write in pending.items() if self._is_seen(write)]:
            del pending[place]
        if not pending:
            del self._pending[request]
            return True
        return False

    def _is_seen(self, write: _Write) -> bool:
        seen = self.cache.seen_version(write.kind, write.key)
        if seen is None:
            return True  # not watched: nothing will ever be seen of it
        known = self.cache.get(write.kind, write.key)
        if not write.version:
            return known is None or uid_of(known) != write.uid or "deletionTimestamp" in known["metadata"]
        if known is not None and is_at_least(known["metadata"]["resourceVersion"], write.version) is not False:
            return True
        return seen != "" and is_at_least(seen, write.version) is not False
