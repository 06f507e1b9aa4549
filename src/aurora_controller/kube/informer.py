"""A collection kept in memory: its reflector, its store, and those who want to hear of changes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from functools import partial
from typing import Final, Protocol, TypeVar

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.errors import ApiError
from aurora_controller.kube.list_watch import Source
from aurora_controller.kube.meta import Kind, Manifest, key_of
from aurora_controller.kube.reflector import Reflector
from aurora_controller.kube.resource_version import is_at_least
from aurora_controller.kube.store import Store, changes

_AT_ONCE = 50
"""A new state is taken in and told in portions of this size, so that ten thousand objects do not block the loop."""

_Item = TypeVar("_Item")


class Handler(Protocol):
    """Told of each change after the store has it: appeared (None, new), changed (old, new) or vanished (old, None).

    An object that was deleted and made again between two looks comes as one change with another uid. What vanished
    while nobody watched comes in the state last known. ``is_initial`` tells the objects of the first state from news.
    It must not wait; what it raises ends the informer.
    """

    def __call__(self, old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None: ...


def without_managed_fields(obj: Manifest) -> None:
    """Who owns which field takes more memory than the object, and no reconciler reads it from a cache."""
    obj["metadata"].pop("managedFields", None)


class Informer:
    """``name`` is for logs and probes; ``on_progress`` is called when the versions seen have moved."""

    def __init__(
        self,
        *,
        name: str,
        kind: Kind,
        source: Source,
        clock: Clock,
        indexed_labels: Iterable[str] = (),
        indexed_fields: Iterable[str] = (),
        transform: Callable[[Manifest], None] = without_managed_fields,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self.name: Final = name
        self._new_store = partial(Store, indexed_labels=tuple(indexed_labels), indexed_fields=tuple(indexed_fields))
        self.store = self._new_store()
        """Changes with each event; a new state is a new store."""
        self._clock = clock
        self._on_progress = on_progress
        self._registrations: list[Registration] = []
        self._reflector = Reflector(kind=kind, source=source, target=self, clock=clock, transform=transform)

    @property
    def has_synced(self) -> bool:
        """Whether the store holds a whole state, and every handler has been told of it."""
        return self._reflector.has_synced

    @property
    def version(self) -> str:
        """Up to which everything has been seen; empty before the first state."""
        return self._reflector.version

    @property
    def problem(self) -> ApiError | None:
        """Why the collection cannot be had at present: not served, or not allowed."""
        return self._reflector.problem

    @property
    def silent_seconds(self) -> float:
        """Since the server last said anything; bookmarks come every minute."""
        return self._clock.monotonic() - self._reflector.last_heard

    def add_handler(self, handler: Handler) -> "Registration":
        """A late one is told at once of what is there."""
        registration = Registration(handler)
        self._registrations.append(registration)
        for obj in self.store.list():
            handler(None, obj, is_initial=True)
        registration.has_synced = self.has_synced
        return registration

    async def run(self) -> None:
        """Ends only by cancellation, or by what a handler raises."""
        await self._reflector.run()

    # --- what the reflector brings

    async def replace(self, objects: Sequence[Manifest]) -> None:
        is_initial = not self.has_synced
        before, after = self.store, self._new_store()
        async for obj in _in_portions(objects):
            after.put(obj)
        self.store = after  # in one step: nobody ever reads half a state
        async for old, new in _in_portions(changes(before, after)):
            self._tell(old, new, is_initial=is_initial)
        for registration in self._registrations:
            registration.has_synced = True

    def put(self, obj: Manifest) -> None:
        if not self._is_outdated(obj):
            self._tell(self.store.put(obj), obj, is_initial=False)

    def remove(self, obj: Manifest) -> None:
        if not self._is_outdated(obj):
            self._tell(self.store.remove(key_of(obj)) or obj, None, is_initial=False)

    def progressed(self) -> None:
        self._on_progress()

    def _is_outdated(self, obj: Manifest) -> bool:
        """Whether the store has something newer under this name: an event came twice, or late."""
        known = self.store.get(key_of(obj))
        if known is None or known["metadata"]["resourceVersion"] == obj["metadata"]["resourceVersion"]:
            return False
        return is_at_least(known["metadata"]["resourceVersion"], obj["metadata"]["resourceVersion"]) is True

    def _tell(self, old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None:
        for registration in self._registrations:
            registration.handler(old, new, is_initial=is_initial)


class Registration:
    """One handler; ``has_synced`` when it has been told of every object of the first state."""

    def __init__(self, handler: Handler) -> None:
        self.handler: Final = handler
        self.has_synced = False


async def _in_portions(items: Iterable[_Item]) -> AsyncIterator[_Item]:
    """The items, letting others have their turn after every ``_AT_ONCE``."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
