"""Everything that reconcilers read: one informer per kind, namespace and selector, shared by all who watch it."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.clock import Clock
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.reconcile import Watch
from aurora_controller.kube.reflector import Reflector, Sink
from aurora_controller.kube.rest import RestClient
from aurora_controller.kube.store import ObjectStore

SILENT_SECONDS: Final = 180.0
"""An informer that heard nothing for so long, not even a bookmark, is not to be trusted."""


@dataclass(kw_only=True)
class Informer:
    """A store, what keeps it in step, and who is told."""

    kind: Kind
    namespace: str | None
    selector: str
    store: ObjectStore
    handlers: list[Sink] = field(default_factory=list)
    reflector: Reflector | None = None

    def __str__(self) -> str:
        return f"{self.kind.plural} in {self.namespace or 'all namespaces'}"


class Cache:
    """Read-only views of the watched objects. What it hands out is shared: never change it.

    ``namespaces`` empty watches the whole cluster. A kind watched under several selectors is read from all of them.
    """

    def __init__(
        self,
        *,
        rest: RestClient,
        client: KubeClient,
        namespaces: Iterable[str],
        indexed_labels: Iterable[str],
        clock: Clock,
    ) -> None:
        self._rest = rest
        self._client = client
        self._namespaces: Sequence[str | None] = tuple(namespaces) or (None,)
        self._labels = tuple(indexed_labels)
        self._clock = clock
        self._informers: dict[tuple[Kind, str | None, str], Informer] = {}
        self._by_kind: dict[Kind, list[Informer]] = {}
        self._synced = asyncio.Event()
        self.on_any_change: Callable[[], None] = lambda: None
        """Told after every change that the handlers have been told of."""

    # -- before run

    def subscribe(self, watch: Watch, handler: Sink) -> None:
        """Makes ``watch`` part of the cache; ``handler`` hears of every change of its objects."""
        for namespace in self._namespaces:
            place = (watch.kind, namespace, watch.label_selector)
            informer = self._informers.get(place)
            if informer is None:
                informer = Informer(
                    kind=watch.kind,
                    namespace=namespace,
                    selector=watch.label_selector,
                    store=ObjectStore(indexed_labels=self._labels),
                )
                self._informers[place] = informer
                self._by_kind.setdefault(watch.kind, []).append(informer)
            informer.handlers.append(handler)

    # -- reading

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        for informer in self._informers_of(kind, key.namespace):
            found = informer.store.get(key)
            if found is not None:
                return found
        return None

    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Manifest]:
        found = {
            key: obj
            for informer in self._informers_of(kind, namespace)
            for key, obj in informer.store.items().items()
            if namespace is None or key.namespace == namespace
        }
        return [found[key] for key in sorted(found)]

    def with_label(self, kind: Kind, label: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        """Objects with this label, by an index where the label is indexed."""
        return [
            obj
            for informer in self._informers_of(kind, namespace)
            for obj in informer.store.with_label(label, value)
            if namespace is None or obj["metadata"].get("namespace") == namespace
        ]

    def seen_version(self, kind: Kind, key: ObjectKey) -> str | None:
        """Version up to which the collection of this object is known; None when it is not watched."""
        informers = self._informers_of(kind, key.namespace)
        versions = (informer.store.resource_version for informer in informers)
        return min(versions, key=lambda version: (len(version), version), default=None)  # as decimal numbers

    def _informers_of(self, kind: Kind, namespace: str | None) -> Sequence[Informer]:
        return [
            informer
            for informer in self._by_kind.get(kind, ())
            if namespace is None or informer.namespace in (None, namespace)
        ]

    # -- running

    async def run(self) -> None:
        """Watches everything that was subscribed to. Never returns; what breaks in a handler breaks the process."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                informer.reflector = self._reflector(informer)
                group.create_task(informer.reflector.run(), name=f"reflector of {informer}")

    def _reflector(self, informer: Informer) -> Reflector:
        def tell(old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None:
            for handler in informer.handlers:
                handler(old, new, is_initial=is_initial)

        return Reflector(
            kind=informer.kind,
            namespace=informer.namespace,
            label_selector=informer.selector,
            rest=self._rest,
            lister=self._client,
            store=informer.store,
            on_change=tell,
            on_progress=self._progressed,
            clock=self._clock,
        )

    def _progressed(self) -> None:
        self.on_any_change()
        if not self._synced.is_set() and not self.unsynced():
            self._synced.set()

    async def synced(self) -> None:
        """Returns when every informer has its first state."""
        await self._synced.wait()

    def unsynced(self) -> Sequence[str]:
        """Informers without their first state, in words."""
        return [str(one) for one in self._informers.values() if one.reflector is None or not one.reflector.has_synced]

    def silent(self) -> Sequence[str]:
        """Informers that have heard nothing for too long, in words."""
        now = self._clock.monotonic()
        return [
            str(one)
            for one in self._informers.values()
            if one.reflector is not None and now - one.reflector.last_heard > SILENT_SECONDS
        ]
