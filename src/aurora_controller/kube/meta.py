"""Shapes that Kubernetes itself defines: manifests, kinds, owner references, conditions.

Objects travel as plain JSON values (``Manifest``), as the API server sends them. What comes out of a
cache is shared by everybody and must be treated as read-only.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Manifest: TypeAlias = dict[str, Any]
ConditionStatus: TypeAlias = Literal["True", "False", "Unknown"]


@dataclass(frozen=True, order=True)
class Kind:
    """A served resource: where its objects live in the API."""

    group: str
    """Empty for the core group."""
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """URL path of a collection, or of one object when ``name`` is given."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part is not None]
        return "/".join(parts)


POD = Kind("", "v1", "Pod", "pods")
SERVICE = Kind("", "v1", "Service", "services")
SECRET = Kind("", "v1", "Secret", "secrets")
EVENT = Kind("events.k8s.io", "v1", "Event", "events")
PERSISTENT_VOLUME_CLAIM = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
JOB = Kind("batch", "v1", "Job", "jobs")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
INGRESS = Kind("networking.k8s.io", "v1", "Ingress", "ingresses")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")


@dataclass(frozen=True, order=True)
class ObjectKey:
    """Namespace and name; the namespace is empty for cluster-scoped objects."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def key_of(obj: Mapping[str, Any]) -> ObjectKey:
    metadata = obj["metadata"]
    return ObjectKey(metadata.get("namespace", ""), metadata["name"])


def uid_of(obj: Mapping[str, Any]) -> str:
    """The object's uid, or an empty string for a manifest that was never stored."""
    uid: str = obj["metadata"].get("uid", "")
    return uid


def labels_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Mapping[str, Any]) -> Mapping[str, str]:
    return obj["metadata"].get("annotations") or {}


def malformed_field(metadata: Mapping[str, Any]) -> str | None:
    """The first field that is not as ObjectMeta has it, among those that are read here and in ``ownership.py``."""
    for field in ("name", "resourceVersion"):
        if not isinstance(metadata.get(field), str):
            return field
    return next((field for field, fits in _OPTIONAL_METADATA.items() if not fits(metadata.get(field))), None)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_map_of_text(value: object) -> bool:
    return value is None or (isinstance(value, dict) and all(isinstance(text, str) for text in value.values()))


def _is_list_of_owners(value: object) -> bool:
    return value is None or (
        isinstance(value, list)
        and all(
            isinstance(owner, dict) and all(isinstance(owner.get(field), str) for field in ("kind", "name", "uid"))
            for owner in value
        )
    )


_OPTIONAL_METADATA: Final[Mapping[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("namespace", "uid", "creationTimestamp", "deletionTimestamp"), _is_text),
    "generation": lambda value: value is None or isinstance(value, int),
    **dict.fromkeys(("labels", "annotations"), _is_map_of_text),
    "ownerReferences": _is_list_of_owners,
}


def is_deleting(obj: Mapping[str, Any]) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


@dataclass(frozen=True)
class PolicyRule:
    """One RBAC rule that a reconciler needs; ``config/rbac`` is generated from these."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
