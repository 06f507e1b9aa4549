"""What is applied: what differs, to the object that was meant, and nobody else's."""

import copy

import pytest

from aurora_controller.kube.errors import Conflict
from aurora_controller.kube.executor import Outcome
from aurora_controller.kube.meta import DEPLOYMENT, SERVICE, Kind, Manifest, ObjectKey
from aurora_controller.kube.reconcile import (
    Apply,
    Waiting,
)
from tests.unit.controller.kube.executing import WIDGET, Executing, an_object


@pytest.fixture
def world() -> Executing:
    return Executing()


async def test_what_is_already_so_is_not_sent(world: Executing) -> None:
    intent = world.intent(spec={"replicas": 1, "limits": {"cpu": "1000m"}})
    await world.apply(intent)

    await world.apply(copy.deepcopy(intent))

    assert world.cluster.writes == []


async def test_a_changed_intent_is_sent(world: Executing) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))

    await world.apply(world.intent(spec={"replicas": 2}))

    assert world.cluster.live(DEPLOYMENT, "wheel")["spec"]["replicas"] == 2


async def test_a_field_that_somebody_else_changed_is_put_right(world: Executing) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))
    world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"replicas": 7}})

    await world.apply(world.intent(spec={"replicas": 1}))

    assert world.cluster.live(DEPLOYMENT, "wheel")["spec"]["replicas"] == 1


async def test_a_field_that_somebody_else_added_is_left_alone(world: Executing) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))
    world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"paused": True}})

    await world.apply(world.intent(spec={"replicas": 1}))

    assert world.cluster.writes == []
    assert world.cluster.live(DEPLOYMENT, "wheel")["spec"]["paused"] is True


async def test_a_field_that_left_the_intent_is_removed(world: Executing) -> None:
    await world.apply(world.intent(spec={"replicas": 1, "paused": True}))

    await world.apply(world.intent(spec={"replicas": 1}))

    assert "paused" not in world.cluster.live(DEPLOYMENT, "wheel")["spec"]


async def test_what_the_server_stores_in_another_form_is_sent_once_per_version(world: Executing) -> None:
    intent = world.intent(spec={"text": " padded "})
    await world.apply(intent)

    await world.apply(intent)
    assert world.cluster.writes == []

    world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"other": 1}})
    await world.apply(intent)
    assert world.cluster.writes == ["apply Deployment wheel"]
    await world.apply(intent)
    assert world.cluster.writes == []


async def test_an_object_deleted_meanwhile_is_not_resurrected(world: Executing) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))
    existing = world.cached()
    world.cluster.remove(DEPLOYMENT, "wheel")

    outcome = await world.execute(Apply(manifest=world.intent(spec={"replicas": 2}), existing=existing))

    assert outcome is Outcome.OUTDATED
    assert world.cluster.names(DEPLOYMENT) == []


async def test_an_object_being_deleted_is_not_written_to(world: Executing) -> None:
    await world.apply(world.intent(spec={"replicas": 1}))
    existing = copy.deepcopy(world.cached()) or {}
    existing["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"

    outcome = await world.execute(Apply(manifest=world.intent(spec={"replicas": 2}), existing=existing))

    assert (outcome, world.cluster.writes) == (Outcome.OUTDATED, [])


async def test_a_strangers_object_of_the_same_name_is_not_taken_over(world: Executing) -> None:
    world.cluster.add(an_object(SERVICE, "wheel", spec={"type": "LoadBalancer"}))

    with pytest.raises(Waiting, match="OwnerConflict: Service wheel exists and is not managed"):
        await world.execute(Apply(manifest=world.intent(SERVICE, spec={"type": "ClusterIP"}), existing=None))

    assert world.cluster.live(SERVICE, "wheel")["spec"] == {"type": "LoadBalancer"}


async def test_a_strangers_object_that_disagrees_in_no_field_is_not_taken_over(world: Executing) -> None:
    """An apply would merge into it without a conflict, our owner reference included: it would be deleted with us."""
    theirs = world.cluster.add(an_object(SERVICE, "wheel", spec={"externalName": "db.example.com"}))

    with pytest.raises(Waiting, match="OwnerConflict: Service wheel exists and is not managed"):
        await world.execute(Apply(manifest=world.intent(SERVICE, spec={"type": "ClusterIP"}), existing=None))

    assert world.cluster.live(SERVICE, "wheel") == theirs


async def test_a_strangers_object_that_appears_in_the_last_moment_is_not_taken_over(world: Executing) -> None:
    def appear(what: str) -> None:
        world.cluster.on_write = lambda _: None
        world.cluster.add(an_object(SERVICE, "wheel", spec={"externalName": "db.example.com"}))

    world.cluster.on_write = appear

    with pytest.raises(Waiting, match="OwnerConflict: Service wheel exists and is not managed"):
        await world.execute(Apply(manifest=world.intent(SERVICE, spec={"type": "ClusterIP"}), existing=None))

    assert world.cluster.live(SERVICE, "wheel")["spec"] == {"externalName": "db.example.com"}


async def test_a_conflict_over_what_is_gone_by_then_is_looked_at_again(world: Executing) -> None:
    def refuse(what: str) -> None:
        raise Conflict("the object has been modified", code=409, reason="Conflict")

    world.cluster.on_write = refuse

    assert await world.apply(world.intent(SERVICE, spec={})) is Outcome.OUTDATED


async def test_what_has_no_owner_is_applied_over_what_is_there(world: Executing) -> None:
    world.cluster.add(an_object(SERVICE, "wheel", spec={"externalName": "db.example.com"}))

    await world.execute(Apply(manifest=an_object(SERVICE, "wheel", spec={"type": "ClusterIP"}), existing=None))

    assert world.cluster.live(SERVICE, "wheel")["spec"] == {"externalName": "db.example.com", "type": "ClusterIP"}


async def test_what_is_created_takes_one_request(world: Executing) -> None:
    asked: list[ObjectKey] = []

    async def look(kind: Kind, key: ObjectKey) -> Manifest | None:
        asked.append(key)
        return None

    world.cluster.get_or_none = look  # type: ignore[method-assign]
    await world.apply(world.intent(SERVICE, spec={}))

    assert (world.cluster.writes, asked) == (["apply Service wheel"], [])


async def test_a_strangers_object_that_the_cache_knows_is_not_written_to(world: Executing) -> None:
    stranger = world.cluster.add(an_object(WIDGET, "stranger"))
    world.cluster.add(an_object(SERVICE, "wheel", owner=stranger, spec={}))

    with pytest.raises(Waiting, match="OwnerConflict: Service wheel belongs to Widget stranger"):
        await world.apply(world.intent(SERVICE, spec={"type": "ClusterIP"}))

    assert world.cluster.writes == []


async def test_the_children_of_an_earlier_object_of_the_same_name_are_waited_out(world: Executing) -> None:
    before = copy.deepcopy(world.widget)
    before["metadata"]["uid"] = "before"
    world.cluster.add(an_object(SERVICE, "wheel", owner=before, spec={}))

    with pytest.raises(Waiting, match="belongs to an earlier object of the same name"):
        await world.apply(world.intent(SERVICE, spec={"type": "ClusterIP"}))


async def test_an_orphan_with_our_labels_is_adopted(world: Executing) -> None:
    labels = {"app.kubernetes.io/managed-by": "us"}
    world.cluster.add(an_object(SERVICE, "wheel", labels=labels | {"more": "labels"}, spec={"type": "NodePort"}))

    await world.apply(world.intent(SERVICE, labels=labels, spec={"type": "ClusterIP"}))

    adopted = world.cluster.live(SERVICE, "wheel")
    assert adopted["spec"]["type"] == "ClusterIP"
    assert adopted["metadata"]["ownerReferences"][0]["uid"] == world.widget["metadata"]["uid"]


async def test_our_own_object_that_left_our_view_is_taken_back(world: Executing) -> None:
    """Somebody changed the label by which we watch it, so the cache says it is gone."""
    labels = {"app.kubernetes.io/managed-by": "us"}
    await world.apply(world.intent(SERVICE, labels=labels, spec={}))
    world.cluster.edit(SERVICE, "wheel", {"metadata": {"labels": {"app.kubernetes.io/managed-by": "them"}}})

    await world.execute(Apply(manifest=world.intent(SERVICE, labels=labels, spec={}), existing=None))

    assert world.cluster.live(SERVICE, "wheel")["metadata"]["labels"] == labels


async def test_replicas_are_handed_to_an_autoscaler_and_back_without_a_dip(world: Executing) -> None:
    """The live value is applied until somebody else has written the field, and again before it is ours alone."""
    seen: list[int] = []

    def look() -> None:
        seen.append((world.cached() or {"spec": {}})["spec"].get("replicas", 0))

    def live() -> int:
        return int((world.cached() or {})["spec"]["replicas"])

    await world.apply(world.intent(spec={"replicas": 3, "paused": False}))
    world.cluster.on_any_change = look
    await world.apply(world.intent(spec={"replicas": live(), "paused": True}))
    world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"replicas": 5}})
    await world.apply(world.intent(spec={"paused": True}))
    world.cluster.edit(DEPLOYMENT, "wheel", {"spec": {"replicas": 6}})
    await world.apply(world.intent(spec={"paused": False}))
    await world.apply(world.intent(spec={"replicas": live()}))
    await world.apply(world.intent(spec={"replicas": 4}))
    assert list(dict.fromkeys(seen)) == [3, 5, 6, 4]
