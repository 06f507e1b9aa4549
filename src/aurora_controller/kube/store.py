"""Objects by key, by owner and by label: what reconcilers read.

The indexes change in the same step as the objects, and nothing here waits, so a reader on the same event loop never
sees one without the other. What comes out is shared by all readers: treat it as read-only.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias, TypeVar

from aurora_controller.kube.meta import Manifest, ObjectKey, key_of, labels_of, uid_of

Change: TypeAlias = tuple[Manifest | None, Manifest | None]
"""An object before and after: (None, new), (old, new) or (old, None)."""

_Index: TypeAlias = dict[tuple[str, str], dict[ObjectKey, None]]
_Entry = TypeVar("_Entry")


class Store:
    """``indexed_labels`` are the labels that ``with_label`` finds without looking at every object."""

    def __init__(self, *, indexed_labels: Iterable[str] = ()) -> None:
        self._indexed_labels = frozenset(indexed_labels)
        self._objects: dict[ObjectKey, Manifest] = {}
        # Keys are kept in dicts, not sets: what is listed twice comes in the same order.
        self._by_namespace: dict[str, dict[ObjectKey, None]] = {}
        self._by_owner: _Index = {}
        self._by_label: _Index = {}

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: ObjectKey) -> Manifest | None:
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Sequence[Manifest]:
        """Of all namespaces when None."""
        if namespace is None:
            return list(self._objects.values())
        return self._at(self._by_namespace.get(namespace, ()))

    def owned_by(self, uid: str) -> Sequence[Manifest]:
        """Objects whose controller is the object with this uid."""
        return self._at(self._by_owner.get(("", uid), ()))

    def with_label(self, label: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        if label in self._indexed_labels:
            found = self._at(self._by_label.get((label, value), ()))
            return [obj for obj in found if namespace is None or key_of(obj).namespace == namespace]
        return [obj for obj in self.list(namespace) if labels_of(obj).get(label) == value]

    def put(self, obj: Manifest) -> Manifest | None:
        """What was there before."""
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None:
            self._unindex(key, old)
        self._objects[key] = obj
        self._index(key, obj)
        return old

    def remove(self, key: ObjectKey) -> Manifest | None:
        """What was there, if anything was."""
        old = self._objects.pop(key, None)
        if old is not None:
            self._unindex(key, old)
        return old

    def _at(self, keys: Iterable[ObjectKey]) -> Sequence[Manifest]:
        return [self._objects[key] for key in keys]

    def _index(self, key: ObjectKey, obj: Manifest) -> None:
        self._by_namespace.setdefault(key.namespace, {})[key] = None
        for index, entry in self._entries(obj):
            index.setdefault(entry, {})[key] = None

    def _unindex(self, key: ObjectKey, obj: Manifest) -> None:
        _discard(self._by_namespace, key.namespace, key)
        for index, entry in self._entries(obj):
            _discard(index, entry, key)

    def _entries(self, obj: Manifest) -> Iterator[tuple[_Index, tuple[str, str]]]:
        for owner in obj["metadata"].get("ownerReferences") or ():
            if owner.get("controller"):
                yield self._by_owner, ("", owner["uid"])
        if self._indexed_labels:
            for label, value in labels_of(obj).items():
                if label in self._indexed_labels:
                    yield self._by_label, (label, value)


def changes(before: Store, after: Store) -> Iterator[Change]:
    """How two states differ, the vanished ones first. An object with the same uid and resourceVersion is no change."""
    for old in before.list():
        if after.get(key_of(old)) is None:
            yield old, None
    for new in after.list():
        was = before.get(key_of(new))
        if was is None or _state_of(was) != _state_of(new):
            yield was, new


def _discard(index: dict[_Entry, dict[ObjectKey, None]], entry: _Entry, key: ObjectKey) -> None:
    keys = index[entry]
    del keys[key]
    if not keys:
        del index[entry]


def _state_of(obj: Manifest) -> tuple[str, str]:
    return uid_of(obj), obj["metadata"].get("resourceVersion", "")
