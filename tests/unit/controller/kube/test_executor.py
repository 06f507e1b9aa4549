"""What the executor sends, what it leaves out, and what it never touches."""

import copy
from typing import Any

import pytest

from aurora_controller.kube.errors import (
    ApiError,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    OutcomeUnknown,
)
from aurora_controller.kube.executor import Executor, Outcome
from aurora_controller.kube.meta import DEPLOYMENT, SECRET, SERVICE, Kind, Manifest, ObjectKey
from aurora_controller.kube.ownership import owner_reference
from aurora_controller.kube.reconcile import (
    Apply,
    Create,
    Delete,
    PatchMetadata,
    PatchStatus,
    Plan,
    Request,
    Waiting,
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


class World:
    """An executor, the cluster it writes to, and a widget to write for."""

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


@pytest.fixture
def world() -> World:
    return World()


async def test_writes_are_performed_in_their_order_and_all_reported(world: World) -> None:
    outcome = await world.execute(
        Create(manifest=world.intent(SECRET, "keys")),
        Apply(manifest=world.intent(spec={"replicas": 1}), existing=None),
        PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}),
    )

    assert outcome is Outcome.COMPLETED
    assert world.cluster.writes == ["create Secret keys", "apply Deployment wheel", "patch status Widget wheel"]
    assert [kind for kind, _ in world.reported.wrote_versions] == ["Secret", "Deployment", "Widget"]


# Apply


async def test_what_is_already_so_is_not_sent(world: World) -> None:
    intent = world.intent(spec={"replicas": 1, "limits": {"cpu": "1000m"}})
    await world.apply(intent)

    await world.apply(copy.deepcopy(intent))

    assert world.cluster.writes == []


async def test_a_changed_intent_is_sent(world: World) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))

    await world.apply(world.intent(spec={"replicas": 2}))

    assert world.cluster.live(DEPLOYMENT, "wheel")["spec"]["replicas"] == 2


async def test_a_field_that_somebody_else_changed_is_put_right(world: World) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))
    world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"replicas": 7}})

    await world.apply(world.intent(spec={"replicas": 1}))

    assert world.cluster.live(DEPLOYMENT, "wheel")["spec"]["replicas"] == 1


async def test_a_field_that_somebody_else_added_is_left_alone(world: World) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))
    world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"paused": True}})

    await world.apply(world.intent(spec={"replicas": 1}))

    assert world.cluster.writes == []
    assert world.cluster.live(DEPLOYMENT, "wheel")["spec"]["paused"] is True


async def test_a_field_that_left_the_intent_is_removed(world: World) -> None:
    await world.apply(world.intent(spec={"replicas": 1, "paused": True}))

    await world.apply(world.intent(spec={"replicas": 1}))

    assert "paused" not in world.cluster.live(DEPLOYMENT, "wheel")["spec"]


async def test_what_the_server_stores_in_another_form_is_sent_once_per_version(world: World) -> None:
    intent = world.intent(spec={"text": " padded "})
    await world.apply(intent)

    await world.apply(intent)
    assert world.cluster.writes == []

    world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"other": 1}})
    await world.apply(intent)
    assert world.cluster.writes == ["apply Deployment wheel"]
    await world.apply(intent)
    assert world.cluster.writes == []


async def test_an_object_deleted_meanwhile_is_not_resurrected(world: World) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))
    existing = world.cached()
    world.cluster.remove(DEPLOYMENT, "wheel")

    outcome = await world.execute(Apply(manifest=world.intent(spec={"replicas": 2}), existing=existing))

    assert outcome is Outcome.OUTDATED
    assert world.cluster.names(DEPLOYMENT) == []


async def test_an_object_being_deleted_is_not_written_to(world: World) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))
    existing = copy.deepcopy(world.cached()) or {}
    existing["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"

    outcome = await world.execute(Apply(manifest=world.intent(spec={"replicas": 2}), existing=existing))

    assert (outcome, world.cluster.writes) == (Outcome.OUTDATED, [])


async def test_a_strangers_object_of_the_same_name_is_not_taken_over(world: World) -> None:
    world.cluster.add(an_object(SERVICE, "wheel", spec={"type": "LoadBalancer"}))

    with pytest.raises(Waiting, match="OwnerConflict: Service wheel exists and is not managed"):
        await world.execute(Apply(manifest=world.intent(SERVICE, spec={"type": "ClusterIP"}), existing=None))

    assert world.cluster.live(SERVICE, "wheel")["spec"] == {"type": "LoadBalancer"}


async def test_a_strangers_object_that_disagrees_in_no_field_is_not_taken_over(world: World) -> None:
    """An apply would merge into it without a conflict, our owner reference included: it would be deleted with us."""
    world.cluster.add(an_object(SERVICE, "wheel", spec={"externalName": "db.example.com"}))

    with pytest.raises(Waiting, match="OwnerConflict: Service wheel exists and is not managed"):
        await world.execute(Apply(manifest=world.intent(SERVICE, spec={"type": "ClusterIP"}), existing=None))

    assert world.cluster.writes == []


async def test_a_strangers_object_that_appears_in_between_loses_no_field(world: World) -> None:
    def appear(what: str) -> None:
        world.cluster.on_write = lambda _: None
        world.cluster.add(an_object(SERVICE, "wheel", spec={"type": "LoadBalancer"}))

    world.cluster.on_write = appear
    outcome = await world.execute(Apply(manifest=world.intent(SERVICE, spec={"type": "ClusterIP"}), existing=None))

    assert outcome is Outcome.OUTDATED
    assert world.cluster.live(SERVICE, "wheel")["spec"] == {"type": "LoadBalancer"}


async def test_a_strangers_object_that_the_cache_knows_is_not_written_to(world: World) -> None:
    stranger = world.cluster.add(an_object(WIDGET, "stranger"))
    world.cluster.add(an_object(SERVICE, "wheel", owner=stranger, spec={}))

    with pytest.raises(Waiting, match="OwnerConflict: Service wheel belongs to Widget stranger"):
        await world.apply(world.intent(SERVICE, spec={"type": "ClusterIP"}))

    assert world.cluster.writes == []


async def test_the_children_of_an_earlier_object_of_the_same_name_are_waited_out(world: World) -> None:
    before = copy.deepcopy(world.widget)
    before["metadata"]["uid"] = "before"
    world.cluster.add(an_object(SERVICE, "wheel", owner=before, spec={}))

    with pytest.raises(Waiting, match="belongs to an earlier object of the same name"):
        await world.apply(world.intent(SERVICE, spec={"type": "ClusterIP"}))


async def test_an_orphan_with_our_labels_is_adopted(world: World) -> None:
    labels = {"app.kubernetes.io/managed-by": "us"}
    world.cluster.add(an_object(SERVICE, "wheel", labels=labels | {"more": "labels"}, spec={"type": "NodePort"}))

    await world.apply(world.intent(SERVICE, labels=labels, spec={"type": "ClusterIP"}))

    adopted = world.cluster.live(SERVICE, "wheel")
    assert adopted["spec"]["type"] == "ClusterIP"
    assert adopted["metadata"]["ownerReferences"][0]["uid"] == world.widget["metadata"]["uid"]


async def test_our_own_object_that_left_our_view_is_taken_back(world: World) -> None:
    """Somebody changed the label by which we watch it, so the cache says it is gone."""
    labels = {"app.kubernetes.io/managed-by": "us"}
    await world.apply(world.intent(SERVICE, labels=labels, spec={}))
    world.cluster.edit(SERVICE, "wheel", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "them"}}})

    await world.execute(Apply(manifest=world.intent(SERVICE, labels=labels, spec={}), existing=None))

    assert world.cluster.live(SERVICE, "wheel")["metadata"]["labels"] == labels


# Create


async def test_creating_what_exists_ends_the_plan_quietly(world: World) -> None:
    world.cluster.add(world.intent(SECRET, "keys", data={"key": "b2xk"}))

    outcome = await world.execute(
        Create(manifest=world.intent(SECRET, "keys", data={"key": "bmV3"})),
        PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}),
    )

    assert outcome is Outcome.OUTDATED
    assert "patch status Widget wheel" not in world.cluster.writes


async def test_creating_what_we_created_before_the_answer_was_lost_succeeds(world: World) -> None:
    manifest = world.intent(SECRET, "keys", data={"key": "c2FtZQ=="})

    def lose(_: str) -> None:
        raise OutcomeUnknown("connection reset")

    world.cluster.after_write = lose
    with pytest.raises(OutcomeUnknown):
        await world.execute(Create(manifest=manifest))
    world.cluster.after_write = lambda _: None

    assert await world.execute(Create(manifest=manifest)) is Outcome.COMPLETED
    assert len(world.reported.wrote_versions) == 1


async def test_creating_what_belongs_to_somebody_else_is_an_owner_conflict(world: World) -> None:
    world.cluster.add(an_object(SECRET, "keys", data={"key": "c2FtZQ=="}))

    with pytest.raises(Waiting, match="OwnerConflict"):
        await world.execute(Create(manifest=world.intent(SECRET, "keys", data={"key": "c2FtZQ=="})))


async def test_a_reservation_that_another_made_is_not_mistaken_for_ours(world: World) -> None:
    world.cluster.add(an_object(WIDGET, "v3", spec={"run": "theirs"}))

    outcome = await world.execute(Create(manifest=an_object(WIDGET, "v3", spec={"run": "ours"})))

    assert outcome is Outcome.OUTDATED


# Delete


async def test_a_deletion_names_the_uid_it_means(world: World) -> None:
    old = world.cluster.add(world.intent(SERVICE))
    world.cluster.remove(SERVICE, "wheel")
    world.cluster.add(world.intent(SERVICE))

    assert await world.execute(Delete(existing=old, kind=SERVICE)) is Outcome.COMPLETED
    assert world.cluster.names(SERVICE) == ["wheel"]


async def test_deleting_what_is_gone_is_success(world: World) -> None:
    service = world.cluster.add(world.intent(SERVICE))
    world.cluster.remove(SERVICE, "wheel")

    assert await world.execute(Delete(existing=service, kind=SERVICE)) is Outcome.COMPLETED
    assert world.reported.deleted_uids == [service["metadata"]["uid"]]


# Patches


async def test_a_status_that_does_not_differ_is_not_sent(world: World) -> None:
    status = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
    await world.execute(PatchStatus(existing=world.widget, kind=WIDGET, status=status))

    await world.execute(PatchStatus(existing=world.cached(WIDGET) or {}, kind=WIDGET, status=status))

    assert world.cluster.writes == []


async def test_keys_of_the_status_that_are_not_named_are_left_alone_and_named_ones_are_complete(world: World) -> None:
    widget = world.cluster.edit(
        WIDGET, "wheel", {"status": {"theirs": 1, "ours": {"old": 1, "same": 2}, "leaving": True}}
    )

    await world.execute(
        PatchStatus(existing=widget, kind=WIDGET, status={"ours": {"same": 2, "new": 3}, "leaving": None})
    )

    assert world.cluster.live(WIDGET, "wheel")["status"] == {"theirs": 1, "ours": {"same": 2, "new": 3}}


async def test_a_status_decided_on_an_old_object_is_not_written(world: World) -> None:
    world.cluster.edit(WIDGET, "wheel", {"spec": {"size": 2}})

    outcome = await world.execute(PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}))

    assert outcome is Outcome.OUTDATED
    assert "status" not in world.cluster.live(WIDGET, "wheel")


async def test_a_plan_may_patch_one_object_more_than_once(world: World) -> None:
    outcome = await world.execute(
        PatchStatus(existing=world.widget, kind=WIDGET, status={"version": 1}),
        PatchMetadata(existing=world.widget, kind=WIDGET, annotations={"done": "yes"}),
        PatchStatus(existing=world.widget, kind=WIDGET, status={"version": 1, "ready": True}),
    )

    assert outcome is Outcome.COMPLETED
    assert world.cluster.live(WIDGET, "wheel")["status"] == {"version": 1, "ready": True}


async def test_labels_and_annotations_are_set_and_removed_one_by_one(world: World) -> None:
    widget = world.cluster.edit(
        WIDGET, "wheel", {"metadata": {"labels": {"a": "1", "b": "2"}, "annotations": {"ask": "x"}}}
    )

    await world.execute(
        PatchMetadata(existing=widget, kind=WIDGET, labels={"a": "9"}, annotations={"ask": None, "none": None})
    )

    metadata = world.cluster.live(WIDGET, "wheel")["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"a": "9", "b": "2"}, {})
    assert world.cluster.writes == ["patch Widget wheel"]


async def test_labels_that_are_so_already_send_nothing(world: World) -> None:
    widget = world.cluster.edit(WIDGET, "wheel", {"metadata": {"labels": {"a": "1"}}})

    await world.execute(PatchMetadata(existing=widget, kind=WIDGET, labels={"a": "1", "gone": None}))

    assert world.cluster.writes == []


async def test_patching_what_is_gone_ends_the_plan_quietly(world: World) -> None:
    world.cluster.remove(WIDGET, "wheel")

    outcome = await world.execute(PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}))

    assert outcome is Outcome.OUTDATED


# Refusals


@pytest.mark.parametrize(
    "error",
    [
        NamespaceTerminating("being terminated", code=403, reason="Forbidden"),
        NotFound("namespaces team not found", code=404, details={"kind": "namespaces"}),
    ],
)
async def test_a_namespace_that_goes_away_ends_the_plan_quietly(world: World, error: ApiError) -> None:
    def refuse(_: str) -> None:
        raise error

    world.cluster.on_write = refuse

    assert await world.apply(world.intent(spec={})) is Outcome.LEAVING


@pytest.mark.parametrize(
    "error",
    [
        Forbidden("exceeded quota", code=403),
        Invalid("replicas must not be negative", code=422),
        NotFound("the server could not find the requested resource", code=404),
        OutcomeUnknown("connection reset"),
    ],
)
async def test_every_other_refusal_is_raised_and_nothing_is_written_after_it(world: World, error: ApiError) -> None:
    def refuse(line: str) -> None:
        if line.startswith("apply"):
            raise error

    world.cluster.on_write = refuse

    with pytest.raises(type(error)):
        await world.execute(
            Apply(manifest=world.intent(spec={}), existing=None),
            PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}),
        )

    assert world.cluster.writes == []
