"""What reconcilers read: every watched kind, over the watched namespaces, from memory.

One informer per kind, namespace and selector, shared by all who ask for it. Reads never wait and never reach the
server; what is not there may exist nonetheless, outside a selector or a moment ahead. What they return is shared by
everybody: treat it as read-only.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.informer import Handler, Informer, Registration
from aurora_controller.kube.list_watch import ListWatch
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, key_of
from aurora_controller.kube.reconcile import Watch
from aurora_controller.kube.resource_version import ordinal
from aurora_controller.kube.rest import RestClient

SILENT_SECONDS: Final = 180.0
"""Three bookmarks missed: what an informer that heard nothing for so long holds is not to be trusted."""


class Cache:
    """``rest`` is a pool of its own without limit: each informer holds a connection. No ``namespaces``: all of them."""

    def __init__(
        self,
        *,
        rest: RestClient,
        clock: Clock,
        namespaces: Iterable[str] = (),
        indexed_labels: Iterable[str] = (),
        indexed_fields: Iterable[str] = (),
    ) -> None:
        self._rest = rest
        self._clock = clock
        self._namespaces: Sequence[str | None] = tuple(namespaces) or (None,)
        self._indexed_labels = tuple(indexed_labels)
        self._indexed_fields = tuple(indexed_fields)
        self._informers: dict[tuple[Kind, str | None, str], Informer] = {}
        self._by_kind: dict[Kind, list[tuple[str | None, Informer]]] = {}
        self._is_running = False
        self._progress = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    def subscribe(self, watch: Watch, handler: Handler) -> Sequence[Registration]:
        """``handler`` hears of every object of ``watch``; one registration per namespace.

        A kind and selector that nobody watches yet must be subscribed to before ``run``: RuntimeError.
        """
        return [self._informer(watch, namespace).add_handler(handler) for namespace in self._namespaces_of(watch.kind)]

    def on_progress(self, tell: Callable[[], None]) -> None:
        """``tell`` is called after the stores and the handlers know of new versions, be it by mere bookmarks."""
        self._listeners.append(tell)

    async def run(self) -> None:
        """Never returns; an informer that dies takes all with it."""
        self._is_running = True
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run(), name=f"informer {informer.name}")

    async def synced(self) -> None:
        """Returns when every informer has its first state."""
        while self.unsynced():
            self._progress.clear()
            await self._progress.wait()

    def unsynced(self) -> Sequence[str]:
        """Informers without a first state, or whose kind is at present not served or not allowed; in words."""
        return [
            informer.name if informer.problem is None else f"{informer.name}: {informer.problem}"
            for informer in self._informers.values()
            if not informer.has_synced or informer.problem is not None
        ]

    def silent(self) -> Sequence[str]:
        """Informers that have heard nothing for too long, not even a bookmark; in words."""
        return [
            f"{informer.name} for {informer.silent_seconds:.0f} s"
            for informer in self._informers.values()
            if informer.silent_seconds > SILENT_SECONDS
        ]

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        """Raises LookupError for a kind that is not watched, as all reads do: it would never be found."""
        return next((found for one in self._readable(kind, key.namespace) if (found := one.store.get(key))), None)

    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Manifest]:
        return _distinct(self._readable(kind, namespace), lambda informer: informer.store.list(namespace))

    def owned_by(self, kind: Kind, uid: str) -> Sequence[Manifest]:
        """Objects whose controller is the object with this uid."""
        return _distinct(self._readable(kind, None), lambda informer: informer.store.owned_by(uid))

    def with_label(self, kind: Kind, label: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        """Without looking at every object where the label is one of ``indexed_labels``."""
        return _distinct(
            self._readable(kind, namespace), lambda informer: informer.store.with_label(label, value, namespace)
        )

    def with_field(self, kind: Kind, field: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        """Objects with this string at a path such as ``spec.modelName``; fast where it is one of ``indexed_fields``."""
        return _distinct(
            self._readable(kind, namespace), lambda informer: informer.store.with_field(field, value, namespace)
        )

    def seen_version(self, kind: Kind, key: ObjectKey) -> str | None:
        """Up to which version everything in this object's collection has been seen; None when it is not watched.

        Of several informers that may show the object, the one furthest behind counts.
        """
        versions = [informer.version for informer in self._covering(kind, key.namespace)]
        return min(versions, key=lambda version: ordinal(version) or 0, default=None)

    def _informer(self, watch: Watch, namespace: str | None) -> Informer:
        place = (watch.kind, namespace, watch.label_selector)
        if place not in self._informers:
            if self._is_running:
                raise RuntimeError(f"{watch.kind.plural} must be subscribed to before the cache runs")
            informer = Informer(
                name=_name(*place),
                kind=watch.kind,
                source=ListWatch(
                    rest=self._rest,
                    kind=watch.kind,
                    namespace=namespace,
                    label_selector=watch.label_selector,
                    clock=self._clock,
                ),
                clock=self._clock,
                indexed_labels=self._indexed_labels,
                indexed_fields=self._indexed_fields,
                on_progress=self._progressed,
            )
            self._informers[place] = informer
            self._by_kind.setdefault(watch.kind, []).append((namespace, informer))
        return self._informers[place]

    def _namespaces_of(self, kind: Kind) -> Sequence[str | None]:
        return self._namespaces if kind.namespaced else (None,)

    def _readable(self, kind: Kind, namespace: str | None) -> Sequence[Informer]:
        if kind not in self._by_kind:
            raise LookupError(f"{kind.plural} are not watched")
        return self._covering(kind, namespace)

    def _covering(self, kind: Kind, namespace: str | None) -> Sequence[Informer]:
        """The informers that may hold objects of this namespace; of all when it is None, or empty (cluster-scoped)."""
        return [
            informer
            for where, informer in self._by_kind.get(kind, ())
            if not namespace or where is None or where == namespace
        ]

    def _progressed(self) -> None:
        for tell in self._listeners:
            tell()
        self._progress.set()


def _distinct(informers: Sequence[Informer], read: Callable[[Informer], Sequence[Manifest]]) -> Sequence[Manifest]:
    """Several selectors of one kind may show the same object."""
    if len(informers) == 1:
        return read(informers[0])
    return list({key_of(obj): obj for informer in informers for obj in read(informer)}.values())


def _name(kind: Kind, namespace: str | None, label_selector: str) -> str:
    name = f"{kind.plural}.{kind.group}" if kind.group else kind.plural
    name += f" in {namespace}" if namespace else ""
    return f"{name} with {label_selector}" if label_selector else name
