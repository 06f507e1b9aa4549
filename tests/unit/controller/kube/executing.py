"""An executor on a cluster in memory, and a widget to write for."""

from typing import Any

from aurora_controller.kube.executor import Executor, Outcome
from aurora_controller.kube.meta import DEPLOYMENT, SECRET, SERVICE, Kind, Manifest, ObjectKey
from aurora_controller.kube.ownership import owner_reference
from aurora_controller.kube.reconcile import (
    Apply,
    Plan,
    Request,
    Write,
)
from tests.unit.fakes.cluster import FakeCluster

WIDGET = Kind("example.com", "v1", "Widget", "widgets")
REQUEST = Request("team", "wheel")
HASH = "example.com/intent"


def add_defaults(obj: Manifest) -> None:
    """As an API server would: a field of its own, and the canonical spelling of a quantity."""
    if obj["kind"] == "Deployment":
        obj["spec"].setdefault("revisionHistoryLimit", 10)
        if obj["spec"].get("limits") == {"cpu": "1000m"}:
            obj["spec"]["limits"] = {"cpu": "1"}
        if obj["spec"].get("text") == " padded ":
            obj["spec"]["text"] = "padded"


class WrittenDown:
    """What the executor reports of its writes."""

    def __init__(self) -> None:
        self.wrote_versions: list[tuple[str, str]] = []
        self.deleted_uids: list[str] = []

    def wrote(self, request: Request, kind: Kind, obj: Manifest) -> None:
        assert request == REQUEST
        self.wrote_versions.append((kind.kind, obj["metadata"]["resourceVersion"]))

    def deleted(self, request: Request, kind: Kind, key: ObjectKey, uid: str) -> None:
        self.deleted_uids.append(uid)


class Executing:
    def __init__(self) -> None:
        self.cluster = FakeCluster(WIDGET, DEPLOYMENT, SERVICE, SECRET, defaults=add_defaults)
        self.reported = WrittenDown()
        self.executor = Executor(client=self.cluster, writes=self.reported, field_manager="us", intent_annotation=HASH)
        self.widget = self.cluster.add(an_object(WIDGET, "wheel", spec={"size": 1}))

    async def execute(self, *writes: Write) -> Outcome:
        self.cluster.writes.clear()
        return await self.executor.execute(REQUEST, Plan(writes=writes))

    def intent(self, kind: Kind = DEPLOYMENT, name: str = "wheel", **content: Any) -> Manifest:
        return an_object(kind, name, owner=self.widget, **content)

    def cached(self, kind: Kind = DEPLOYMENT, name: str = "wheel") -> Manifest | None:
        return self.cluster.cache.get(kind, ObjectKey("team", name))

    async def apply(self, intent: Manifest) -> Outcome:
        """As the next reconcile would: with what the cache has."""
        kind = self.cluster.kind_of(intent)
        return await self.execute(Apply(manifest=intent, existing=self.cached(kind, intent["metadata"]["name"])))


def an_object(
    kind: Kind, name: str, *, owner: Manifest | None = None, labels: dict[str, str] | None = None, **content: Any
) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": "team"}
    if labels:
        metadata["labels"] = labels
    if owner is not None:
        metadata["ownerReferences"] = [owner_reference(owner, WIDGET)]
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}
