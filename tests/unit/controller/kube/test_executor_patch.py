"""Patches of status and metadata: what differs, of the object that was decided on."""

import pytest

from aurora_controller.kube.executor import Outcome
from aurora_controller.kube.reconcile import (
    PatchMetadata,
    PatchStatus,
)
from tests.unit.controller.kube.executing import WIDGET, Executing


@pytest.fixture
def world() -> Executing:
    return Executing()


async def test_a_status_that_does_not_differ_is_not_sent(world: Executing) -> None:
    status = {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}
    await world.execute(PatchStatus(existing=world.widget, kind=WIDGET, status=status))

    await world.execute(PatchStatus(existing=world.cached(WIDGET) or {}, kind=WIDGET, status=status))

    assert world.cluster.writes == []


async def test_keys_of_the_status_that_are_not_named_are_left_alone_and_named_ones_are_complete(
    world: Executing,
) -> None:
    widget = world.cluster.edit(
        WIDGET, "wheel", {"status": {"theirs": 1, "ours": {"old": 1, "same": 2}, "leaving": True}}
    )

    await world.execute(
        PatchStatus(existing=widget, kind=WIDGET, status={"ours": {"same": 2, "new": 3}, "leaving": None})
    )

    assert world.cluster.live(WIDGET, "wheel")["status"] == {"theirs": 1, "ours": {"same": 2, "new": 3}}


async def test_a_status_decided_on_an_old_object_is_not_written(world: Executing) -> None:
    world.cluster.edit(WIDGET, "wheel", {"spec": {"size": 2}})

    outcome = await world.execute(PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}))

    assert outcome is Outcome.OUTDATED
    assert "status" not in world.cluster.live(WIDGET, "wheel")


async def test_a_plan_may_patch_one_object_more_than_once(world: Executing) -> None:
    outcome = await world.execute(
        PatchStatus(existing=world.widget, kind=WIDGET, status={"version": 1}),
        PatchMetadata(existing=world.widget, kind=WIDGET, annotations={"done": "yes"}),
        PatchStatus(existing=world.widget, kind=WIDGET, status={"version": 1, "ready": True}),
    )

    assert outcome is Outcome.COMPLETED
    assert world.cluster.live(WIDGET, "wheel")["status"] == {"version": 1, "ready": True}


async def test_labels_and_annotations_are_set_and_removed_one_by_one(world: Executing) -> None:
    widget = world.cluster.edit(
        WIDGET, "wheel", {"metadata": {"labels": {"a": "1", "b": "2"}, "annotations": {"ask": "x"}}}
    )

    await world.execute(
        PatchMetadata(existing=widget, kind=WIDGET, labels={"a": "9"}, annotations={"ask": None, "none": None})
    )

    metadata = world.cluster.live(WIDGET, "wheel")["metadata"]
    assert (metadata["labels"], metadata["annotations"]) == ({"a": "9", "b": "2"}, {})
    assert world.cluster.writes == ["patch Widget wheel"]


async def test_labels_that_are_so_already_send_nothing(world: Executing) -> None:
    widget = world.cluster.edit(WIDGET, "wheel", {"metadata": {"labels": {"a": "1"}}})

    await world.execute(PatchMetadata(existing=widget, kind=WIDGET, labels={"a": "1", "gone": None}))

    assert world.cluster.writes == []


async def test_patching_what_is_gone_ends_the_plan_quietly(world: Executing) -> None:
    world.cluster.remove(WIDGET, "wheel")

    outcome = await world.execute(PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}))

    assert outcome is Outcome.OUTDATED
