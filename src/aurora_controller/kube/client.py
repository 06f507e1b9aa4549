"""Objects of the API as plain JSON values: live reads and every kind of write.

Reads here cost a request each; reconcilers read ``kube/cache.py``. Nothing is retried beyond what
``kube/rest.py`` may retry safely: whoever writes decides what a conflict means.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

from aurora_controller.kube.errors import Gone, NotFound
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, key_of
from aurora_controller.kube.rest import RestClient

Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]

_JSON = "application/json"
_MERGE_PATCH = "application/merge-patch+json"
# JSON is YAML, and far cheaper to write.
_APPLY_PATCH = "application/apply-patch+yaml"
_PAGE_SIZE = 500
_NOBODYS_VERSION = "1"
"""That of an empty etcd: no object has it. An apply with a version updates that version alone, and still creates."""


@dataclass(frozen=True, kw_only=True)
class ListResult:
    """Every object of one consistent moment, and the version of that moment."""

    items: Sequence[Manifest]
    resource_version: str


class KubeClient:
    """One API server, through one pool of connections. ``kinds`` are those whose manifests it may be given."""

    def __init__(self, rest: RestClient, *, kinds: Iterable[Kind]) -> None:
        self._rest = rest
        self._kinds = {(kind.api_version, kind.kind): kind for kind in kinds}

    def kind_of(self, manifest: Mapping[str, Any]) -> Kind:
        """Raises LookupError for a manifest of a kind this client was not given."""
        found = self._kinds.get((manifest["apiVersion"], manifest["kind"]))
        if found is None:
            raise LookupError(f"unknown kind {manifest['apiVersion']} {manifest['kind']}")
        return found

    async def get(self, kind: Kind, key: ObjectKey) -> Manifest:
        """The live object, from a quorum. Raises NotFound."""
        return await self._json("GET", _path(kind, key))

    async def get_or_none(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        try:
            return await self.get(kind, key)
        except NotFound:
            return None

    async def list(self, kind: Kind, namespace: str | None = None, label_selector: str = "") -> ListResult:
        """All live objects of a namespace, or of the cluster, page by page; their kind is filled in.

        Pages that outlive the server's history are replaced by one whole list: never a mixture of two moments.
        """
        try:
            return await self._list(kind, namespace, label_selector, limit=_PAGE_SIZE)
        except Gone:
            return await self._list(kind, namespace, label_selector, limit=None)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        """Raises AlreadyExists; after OutcomeUnknown the object may exist or not."""
        namespace = key_of(manifest).namespace or None
        return await self._json("POST", kind.path(namespace), body=manifest, content_type=_JSON)

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        """PUT of the whole object. With a resourceVersion in it, raises Conflict when the object has moved on."""
        return await self._json("PUT", _path(kind, key_of(manifest)), body=manifest, content_type=_JSON)

    async def apply(
        self,
        kind: Kind,
        manifest: Manifest,
        *,
        field_manager: str,
        force: bool = True,
        uid: str | None = None,
        must_be_new: bool = False,
    ) -> Manifest:
        """Server-side apply of the full intent: fields this manager applied before and omits now are removed.

        Creates the object when it is absent, unless ``uid`` says which one is meant: then Conflict.
        With ``must_be_new``, Conflict when there is any. Unforced, ApplyConflict when another manager owns a field.
        """
        if uid is not None:
            manifest = {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}
        if must_be_new:
            manifest = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": _NOBODYS_VERSION}}
        params = {"fieldManager": field_manager, "force": "true" if force else "false"}
        path = _path(kind, key_of(manifest))
        return await self._json("PATCH", path, params=params, body=manifest, content_type=_APPLY_PATCH)

    async def merge_patch(
        self, kind: Kind, key: ObjectKey, patch: Mapping[str, Any], *, subresource: str | None = None
    ) -> Manifest:
        """JSON merge patch: None removes, lists are replaced whole.

        A resourceVersion or uid in the patch's metadata is a precondition: Conflict when it does not hold.
        """
        path = _path(kind, key, subresource)
        return await self._json("PATCH", path, body=patch, content_type=_MERGE_PATCH)

    async def delete(self, kind: Kind, key: ObjectKey, *, uid: str, propagation: Propagation) -> Manifest | None:
        """Deletes this very object; its last state while something still holds it, None when it is gone.

        Raises NotFound when it was gone before, Conflict when another object bears the name now.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": propagation,
        }
        answer = await self._json("DELETE", _path(kind, key), body=options, content_type=_JSON)
        return None if answer.get("kind") == "Status" else answer

    async def _list(self, kind: Kind, namespace: str | None, label_selector: str, *, limit: int | None) -> ListResult:
        params = {"labelSelector": label_selector} if label_selector else {}
        if limit is not None:
            params["limit"] = str(limit)
        items: list[Manifest] = []
        while True:
            page = await self._json("GET", kind.path(namespace), params=params)
            items += with_kind(page.get("items") or (), kind)
            metadata = page["metadata"]
            if not metadata.get("continue"):
                return ListResult(items=items, resource_version=metadata["resourceVersion"])
            params["continue"] = metadata["continue"]

    async def _json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str | None = None,
    ) -> Manifest:
        data = None if body is None else orjson.dumps(body)
        response = await self._rest.request(method, path, params=params, body=data, content_type=content_type)
        return response.json()


def with_kind(items: Iterable[Manifest], kind: Kind) -> Iterable[Manifest]:
    """Fills in apiVersion and kind, which the items of a list of a built-in kind do not carry."""
    for item in items:
        if isinstance(item, dict) and "kind" not in item:
            item["apiVersion"] = kind.api_version
            item["kind"] = kind.kind
        yield item


def _path(kind: Kind, key: ObjectKey, subresource: str | None = None) -> str:
    return kind.path(key.namespace or None, key.name, subresource)
