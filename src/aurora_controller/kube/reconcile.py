"""The contract of a reconciler: what it is asked, what it answers, and how it says who acts next.

A reconciler observes the cluster into one frozen value, decides purely (``plan``), and hands the writes
to the executor (``kube/executor.py``), the only thing that writes. So every prefix of the writes can be
tested as a crash point without a cluster.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from aurora_controller.kube.meta import Kind, Manifest, ObjectKey, PolicyRule

Request: TypeAlias = ObjectKey
"""Which object to reconcile: a key, never an event."""


@dataclass(frozen=True, kw_only=True)
class Create:
    """A plain POST: for random values and reservations. An existing object ends the reconcile, quietly asked again.

    For what is never applied: an apply removes no field that a create has set (docs/adr/0006-cheaper-writes.md).
    """

    manifest: Manifest


@dataclass(frozen=True, kw_only=True)
class Apply:
    """Server-side apply of the whole intent, forced.

    ``existing`` is the cached object this intent brings up to date, or None to create it. Its uid travels with
    the request, so an object deleted meanwhile is not resurrected under another's identity. The executor sends
    nothing when the cached object already holds everything the intent asks for.
    """

    manifest: Manifest
    existing: Manifest | None


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Deletes exactly this object (uid precondition); already gone is success, another one is an old observation."""

    existing: Manifest
    kind: Kind
    propagation: Literal["Background", "Foreground"] = "Background"


@dataclass(frozen=True, kw_only=True)
class PatchStatus:
    """Merge patch of the status subresource with what differs; nothing differing sends nothing.

    Keys missing from ``status`` are left alone, ``None`` removes. The patch carries the resourceVersion that was
    observed, so a decision made on an old object ends in a conflict and is made again.
    """

    existing: Manifest
    kind: Kind
    status: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class PatchMetadata:
    """Merge patch of labels or annotations (``None`` removes a key); nothing differing sends nothing."""

    existing: Manifest
    kind: Kind
    labels: Mapping[str, str | None] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Confirm:
    """Reads the object live: unless this very one is there, and not being deleted, the observation is outdated.

    For a decision that is made once and rests on an object which the plan leaves as it is: no precondition of a
    write would tell that the cache still shows what is gone. It stands before the writes that rest on it.
    """

    existing: Manifest
    kind: Kind


Write: TypeAlias = Create | Apply | Delete | PatchStatus | PatchMetadata | Confirm


@dataclass(frozen=True, kw_only=True)
class EventNote:
    """A Kubernetes Event about the reconciled object, sent after the writes, best effort."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do now, in this order, and when to look again unless something changes first."""

    writes: Sequence[Write] = ()
    events: Sequence[EventNote] = ()
    requeue_after_seconds: float | None = None


Observed = TypeVar("Observed")


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Objects of ``kind`` that concern the reconciler, and whose requests an event of one of them causes.

    ``requests`` receives the object as it was before (on update and delete) and as it is, one call each.
    ``label_selector`` is sent to the API server; leave it empty for kinds that are Aurora's own.
    """

    kind: Kind
    requests: Callable[[Manifest], Iterable[Request]]
    label_selector: str = ""


class ObjectReader(Protocol):
    """What a reconciler observes: ``kube/cache.py``, as far as it needs it. What it hands out is read-only."""

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...
    def list(self, kind: Kind, namespace: str | None = None) -> Sequence[Manifest]: ...
    def with_label(self, kind: Kind, label: str, value: str, namespace: str | None = None) -> Sequence[Manifest]: ...
    def with_field(self, kind: Kind, field: str, value: str, namespace: str | None = None) -> Sequence[Manifest]: ...


class Reconciler(Protocol[Observed]):
    """Brings objects of one kind to their desired state. ``plan`` is pure."""

    name: str
    kind: Kind
    primary_condition: str
    """The condition that sums the object up, such as Ready: where Waiting and errors are shown."""
    watches: Sequence[Watch]
    """Beside ``kind`` itself, which is always watched."""
    rules: Sequence[PolicyRule]

    async def observe(self, request: Request) -> Observed | None:
        """All that matters in one frozen value, or None when there is nothing to do (gone, being deleted)."""
        ...

    def plan(self, observed: Observed, now: datetime) -> Plan: ...


class ReconcileError(Exception):
    """Root of what a reconciler raises on purpose: ReconcileError → Waiting, Stalled."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


class Waiting(ReconcileError):
    """Time will help: asked again after ``retry_after_seconds``."""

    def __init__(self, reason: str, message: str, retry_after_seconds: float) -> None:
        super().__init__(reason, message)
        self.retry_after_seconds = retry_after_seconds


class Stalled(ReconcileError):
    """A person must change the spec: asked again at the next change of the object."""
