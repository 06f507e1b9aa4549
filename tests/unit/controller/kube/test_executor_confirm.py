"""What a plan rests on without writing it is looked at live before what rests on it is written."""

from aurora_controller.kube.executor import Outcome
from aurora_controller.kube.meta import SERVICE, Manifest
from aurora_controller.kube.reconcile import Confirm, PatchStatus
from tests.unit.controller.kube.executing import WIDGET, Executing, an_object


async def test_what_is_there_lets_the_plan_go_on() -> None:
    world = Executing()
    basis = world.cluster.add(an_object(SERVICE, "basis"))
    assert await decide_on(world, basis) is Outcome.COMPLETED
    assert world.cluster.live(WIDGET, "wheel")["status"] == {"ready": True}


async def test_what_is_gone_ends_the_reconcile_before_anything_rests_on_it() -> None:
    world = Executing()
    basis = world.cluster.add(an_object(SERVICE, "basis"))
    world.cluster.remove(SERVICE, "basis")
    assert await decide_on(world, basis) is Outcome.OUTDATED
    assert "status" not in world.cluster.live(WIDGET, "wheel")


async def test_another_object_of_that_name_is_not_what_the_plan_rests_on() -> None:
    world = Executing()
    basis = world.cluster.add(an_object(SERVICE, "basis"))
    world.cluster.remove(SERVICE, "basis")
    world.cluster.add(an_object(SERVICE, "basis"))
    assert await decide_on(world, basis) is Outcome.OUTDATED


async def test_what_is_being_deleted_is_nothing_to_rest_on() -> None:
    world = Executing()
    basis = world.cluster.add(an_object(SERVICE, "basis"))
    world.cluster.edit(SERVICE, "basis", {"metadata": {"deletionTimestamp": "2026-11-28T10:00:00Z"}})
    assert await decide_on(world, basis) is Outcome.OUTDATED


async def decide_on(world: Executing, basis: Manifest) -> Outcome:
    return await world.execute(
        Confirm(existing=basis, kind=SERVICE),
        PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}),
    )
