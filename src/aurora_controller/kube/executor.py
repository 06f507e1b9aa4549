"""Performs the writes of a plan, in their order: the only thing in a controller that writes.

What is already so is not sent. What turns out to rest on an outdated observation ends the plan without an error, as
the next observation will lead to the right one. Nothing that belongs to somebody else is touched.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Literal, Protocol

import structlog

from aurora_controller.kube.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    NamespaceTerminating,
    NotFound,
)
from aurora_controller.kube.intent import covers, stamped
from aurora_controller.kube.merge_patch import merge_patch
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, is_deleting, key_of, labels_of, uid_of
from aurora_controller.kube.ownership import controller_of
from aurora_controller.kube.reconcile import (
    Apply,
    Confirm,
    Create,
    Delete,
    PatchMetadata,
    PatchStatus,
    Plan,
    Request,
    Waiting,
    Write,
)

_OWNER_CONFLICT_RETRY_SECONDS = 30.0

log = structlog.get_logger(__name__)


class Outcome(Enum):
    """How a plan ended that did not fail."""

    COMPLETED = auto()
    OUTDATED = auto()
    """The cluster had moved on: observe again soon, without fuss."""
    LEAVING = auto()
    """The namespace is going away, and all of this with it."""


class WritingClient(Protocol):
    """What the executor needs of ``kube/client.py``."""

    def kind_of(self, manifest: Mapping[str, Any]) -> Kind: ...
    async def get_or_none(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...
    async def create(self, kind: Kind, manifest: Manifest) -> Manifest: ...
    async def apply(
        self,
        kind: Kind,
        manifest: Manifest,
        *,
        field_manager: str,
        force: bool = True,
        uid: str | None = None,
        must_be_new: bool = False,
    ) -> Manifest: ...
    async def merge_patch(
        self, kind: Kind, key: ObjectKey, patch: Mapping[str, Any], *, subresource: str | None = None
    ) -> Manifest: ...
    async def delete(
        self, kind: Kind, key: ObjectKey, *, uid: str, propagation: Literal["Background", "Foreground", "Orphan"]
    ) -> Manifest | None: ...


class WriteLog(Protocol):
    """Told of every write, so that the next reconcile of the request sees it; see ``kube/consistency.py``."""

    def wrote(self, request: Request, kind: Kind, obj: Manifest) -> None: ...
    def deleted(self, request: Request, kind: Kind, key: ObjectKey, uid: str) -> None: ...


class Executor:
    """Writes as ``field_manager``; keeps the hash of an applied intent in ``intent_annotation``."""

    def __init__(self, *, client: WritingClient, writes: WriteLog, field_manager: str, intent_annotation: str) -> None:
        self._client = client
        self._writes = writes
        self._field_manager = field_manager
        self._annotation = intent_annotation
        self._never_covered: dict[str, tuple[str, str]] = {}
        """uid → (resourceVersion, intent hash) of objects that the server stored in a form ``covers`` cannot match:
        applying the same again to the same version would change nothing."""

    async def execute(self, request: Request, plan: Plan) -> Outcome:
        """Raises Waiting when an object belongs to somebody else, and ApiError for what the server refuses."""
        latest: dict[str, Manifest] = {}
        for write in plan.writes:
            try:
                await self._perform(request, write, latest)
            except NamespaceTerminating:
                return Outcome.LEAVING
            except NotFound as error:
                if error.details.get("kind") == "namespaces":
                    return Outcome.LEAVING
                if isinstance(write, Create | Apply):
                    raise
                return _outdated(write, error)
            except Conflict as error:
                return _outdated(write, error)
            except _Outdated as error:
                return _outdated(write, error)
        return Outcome.COMPLETED

    async def _perform(self, request: Request, write: Write, latest: dict[str, Manifest]) -> None:
        """``latest`` maps uids to what this plan's own patches left, which the next patch starts from."""
        match write:
            case Create():
                await self._create(request, write.manifest)
            case Apply():
                await self._apply(request, write)
            case Delete():
                await self._delete(request, write)
            case Confirm():
                await self._confirm(write)
            case PatchStatus() | PatchMetadata():
                current = latest.get(uid_of(write.existing), write.existing)
                latest[uid_of(current)] = await self._patch(request, write, current)

    async def _create(self, request: Request, manifest: Manifest) -> None:
        kind = self._client.kind_of(manifest)
        try:
            created = await self._client.create(kind, manifest)
        except AlreadyExists as error:
            # Perhaps our own, whose response was lost. Anything else the next observation has to look at.
            live = await self._client.get_or_none(kind, key_of(manifest))
            if live is None or is_deleting(live):
                raise _Outdated(str(error)) from error
            _check_owner(live, manifest)
            if not covers(live, manifest):
                raise _Outdated(str(error)) from error
            created = live
        self._writes.wrote(request, kind, created)

    async def _apply(self, request: Request, write: Apply) -> None:
        kind = self._client.kind_of(write.manifest)
        intent = stamped(write.manifest, annotation=self._annotation)
        if write.existing is None:
            applied = await self._apply_new(kind, intent)
        else:
            _check_owner(write.existing, intent)
            if is_deleting(write.existing):
                raise _Outdated("being deleted")
            if self._is_settled(write.existing, intent):
                return
            applied = await self._apply_over(kind, intent, uid_of(write.existing))
        self._writes.wrote(request, kind, applied)
        if not covers(applied, intent):
            self._never_covered[uid_of(applied)] = (applied["metadata"]["resourceVersion"], self._hash_of(intent))
            log.debug("server stores another form of the intent", kind=kind.kind, key=str(key_of(intent)))

    async def _apply_new(self, kind: Kind, intent: Manifest) -> Manifest:
        """Creates it and nothing else: an apply merges into a stranger's object where no field of the two disagrees."""
        try:
            return await self._client.apply(
                kind, intent, field_manager=self._field_manager, force=False, must_be_new=True
            )
        except Conflict as error:
            live = await self._client.get_or_none(kind, key_of(intent))
            if live is None:
                raise
            _check_owner(live, intent)
            if is_deleting(live):
                raise _Outdated("being deleted") from error
        log.info("object taken back", kind=kind.kind, key=str(key_of(intent)))
        return await self._apply_over(kind, intent, uid_of(live))

    async def _apply_over(self, kind: Kind, intent: Manifest, uid: str) -> Manifest:
        return await self._client.apply(kind, intent, field_manager=self._field_manager, force=True, uid=uid)

    async def _delete(self, request: Request, write: Delete) -> None:
        key, uid = key_of(write.existing), uid_of(write.existing)
        self._never_covered.pop(uid, None)
        try:
            remains = await self._client.delete(write.kind, key, uid=uid, propagation=write.propagation)
        except NotFound:
            remains = None
        if remains is None:
            self._writes.deleted(request, write.kind, key, uid)
        else:
            self._writes.wrote(request, write.kind, remains)

    async def _confirm(self, write: Confirm) -> None:
        live = await self._client.get_or_none(write.kind, key_of(write.existing))
        if live is None or uid_of(live) != uid_of(write.existing) or is_deleting(live):
            raise _Outdated(f"{write.kind.kind} {key_of(write.existing)} is gone")

    async def _patch(self, request: Request, write: PatchStatus | PatchMetadata, current: Manifest) -> Manifest:
        patch = _patch_of(write, current)
        if not patch:
            return current
        version = {"resourceVersion": current["metadata"]["resourceVersion"]}
        body = {**patch, "metadata": {**patch.get("metadata", {}), **version}}
        subresource = "status" if isinstance(write, PatchStatus) else None
        patched = await self._client.merge_patch(write.kind, key_of(current), body, subresource=subresource)
        self._writes.wrote(request, write.kind, patched)
        return patched

    def _is_settled(self, existing: Manifest, intent: Manifest) -> bool:
        version = existing["metadata"].get("resourceVersion", "")
        return covers(existing, intent) or self._never_covered.get(uid_of(existing)) == (
            version,
            self._hash_of(intent),
        )

    def _hash_of(self, intent: Manifest) -> str:
        value: str = intent["metadata"]["annotations"][self._annotation]
        return value


class _Outdated(Exception):
    """The write rests on an observation that no longer holds."""


def _patch_of(write: PatchStatus | PatchMetadata, current: Manifest) -> Manifest:
    """Merge patch without preconditions; empty when ``current`` is as wanted."""
    if isinstance(write, PatchStatus):
        status = merge_patch(current.get("status"), write.status, partial=True)
        return {"status": status} if status else {}
    wanted = {"labels": write.labels, "annotations": write.annotations}
    metadata = {
        name: patch
        for name, values in wanted.items()
        if (patch := merge_patch(current["metadata"].get(name) or {}, values, partial=True))
    }
    return {"metadata": metadata} if metadata else {}


def _outdated(write: Write, error: ApiError | _Outdated) -> Outcome:
    log.debug("observation outdated", write=type(write).__name__, why=str(error))
    return Outcome.OUTDATED


def _check_owner(existing: Manifest, intent: Manifest) -> None:
    """Raises Waiting unless the intent's controller also controls what exists.

    An object that nobody controls is ours to adopt if it bears the intent's labels: an orphan, not a stranger.
    """
    wanted = controller_of(intent)
    if wanted is None:
        return
    actual = controller_of(existing)
    if actual is not None and actual["uid"] == wanted["uid"]:
        return
    if actual is None and labels_of(intent).items() <= labels_of(existing).items() and labels_of(intent):
        return
    what = f"{existing.get('kind', intent['kind'])} {key_of(existing).name}"
    if actual is None:
        who = "exists and is not managed by anybody; delete it or choose another name"
    elif actual["name"] == wanted["name"] and actual["kind"] == wanted["kind"]:
        who = "belongs to an earlier object of the same name and is about to be removed"
    else:
        who = f"belongs to {actual['kind']} {actual['name']}"
    raise Waiting("OwnerConflict", f"{what} {who}", _OWNER_CONFLICT_RETRY_SECONDS)
