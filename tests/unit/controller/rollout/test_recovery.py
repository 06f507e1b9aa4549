"""Objects and statuses can be lost, edited and re-created: what serves goes on serving, and everything comes back."""

import pytest

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL_VERSION
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    INGRESS,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    uid_of,
)
from aurora_controller.kube.reconcile import Waiting
from tests.unit.builders import a_deployment, a_model_version, a_workload
from tests.unit.controller.rollout.world import MODEL, NAME, World, a_world_with_a_canary


def _without_server_fields(obj: Manifest) -> Manifest:
    metadata = {
        name: value
        for name, value in obj["metadata"].items()
        if name not in {"uid", "resourceVersion", "generation", "creationTimestamp"}
    }
    return {**{name: value for name, value in obj.items() if name != "status"}, "metadata": metadata}


@pytest.mark.parametrize("kind", [DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET], ids=lambda kind: kind.kind)
async def test_every_deleted_child_comes_back_as_it_was(kind: Kind) -> None:
    world = await a_world_with_a_canary()
    before = {name: _without_server_fields(world.child(kind, name)) for name in world.names(kind)}
    for name in before:
        world.remove(kind, name)
    await world.run(20)
    assert {name: _without_server_fields(world.child(kind, name)) for name in world.names(kind)} == before
    assert (world.phase, world.weight, world.status["rollout"]) == ("Canary", 10, 2)


async def test_a_deleted_stable_deployment_comes_back_though_the_spec_has_moved_on() -> None:
    """Its settings and its image are those of its creation, not of today's spec and controller."""
    world = World(resources={"requests": {"cpu": "300m"}})
    await world.run(10, until=lambda: world.phase == "Idle")
    stable = world.revision("stable")
    before = _without_server_fields(world.workload(stable))
    world.edit(resources={"requests": {"cpu": "700m"}}, placement={"nodeSelector": {"disk": "fast"}})
    await world.run(10, until=lambda: world.phase == "Canary")
    world.runtime_image = "aurora-runtime:2"
    world.restart()
    world.remove(DEPLOYMENT, f"{NAME}-{stable}")
    await world.run(10)
    assert _without_server_fields(world.workload(stable)) == before


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        pytest.param(DEPLOYMENT, {"spec": {"replicas": 9}}, id="replicas"),
        pytest.param(
            DEPLOYMENT, {"spec": {"template": {"spec": {"automountServiceAccountToken": True}}}}, id="template"
        ),
        pytest.param(DEPLOYMENT, {"metadata": {"labels": {labels.ROLE: "canary"}}}, id="role"),
        pytest.param(SERVICE, {"spec": {"selector": {labels.REVISION: "9-bad"}}}, id="selector"),
        pytest.param(INGRESS, {"spec": {"ingressClassName": "other"}}, id="class"),
        pytest.param(POD_DISRUPTION_BUDGET, {"spec": {"maxUnavailable": 5}}, id="budget"),
    ],
)
async def test_foreign_edits_are_put_back(kind: Kind, patch: Manifest) -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    name = f"{NAME}-{world.revision('stable')}" if kind == DEPLOYMENT else NAME
    before = _without_server_fields(world.child(kind, name))
    world.edit_child(kind, name, patch)
    await world.run(5)
    assert _without_server_fields(world.child(kind, name)) == before


@pytest.mark.parametrize("annotation", [None, "nonsense", "{}"])
async def test_a_destroyed_template_annotation_is_put_back_without_restarting_a_pod(annotation: str | None) -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    before = world.workload(world.revision("stable"))
    patch = {"metadata": {"annotations": {labels.FROZEN_TEMPLATE: annotation}}}
    world.runtime_image = "aurora-runtime:2"
    world.restart()
    world.edit_child(DEPLOYMENT, before["metadata"]["name"], patch)
    await world.run(5)
    after = world.workload(world.revision("stable"))
    assert after["spec"] == before["spec"]
    assert after["metadata"]["annotations"][labels.FROZEN_TEMPLATE]


async def test_with_a_lost_status_stable_is_what_the_stable_service_points_at() -> None:
    world = await a_world_with_a_canary()
    world.request("promote")
    await world.run(40, until=lambda: world.phase == "Idle")
    await world.run(120)
    world.publish(3)
    world.edit(paused=True)
    stable, writes = world.revision("stable"), len(world.cluster.writes)
    world.lose_status()
    await world.run(20)
    assert (world.revision("stable"), world.phase) == (stable, "Idle")
    assert set(world.cluster.writes[writes:]) == {f"patch status MLDeployment {NAME}"}


async def test_a_lost_status_amid_a_canary_finds_the_canary_again_and_re_routes_nothing() -> None:
    world = await a_world_with_a_canary()
    stable, canary, writes = world.revision("stable"), world.revision("canary"), len(world.cluster.writes)
    world.lose_status()
    await world.run(20)
    assert (world.revision("stable"), world.revision("canary"), world.weight) == (stable, canary, 10)
    assert set(world.cluster.writes[writes:]) == {f"patch status MLDeployment {NAME}"}


async def test_a_lost_status_amid_a_switch_keeps_the_traffic_where_it_is() -> None:
    world = await a_world_with_a_canary()
    canary = world.revision("canary")
    world.request("promote")
    await world.run(30, until=lambda: world.phase == "Settling")
    world.lose_status()
    await world.run(120)
    assert (world.revision("stable"), world.phase, world.weight) == (canary, "Idle", None)
    assert world.names(DEPLOYMENT) == [f"{NAME}-{canary}"]
    assert world.names(SERVICE) == [NAME]


async def test_lost_versions_and_models_stop_nothing_and_open_nothing() -> None:
    """A number that serves or was given up stays the latest while its object is away."""
    world = await a_world_with_a_canary()
    world.request("promote")
    await world.run(40, until=lambda: world.phase == "Idle")
    world.remove(ML_MODEL_VERSION, f"{MODEL}-v2")
    await world.run(60)
    assert (world.phase, world.status["stable"]["version"], world.status["rollout"]) == ("Idle", 2, 2)
    world.remove(ML_MODEL_VERSION, f"{MODEL}-v1")
    await world.run(60)
    assert (world.phase, world.status["rollout"]) == ("Idle", 2)
    assert world.condition("Ready")["status"] == "True"
    world.put(a_model_version(2, model=MODEL))
    await world.run(60)
    assert (world.phase, world.status["rollout"]) == ("Idle", 2)


async def test_a_lost_version_that_was_aborted_is_not_replaced_by_an_older_one() -> None:
    world = await a_world_with_a_canary()
    world.request("abort")
    await world.run(60)
    world.remove(ML_MODEL_VERSION, f"{MODEL}-v2")
    await world.run(60)
    world.publish(2)
    await world.run(60)
    assert (world.phase, world.status["rollout"]) == ("Idle", 2)


async def test_a_re_created_object_waits_until_the_children_of_its_predecessor_are_gone() -> None:
    world = World()
    other = a_deployment(NAME, metadata={"uid": "former"})
    world.put(a_workload(f"{NAME}-1-old", owner=other, labels={labels.DEPLOYMENT: NAME}))
    with pytest.raises(Waiting) as waiting:
        await world.plan()
    assert f"{NAME}-1-old" in waiting.value.message
    world.remove(DEPLOYMENT, f"{NAME}-1-old")
    await world.run(10, until=lambda: world.phase == "Idle")


async def test_the_secret_of_a_predecessor_is_waited_for_as_well() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    secret = world.child(SECRET, f"{NAME}-api-keys")
    reference = secret["metadata"]["ownerReferences"][0] | {"uid": "former"}
    world.edit_child(SECRET, f"{NAME}-api-keys", {"metadata": {"ownerReferences": [reference]}})
    world.restart()  # whose Secret it is does not change while there is an MLDeployment that was seen to own it
    with pytest.raises(Waiting):
        await world.plan()


async def test_what_somebody_else_owns_is_none_of_our_children() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.put(a_workload("theirs", labels={labels.DEPLOYMENT: NAME}))
    await world.run(5)
    assert "theirs" in world.names(DEPLOYMENT)


async def test_deployments_that_nothing_refers_to_are_drained_and_removed() -> None:
    world = await a_world_with_a_canary()
    canary = world.revision("canary")
    # A controller that died long ago, or somebody's hand in the status: nobody knows of the canary any more.
    patch = {"status": {"canary": None, "phase": "Idle", "traffic": {"desired": {"stable": 100}}}}
    world.cluster.edit(ML_DEPLOYMENT, NAME, patch, namespace="default")
    world.edit(version=1)
    await world.run(120)
    assert world.names(DEPLOYMENT) == [f"{NAME}-{world.revision('stable')}"]
    assert canary is not None
    assert (world.weight, world.names(SERVICE)) == (None, [NAME])


async def test_children_go_with_their_owner() -> None:
    world = await a_world_with_a_canary()
    owner = uid_of(world.object)
    for kind in (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, SECRET):
        for name in world.names(kind):
            (reference,) = world.child(kind, name)["metadata"]["ownerReferences"]
            assert (reference["uid"], reference["controller"]) == (owner, True)
    world.remove(ML_DEPLOYMENT, NAME)
    assert [world.names(kind) for kind in (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, SECRET)] == [[]] * 5
