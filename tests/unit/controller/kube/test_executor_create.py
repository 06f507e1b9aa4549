"""What is created once: a name that is taken is ours, or an outdated observation, or a conflict."""

import pytest

from aurora_controller.kube.errors import (
    OutcomeUnknown,
)
from aurora_controller.kube.executor import Outcome
from aurora_controller.kube.meta import SECRET
from aurora_controller.kube.reconcile import (
    Create,
    PatchStatus,
    Waiting,
)
from tests.unit.controller.kube.executing import WIDGET, Executing, an_object


@pytest.fixture
def world() -> Executing:
    return Executing()


async def test_creating_what_exists_ends_the_plan_quietly(world: Executing) -> None:
    world.cluster.add(world.intent(SECRET, "keys", data={"key": "b2xk"}))

    outcome = await world.execute(
        Create(manifest=world.intent(SECRET, "keys", data={"key": "bmV3"})),
        PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}),
    )

    assert outcome is Outcome.OUTDATED
    assert "patch status Widget wheel" not in world.cluster.writes


async def test_creating_what_we_created_before_the_answer_was_lost_succeeds(world: Executing) -> None:
    manifest = world.intent(SECRET, "keys", data={"key": "c2FtZQ=="})

    def lose(_: str) -> None:
        raise OutcomeUnknown("connection reset")

    world.cluster.after_write = lose
    with pytest.raises(OutcomeUnknown):
        await world.execute(Create(manifest=manifest))
    world.cluster.after_write = lambda _: None

    assert await world.execute(Create(manifest=manifest)) is Outcome.COMPLETED
    assert len(world.reported.wrote_versions) == 1


async def test_creating_what_belongs_to_somebody_else_is_an_owner_conflict(world: Executing) -> None:
    world.cluster.add(an_object(SECRET, "keys", data={"key": "c2FtZQ=="}))

    with pytest.raises(Waiting, match="OwnerConflict"):
        await world.execute(Create(manifest=world.intent(SECRET, "keys", data={"key": "c2FtZQ=="})))


async def test_a_reservation_that_another_made_is_not_mistaken_for_ours(world: Executing) -> None:
    world.cluster.add(an_object(WIDGET, "v3", spec={"run": "theirs"}))

    outcome = await world.execute(Create(manifest=an_object(WIDGET, "v3", spec={"run": "ours"})))

    assert outcome is Outcome.OUTDATED
