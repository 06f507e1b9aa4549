"""Objects by key, by owner, by label and by field: what reconcilers read.

The indexes change in the same step as the objects, and nothing here waits, so a reader on the same event loop never
sees one without the other. What comes out is shared by all readers: treat it as read-only.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from aurora_controller.kube.meta import Manifest, ObjectKey, key_of, labels_of, uid_of

Change: TypeAlias = tuple[Manifest | None, Manifest | None]
"""An object before and after: (None, new), (old, new) or (old, None)."""

_Index: TypeAlias = dict[tuple[str, str], dict[ObjectKey, None]]
_Entry = TypeVar("_Entry")


class Store:
    """``with_label`` and ``with_field`` find what is indexed without looking at every object.

    Fields are named by their path, such as ``spec.modelName``.
    """

    def __init__(self, *, indexed_labels: Iterable[str] = (), indexed_fields: Iterable[str] = ()) -> None:
        self._indexed_labels = frozenset(indexed_labels)
        self._indexed_fields = frozenset(indexed_fields)
        self._objects: dict[ObjectKey, Manifest] = {}
        # Keys are kept in dicts, not sets: what is listed twice comes in the same order.
        self._by_namespace: dict[str, dict[ObjectKey, None]] = {}
        self._by_owner: _Index = {}
        self._by_label: _Index = {}
        self._by_field: _Index = {}

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
            return self._within(namespace, self._by_label.get((label, value), ()))
        return [obj for obj in self.list(namespace) if labels_of(obj).get(label) == value]

    def with_field(self, field: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        if field in self._indexed_fields:
            return self._within(namespace, self._by_field.get((field, value), ()))
        return [obj for obj in self.list(namespace) if text_at(obj, field) == value]

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

    def _within(self, namespace: str | None, keys: Iterable[ObjectKey]) -> Sequence[Manifest]:
        return [self._objects[key] for key in keys if namespace is None or key.namespace == namespace]

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
        for field in self._indexed_fields:
            found = text_at(obj, field)
            if found is not None:
                yield self._by_field, (field, found)


def text_at(obj: Manifest, field: str) -> str | None:
    """The string at a path such as ``spec.modelName``; None when there is none."""
    value: Any = obj
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else None


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
