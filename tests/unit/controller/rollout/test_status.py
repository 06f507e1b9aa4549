"""What the status tells, when it is written, and that it is not written otherwise."""

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment
from aurora_controller.kube.meta import DEPLOYMENT, POD, uid_of
from aurora_controller.kube.reconcile import Stalled
from tests.unit.controller.rollout.neighbours import Behaviour
from tests.unit.controller.rollout.world import NAME, World, a_world_with_a_canary


async def _quiet(world: World, seconds: float) -> list[str]:
    before = len(world.cluster.writes)
    await world.run(seconds)
    return world.cluster.writes[before:]


async def test_at_rest_nothing_is_written() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    assert await _quiet(world, 3600) == []


async def test_a_canary_on_hold_without_traffic_writes_nothing() -> None:
    world = await a_world_with_a_canary()
    await world.run(10)
    assert await _quiet(world, 3600) == []


async def test_a_restarted_controller_writes_nothing() -> None:
    world = await a_world_with_a_canary()
    await world.run(10)
    world.restart()
    assert await _quiet(world, 600) == []


async def test_the_status_is_written_last_and_at_most_once_a_reconcile() -> None:
    world = World()
    _, plan = await world.plan()
    names = [type(write).__name__ for write in plan.writes]
    assert names.count("PatchStatus") == 1
    assert names[-1] == "PatchStatus"


async def test_what_is_written_is_a_valid_status() -> None:
    world = await a_world_with_a_canary()
    world.request("promote")
    await world.run(200)
    assert MLDeployment.model_validate(world.object).status.to_json() == world.status


async def test_conditions_carry_the_generation_that_they_are_about() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.edit(replicas=3)
    await world.run(5)
    generation = world.object["metadata"]["generation"]
    assert world.status["observedGeneration"] == generation
    assert {one["observedGeneration"] for one in world.status["conditions"]} == {generation}


async def test_transition_times_move_with_the_status_alone() -> None:
    world = await a_world_with_a_canary()
    since = world.condition("Ready")["lastTransitionTime"]
    world.request("promote")
    await world.run(60)
    assert world.condition("Ready")["lastTransitionTime"] == since


async def test_ready_is_judged_from_the_current_pods_each_time() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.neighbours.behaviours["1"] = Behaviour(starts_after=5)
    for pod in world.pods():
        world.remove(POD, pod["metadata"]["name"])
    await world.tick()
    assert world.condition("Ready")["status"] == "False"
    assert world.condition("Reconciling")["status"] == "True"
    await world.run(10)
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Reconciling") == {}


async def test_a_pod_less_than_asked_is_ready_and_still_reconciling() -> None:
    world = World(replicas=3)
    await world.run(10, until=lambda: world.phase == "Idle")
    world.neighbours.behaviours["1"] = Behaviour(starts_after=5)
    world.remove(POD, world.pods()[0]["metadata"]["name"])
    await world.tick()
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("True", "PartlyAvailable")
    assert "2 of 3" in ready["message"]
    assert world.condition("Reconciling")["status"] == "True"


@pytest.mark.parametrize(
    ("behaviour", "reason", "named"),
    [
        pytest.param(Behaviour(waits_for="ErrImagePull"), "ImagePullFailed", "aurora-runtime:1", id="image"),
        pytest.param(Behaviour(is_broken=True, message="boom"), "Crashing", "boom", id="crashes"),
        pytest.param(
            Behaviour(is_broken=True, exit_code=78, message="DigestMismatch: model.onnx"),
            "ArtifactRefused",
            "model.onnx",
            id="a refused model",
        ),
        pytest.param(Behaviour(waits_for="CreateContainerConfigError"), "CreateContainerConfigError", "", id="other"),
    ],
)
async def test_what_keeps_pods_from_starting_is_named_within_30_seconds_and_warned_of_once(
    behaviour: Behaviour, reason: str, named: str
) -> None:
    world = World()
    world.neighbours.behaviours["1"] = behaviour
    await world.run(30)
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert named in ready["message"]
    await world.run(300)
    assert [event.reason for event in world.events if event.type == "Warning"] == [reason]


async def test_a_pod_that_cannot_be_scheduled_is_named() -> None:
    world = World()
    world.neighbours.behaviours["1"] = Behaviour(waits_for="ContainerCreating")
    await world.tick()
    world.neighbours.unschedulable = "0/1 nodes are available"
    await world.run(5)
    ready = world.condition("Ready")
    assert ready["reason"] == "Unschedulable"
    assert "0/1 nodes" in ready["message"]


async def test_a_deployment_that_may_not_make_pods_is_named() -> None:
    world = World()
    world.neighbours.failure = "exceeded quota: pods"
    await world.run(3)
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "FailedCreate")
    assert "exceeded quota" in ready["message"]


async def test_begin_and_end_of_a_rollout_are_told_as_events() -> None:
    world = await a_world_with_a_canary()
    world.request("promote")
    await world.run(60)
    assert [event.reason for event in world.events] == [
        "RolloutStarted",
        "Promoted",
        "RolloutStarted",
        "Promoted",
    ]


async def test_history_is_bounded() -> None:
    world = World(strategy={"type": "RollingUpdate", "rollbackWindowSeconds": 0})
    await world.run(10, until=lambda: world.phase == "Idle")
    for number in range(12):
        world.edit(image=f"server:{number}")
        await world.run(30, until=lambda: world.phase == "Idle")
        await world.run(15)
    numbers = [entry["rollout"] for entry in world.status["history"]]
    assert numbers == list(range(4, 14))


async def test_an_object_that_cannot_be_understood_is_stalled_with_the_field_named() -> None:
    world = World()
    world.edit(replicas="many")
    with pytest.raises(Stalled, match=r"spec\.replicas"):
        await world.plan()


async def test_an_object_that_is_being_deleted_is_left_alone() -> None:
    world = World()
    world.edit_child(ML_DEPLOYMENT, NAME, {"metadata": {"deletionTimestamp": "2026-11-23T10:00:00Z"}})
    observed, plan = await world.plan()
    assert (observed, list(plan.writes)) == (None, [])


async def test_the_role_is_on_the_deployment_and_never_on_its_pods() -> None:
    world = await a_world_with_a_canary()
    roles = {one["metadata"]["labels"]["aurora.io/role"] for one in world.cluster.cache.list(DEPLOYMENT)}
    assert roles == {"stable", "canary"}
    assert all("aurora.io/role" not in pod["metadata"]["labels"] for pod in world.pods())
    assert len({uid_of(pod) for pod in world.pods()}) == 3
