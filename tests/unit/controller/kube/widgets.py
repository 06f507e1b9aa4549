"""A toy kind and its reconciler: a Widget has a Secret made once, a Deployment, a Service, and a status."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from aurora_controller.kube.conditions import carried_over, conditions_of, set_condition
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    ObjectKey,
    PolicyRule,
    is_deleting,
)
from aurora_controller.kube.ownership import controller_of, owner_reference
from aurora_controller.kube.reconcile import (
    Apply,
    Create,
    Delete,
    EventNote,
    PatchStatus,
    Plan,
    Request,
    Watch,
    Write,
)

WIDGET = Kind("example.com", "v1", "Widget", "widgets")
KINDS = (WIDGET, SECRET, DEPLOYMENT, SERVICE)


class Objects(Protocol):
    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...


def a_widget(name: str = "wheel", **spec: Any) -> Manifest:
    return {
        "apiVersion": WIDGET.api_version,
        "kind": WIDGET.kind,
        "metadata": {"namespace": "team", "name": name},
        "spec": {"replicas": 1, **spec},
    }


@dataclass(frozen=True, kw_only=True)
class ObservedWidget:
    widget: Manifest
    secret: Manifest | None
    deployment: Manifest | None
    service: Manifest | None


@dataclass(kw_only=True)
class WidgetReconciler:
    """``before_plan`` lets a test make it fail."""

    cache: Objects
    before_plan: Callable[[ObservedWidget], None] = lambda _: None
    requeue_after_seconds: float | None = None
    name: str = "widget"
    kind: Kind = WIDGET
    primary_condition: str = "Ready"
    watches: Sequence[Watch] = field(
        default_factory=lambda: [Watch(kind=kind, requests=owner_request) for kind in (SECRET, DEPLOYMENT, SERVICE)]
    )
    rules: Sequence[PolicyRule] = ()
    plans: int = 0

    async def observe(self, request: Request) -> ObservedWidget | None:
        widget = self.cache.get(WIDGET, request)
        if widget is None or is_deleting(widget):
            return None
        return ObservedWidget(
            widget=widget,
            secret=self.cache.get(SECRET, request),
            deployment=self.cache.get(DEPLOYMENT, request),
            service=self.cache.get(SERVICE, request),
        )

    def plan(self, observed: ObservedWidget, now: datetime) -> Plan:
        self.plans += 1
        self.before_plan(observed)
        widget = observed.widget
        writes: list[Write] = []
        if observed.secret is None:
            writes.append(Create(manifest=child(widget, SECRET, data={"key": f"secret-{self.plans}"})))
        replicas = widget["spec"]["replicas"]
        writes.append(
            Apply(manifest=child(widget, DEPLOYMENT, spec={"replicas": replicas}), existing=observed.deployment)
        )
        if widget["spec"].get("exposed", True):
            writes.append(Apply(manifest=child(widget, SERVICE, spec={"port": 80}), existing=observed.service))
        elif observed.service is not None:
            writes.append(Delete(existing=observed.service, kind=SERVICE))
        conditions = set_condition(
            carried_over(conditions_of(widget)),
            type="Ready",
            status="True",
            reason="Applied",
            message="",
            generation=widget["metadata"]["generation"],
            now=now,
        )
        status = {"observedGeneration": widget["metadata"]["generation"], "conditions": conditions}
        writes.append(PatchStatus(existing=widget, kind=WIDGET, status=status))
        is_first = not conditions_of(widget)
        events = [EventNote(type="Normal", reason="Applied", message="all there")] if is_first else []
        return Plan(writes=writes, events=events, requeue_after_seconds=self.requeue_after_seconds)


def child(widget: Manifest, kind: Kind, **content: Any) -> Manifest:
    metadata = {
        "namespace": widget["metadata"]["namespace"],
        "name": widget["metadata"]["name"],
        "ownerReferences": [owner_reference(widget, WIDGET)],
    }
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}


def owner_request(obj: Manifest) -> Iterable[Request]:
    owner = controller_of(obj)
    if owner is not None and owner["kind"] == WIDGET.kind:
        yield Request(obj["metadata"]["namespace"], owner["name"])
