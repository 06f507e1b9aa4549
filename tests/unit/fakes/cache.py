"""A cache whose objects a test decides, with the reads of ``aurora_controller.kube.cache.Cache``."""

from collections.abc import Iterable, Sequence

from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.store import Store, text_at


class FakeCache:
    """Holds the given objects and knows every kind; ``put`` and ``remove`` change what it holds."""

    def __init__(self, objects: Iterable[Manifest] = ()) -> None:
        self._stores: dict[tuple[str, str], Store] = {}
        for obj in objects:
            self.put(obj)

    def put(self, obj: Manifest) -> None:
        self._stores.setdefault((obj["apiVersion"], obj["kind"]), Store()).put(obj)

    def remove(self, kind: Kind, key: ObjectKey) -> None:
        self._store(kind).remove(key)

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        return self._store(kind).get(key)

    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Manifest]:
        return self._store(kind).list(namespace)

    def owned_by(self, kind: Kind, uid: str) -> Sequence[Manifest]:
        return self._store(kind).owned_by(uid)

    def with_label(self, kind: Kind, label: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        return self._store(kind).with_label(label, value, namespace)

    def with_field(self, kind: Kind, field: str, value: str, namespace: str | None = None) -> Sequence[Manifest]:
        return [obj for obj in self.list(kind, namespace) if text_at(obj, field) == value]

    def _store(self, kind: Kind) -> Store:
        return self._stores.get((kind.api_version, kind.kind), Store())
