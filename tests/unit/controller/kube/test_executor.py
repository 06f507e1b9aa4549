"""The order of writes, deletions, and what ends a plan."""

import pytest

from aurora_controller.kube.errors import (
    ApiError,
    Forbidden,
    Invalid,
    NamespaceTerminating,
    NotFound,
    OutcomeUnknown,
)
from aurora_controller.kube.executor import Outcome
from aurora_controller.kube.meta import SECRET, SERVICE
from aurora_controller.kube.reconcile import (
    Apply,
    Create,
    Delete,
    PatchStatus,
)
from tests.unit.controller.kube.executing import WIDGET, Executing


@pytest.fixture
def world() -> Executing:
    return Executing()


async def test_writes_are_performed_in_their_order_and_all_reported(world: Executing) -> None:
    outcome = await world.execute(
        Create(manifest=world.intent(SECRET, "keys")),
        Apply(manifest=world.intent(spec={"replicas": 1}), existing=None),
        PatchStatus(existing=world.widget, kind=WIDGET, status={"ready": True}),
    )

    assert outcome is Outcome.COMPLETED
    assert world.cluster.writes == ["create Secret keys", "apply Deployment wheel", "patch status Widget wheel"]
    assert [kind for kind, _ in world.reported.wrote_versions] == ["Secret", "Deployment", "Widget"]


async def test_a_deletion_names_the_uid_it_means(world: Executing) -> None:
    old = world.cluster.add(world.intent(SERVICE))
    world.cluster.remove(SERVICE, "wheel")
    world.cluster.add(world.intent(SERVICE))

    assert await world.execute(Delete(existing=old, kind=SERVICE)) is Outcome.OUTDATED
    assert world.cluster.names(SERVICE) == ["wheel"]


async def test_deleting_what_is_gone_is_success(world: Executing) -> None:
    service = world.cluster.add(world.intent(SERVICE))
    world.cluster.remove(SERVICE, "wheel")

    assert await world.execute(Delete(existing=service, kind=SERVICE)) is Outcome.COMPLETED
    assert world.reported.deleted_uids == [service["metadata"]["uid"]]


@pytest.mark.parametrize(
    "error",
    [
        NamespaceTerminating("being terminated", code=403, reason="Forbidden"),
        NotFound("namespaces team not found", code=404, details={"kind": "namespaces"}),
    ],
)
async def test_a_namespace_that_goes_away_ends_the_plan_quietly(world: Executing, error: ApiError) -> None:
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
async def test_every_other_refusal_is_raised_and_nothing_is_written_after_it(world: Executing, error: ApiError) -> None:
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
