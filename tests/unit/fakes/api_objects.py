"""What a kube-apiserver does with objects, without the HTTP: versions, preconditions, generations, ownership, history.

It refuses with ``Refused`` where a real server answers with a Status. Values that go in and come out are copies.
"""

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aurora_controller.kube.clock import Clock, format_time
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, key_of
from tests.unit.fakes import field_ownership
from tests.unit.fakes.field_ownership import Path

_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "managedFields")
_WITHOUT_GENERATION = frozenset({"ConfigMap", "Secret", "Service", "Pod", "Event", "Lease", "Namespace"})


class Refused(Exception):
    """A Status that says Failure."""

    def __init__(self, code: int, reason: str, message: str, causes: Iterable[Mapping[str, Any]] = ()) -> None:
        super().__init__(message)
        details = {"causes": list(causes)} if causes else {}
        self.status: Manifest = {
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "code": code,
            "reason": reason,
            "message": message,
            "details": details,
        }


@dataclass(frozen=True)
class Change:
    """One version of the history; ``before`` is what the object was until then."""

    version: int
    kind: Kind
    type: str
    object: Manifest
    before: Manifest | None


@dataclass
class ApiObjects:
    """``subscribers`` are told of each change, after it."""

    clock: Clock
    version: int = 1000
    oldest: int = 1000
    """Changes up to this version are forgotten."""
    history: list[Change] = field(default_factory=list)
    subscribers: list[Callable[[Change], None]] = field(default_factory=list)
    terminating_namespaces: set[str] = field(default_factory=set)
    _objects: dict[tuple[Kind, ObjectKey], Manifest] = field(default_factory=dict)
    _owners: dict[str, dict[tuple[str, str, str], frozenset[Path]]] = field(default_factory=dict)
    """By uid: which (manager, operation, subresource) owns which fields."""
    _uids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    # --- reads

    def find(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        return copy.deepcopy(self._objects.get((kind, key)))

    def get(self, kind: Kind, key: ObjectKey) -> Manifest:
        found = self.find(kind, key)
        if found is None:
            raise Refused(404, "NotFound", f'{kind.plural} "{key.name}" not found')
        return found

    def listed(self, kind: Kind, namespace: str | None = None, label_selector: str = "") -> list[Manifest]:
        """In the order of their keys, as etcd has them."""
        return [
            copy.deepcopy(obj)
            for (of_kind, key), obj in sorted(self._objects.items())
            if of_kind == kind and (not namespace or key.namespace == namespace) and selects(label_selector, obj)
        ]

    # --- writes

    def create(self, kind: Kind, manifest: Manifest, *, manager: str) -> Manifest:
        key = key_of(manifest)
        if (kind, key) in self._objects:
            raise Refused(409, "AlreadyExists", f'{kind.plural} "{key.name}" already exists')
        if manifest["metadata"].get("resourceVersion"):
            raise Refused(400, "BadRequest", "resourceVersion should not be set on objects to be created")
        obj = self._born(kind, manifest)
        self._own(obj, {(manager, "Update", ""): field_ownership.owned_paths(obj)})
        return self._store(kind, "ADDED", obj, None)

    def replace(self, kind: Kind, key: ObjectKey, manifest: Manifest, *, manager: str, subresource: str) -> Manifest:
        live = self.get(kind, key)
        self._check(kind, live, manifest["metadata"])
        return self._update(kind, live, manifest, manager=manager, subresource=subresource)

    def merge_patch(self, kind: Kind, key: ObjectKey, patch: Manifest, *, manager: str, subresource: str) -> Manifest:
        live = self.get(kind, key)
        self._check_patch(kind, live, patch.get("metadata") or {})
        return self._update(kind, live, json_merge(live, patch), manager=manager, subresource=subresource)

    def apply(
        self, kind: Kind, key: ObjectKey, intent: Manifest, *, manager: str, force: bool, subresource: str
    ) -> Manifest:
        if "managedFields" in intent["metadata"]:
            raise Refused(400, "BadRequest", "metadata.managedFields must be nil")
        live = self.find(kind, key)
        owner = (manager, "Apply", subresource)
        wanted = field_ownership.owned_paths(intent)
        if live is None:
            if intent["metadata"].get("uid"):
                raise _uid_mismatch(kind, key, intent["metadata"]["uid"], "")
            if subresource:
                raise Refused(404, "NotFound", f'{kind.plural} "{key.name}" not found')
            obj = self._born(kind, intent)
            self._own(obj, {owner: wanted})
            return self._store(kind, "ADDED", obj, None)
        self._check_patch(kind, live, intent["metadata"])
        owners = dict(self._owners.get(live["metadata"]["uid"], {}))
        contested = self._contested(live, intent, wanted, owner, owners)
        if contested and not force:
            causes = [
                {"reason": "FieldManagerConflict", "message": f'conflict with "{name}"', "field": str(path)}
                for name, path in contested
            ]
            raise Refused(409, "Conflict", f"Apply failed with {len(causes)} conflict(s)", causes)
        lost = {path for _, path in contested}
        others = {who: paths - lost for who, paths in owners.items() if who != owner}
        dropped = owners.get(owner, frozenset()) - wanted - frozenset().union(*others.values())
        # An empty map that has entries now was not dropped.
        outer = {path[:length] for path in wanted for length in range(len(path))}
        result = field_ownership.without(field_ownership.merged(live, intent), dropped - outer)
        return self._settle(kind, live, self._confined(kind, live, result, subresource), {**others, owner: wanted})

    def delete(self, kind: Kind, key: ObjectKey, *, uid: str = "", version: str = "") -> Manifest | None:
        """The object when finalizers hold it, None when it is gone."""
        live = self.get(kind, key)
        if uid and uid != live["metadata"]["uid"]:
            raise _uid_mismatch(kind, key, uid, live["metadata"]["uid"])
        self._check(kind, live, {"resourceVersion": version})
        if not live["metadata"].get("finalizers"):
            self._remove(kind, live)
            return None
        if "deletionTimestamp" in live["metadata"]:
            return live
        doomed = copy.deepcopy(live)
        doomed["metadata"]["deletionTimestamp"] = format_time(self.clock.now())
        doomed["metadata"]["deletionGracePeriodSeconds"] = 0
        if "generation" in doomed["metadata"]:
            doomed["metadata"]["generation"] += 1
        return self._store(kind, "MODIFIED", doomed, live)

    def compact(self) -> None:
        """Forgets the history: watches and pages from before are Gone."""
        self.oldest = self.version
        self.history.clear()

    def next_version(self) -> int:
        self.version += 1
        return self.version

    # --- how

    def _born(self, kind: Kind, manifest: Manifest) -> Manifest:
        key = key_of(manifest)
        if kind.namespaced and key.namespace in self.terminating_namespaces:
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {key.namespace} is being terminated"}
            raise Refused(403, "Forbidden", f'{kind.plural} "{key.name}" is forbidden: {cause["message"]}', [cause])
        obj = copy.deepcopy(manifest)
        metadata = obj["metadata"]
        for name in (*_KEPT, "resourceVersion"):
            metadata.pop(name, None)
        metadata["uid"] = f"00000000-0000-4000-8000-{next(self._uids):012d}"
        metadata["creationTimestamp"] = format_time(self.clock.now())
        if kind.kind not in _WITHOUT_GENERATION:
            metadata["generation"] = 1
            # A subresource: what a create says about it is left out.
            obj.pop("status", None)
        return obj

    def _check(self, kind: Kind, live: Manifest, precondition: Mapping[str, Any]) -> None:
        key, metadata = key_of(live), live["metadata"]
        if precondition.get("uid") and precondition["uid"] != metadata["uid"]:
            raise _uid_mismatch(kind, key, precondition["uid"], metadata["uid"])
        if precondition.get("resourceVersion") and precondition["resourceVersion"] != metadata["resourceVersion"]:
            message = "the object has been modified; please apply your changes to the latest version and try again"
            raise Refused(409, "Conflict", f'Operation cannot be fulfilled on {kind.plural} "{key.name}": {message}')

    def _check_patch(self, kind: Kind, live: Manifest, precondition: Mapping[str, Any]) -> None:
        """As ``_check``; but a patch is merged first, and then its uid looks like a change of what cannot change."""
        if precondition.get("uid") and precondition["uid"] != live["metadata"]["uid"]:
            message = f'Invalid value: "{precondition["uid"]}": field is immutable'
            cause = {"reason": "FieldValueInvalid", "message": message, "field": "metadata.uid"}
            name = live["metadata"]["name"]
            raise Refused(422, "Invalid", f'{kind.kind} "{name}" is invalid: metadata.uid: {message}', [cause])
        self._check(kind, live, precondition)

    def _confined(self, kind: Kind, live: Manifest, new: Manifest, subresource: str) -> Manifest:
        """Of ``new``, what this endpoint may change: the status, or all else."""
        if subresource == "status":
            result = copy.deepcopy(live)
            result.pop("status", None)
            return result | ({"status": new["status"]} if "status" in new else {})
        result = copy.deepcopy(new)
        if kind.kind not in _WITHOUT_GENERATION:
            result.pop("status", None)
            result |= {"status": live["status"]} if "status" in live else {}
        kept = {name: live["metadata"][name] for name in _KEPT if name in live["metadata"]}
        metadata = {name: value for name, value in result["metadata"].items() if name not in _KEPT}
        result["metadata"] = metadata | kept | {"resourceVersion": live["metadata"]["resourceVersion"]}
        return result

    def _update(self, kind: Kind, live: Manifest, new: Manifest, *, manager: str, subresource: str) -> Manifest:
        result = self._confined(kind, live, new, subresource)
        changed = field_ownership.changed_paths(live, result)
        owner = (manager, "Update", subresource)
        present = field_ownership.owned_paths(result)
        owners = {who: (paths - changed) & present for who, paths in self._owners[live["metadata"]["uid"]].items()}
        owners[owner] = owners.get(owner, frozenset()) | changed
        return self._settle(kind, live, result, owners)

    def _settle(
        self,
        kind: Kind,
        live: Manifest,
        new: Manifest,
        owners: dict[tuple[str, str, str], frozenset[Path]],
    ) -> Manifest:
        """Stores what differs; a write that changes nothing gives the old version back."""
        if _essence(live) != _essence(new) and "generation" in live["metadata"]:
            new["metadata"]["generation"] = live["metadata"]["generation"] + 1
        self._own(new, owners)
        if new == live:
            return live
        if "deletionTimestamp" in new["metadata"] and not new["metadata"].get("finalizers"):
            self._remove(kind, new)
            return new
        return self._store(kind, "MODIFIED", new, live)

    def _own(self, obj: Manifest, owners: dict[tuple[str, str, str], frozenset[Path]]) -> None:
        kept = {who: paths for who, paths in owners.items() if paths}
        self._owners[obj["metadata"]["uid"]] = kept
        obj["metadata"]["managedFields"] = [
            {
                "manager": manager,
                "operation": operation,
                "apiVersion": obj["apiVersion"],
                "fieldsType": "FieldsV1",
                "fieldsV1": field_ownership.as_fields_v1(paths),
                **({"subresource": subresource} if subresource else {}),
            }
            for (manager, operation, subresource), paths in sorted(kept.items())
        ]

    def _contested(
        self,
        live: Manifest,
        intent: Manifest,
        wanted: frozenset[Path],
        owner: tuple[str, str, str],
        owners: Mapping[tuple[str, str, str], frozenset[Path]],
    ) -> Sequence[tuple[str, Path]]:
        """Fields that others own with another value than is wanted."""
        return [
            (who[0], path)
            for who, paths in sorted(owners.items())
            if who != owner
            for path in sorted(paths & wanted, key=repr)
            if field_ownership.value_at(live, path) != field_ownership.value_at(intent, path)
        ]

    def _store(self, kind: Kind, change: str, obj: Manifest, before: Manifest | None) -> Manifest:
        obj["metadata"]["resourceVersion"] = str(self.next_version())
        self._objects[kind, key_of(obj)] = obj
        self._record(Change(self.version, kind, change, copy.deepcopy(obj), copy.deepcopy(before)))
        return copy.deepcopy(obj)

    def _remove(self, kind: Kind, obj: Manifest) -> None:
        del self._objects[kind, key_of(obj)]
        self._owners.pop(obj["metadata"]["uid"], None)
        last = copy.deepcopy(obj)
        last["metadata"]["resourceVersion"] = str(self.next_version())
        self._record(Change(self.version, kind, "DELETED", last, copy.deepcopy(obj)))

    def _record(self, change: Change) -> None:
        self.history.append(change)
        for tell in list(self.subscribers):
            tell(change)


def selects(label_selector: str, obj: Manifest) -> bool:
    """Equality, inequality and existence, comma-separated; sets are not understood."""
    labels = obj["metadata"].get("labels") or {}
    for term in filter(None, label_selector.split(",")):
        name, unequal, value = term.partition("!=")
        if unequal:
            if labels.get(name) == value:
                return False
            continue
        name, equal, value = term.replace("==", "=").partition("=")
        if (labels.get(name) != value) if equal else (name not in labels):
            return False
    return True


def json_merge(live: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = copy.deepcopy(live) if isinstance(live, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = json_merge(result.get(name), value)
    return result


def _essence(obj: Manifest) -> Manifest:
    """What a generation counts: all but metadata and status."""
    return {name: value for name, value in obj.items() if name not in {"metadata", "status"}}


def _uid_mismatch(kind: Kind, key: ObjectKey, wanted: str, found: str) -> Refused:
    message = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return Refused(409, "Conflict", f'Operation cannot be fulfilled on {kind.plural} "{key.name}": {message}')
