"""A canary opens beside stable, gets its weight when it is ready, and loses it at once when it is not."""

import pytest

from aurora_controller.kube.meta import DEPLOYMENT, INGRESS, POD, SERVICE
from tests.unit.controller.rollout.neighbours import Behaviour
from tests.unit.controller.rollout.world import NAME, World, a_world_with_a_canary


async def test_a_newer_version_opens_a_numbered_canary_with_its_share_of_pods_and_weight() -> None:
    world = await a_world_with_a_canary(replicas=3, strategy={"canaryWeight": 40})
    canary = world.revision("canary")
    assert world.weight == 40
    assert world.workload(canary)["spec"]["replicas"] == 2
    assert world.workload(world.revision("stable"))["spec"]["replicas"] == 3
    assert world.names(SERVICE) == [NAME, f"{NAME}-{canary}"]
    assert world.names(INGRESS) == [NAME, f"{NAME}-canary"]
    assert (world.status["rollout"], world.status["weight"]) == (2, "40%")
    assert world.status["traffic"]["desired"] == {"stable": 60, "canary": 40}


async def test_the_default_weight_is_10_percent() -> None:
    assert (await a_world_with_a_canary()).weight == 10


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"resources": {"requests": {"cpu": "200m"}}}, id="resources"),
        pytest.param({"image": "server:2"}, id="image"),
        pytest.param({"placement": {"nodeSelector": {"disk": "fast"}}}, id="placement"),
    ],
)
async def test_a_change_of_the_pod_template_opens_a_canary_of_the_same_version(change: dict) -> None:  # type: ignore[type-arg]
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.edit(**change)
    await world.run(10, until=lambda: world.phase == "Canary")
    assert world.status["canary"]["version"] == world.status["stable"]["version"] == 1


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"replicas": 5}, id="replicas"),
        pytest.param({"strategy": {"canaryWeight": 50}}, id="strategy"),
        pytest.param({"routing": {"host": "a.example"}}, id="routing"),
        pytest.param({"paused": True}, id="paused"),
        pytest.param(
            {"resources": {"requests": {"cpu": "0.1", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}},
            id="resources in other words",
        ),
        pytest.param({"placement": {"nodeSelector": {}}}, id="an empty placement"),
    ],
)
async def test_what_is_not_part_of_the_revision_opens_nothing(change: dict) -> None:  # type: ignore[type-arg]
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    revision = world.revision("stable")
    world.edit(**change)
    await world.run(10)
    assert (world.revision("stable"), world.status.get("canary")) == (revision, None)


async def test_a_change_of_replicas_scales_stable_directly() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    pods = {pod["metadata"]["name"] for pod in world.pods()}
    world.edit(replicas=4)
    await world.run(5)
    assert pods < {pod["metadata"]["name"] for pod in world.pods()}
    assert world.status["stable"]["replicas"] == world.status["stable"]["readyReplicas"] == 4


async def test_there_is_no_canary_route_before_its_pods_are_ready() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.neighbours.behaviours["2"] = Behaviour(starts_after=30)
    world.publish(2)
    await world.run(20)
    assert (world.phase, world.weight) == ("Starting", None)
    assert world.condition("CanaryHealthy")["status"] == "Unknown"
    await world.run(30, until=lambda: world.phase == "Canary")
    assert world.weight == 10


async def test_a_canary_that_loses_its_last_endpoint_loses_its_weight_and_gets_it_back() -> None:
    world = await a_world_with_a_canary()
    (pod,) = world.pods(world.revision("canary"))
    world.neighbours.behaviours["2"] = Behaviour(starts_after=1000)
    world.remove(POD, pod["metadata"]["name"])
    await world.tick()
    assert (world.weight, world.phase) == (0, "Canary")
    assert world.condition("CanaryHealthy")["status"] == "False"
    world.neighbours.behaviours.clear()
    await world.tick()
    assert world.weight == 10


async def test_a_canary_with_some_endpoints_left_keeps_its_weight() -> None:
    world = await a_world_with_a_canary(replicas=4, strategy={"canaryWeight": 50})
    pods = world.pods(world.revision("canary"))
    assert len(pods) == 2
    world.neighbours.behaviours["2"] = Behaviour(starts_after=1000)
    world.remove(POD, pods[0]["metadata"]["name"])
    world.neighbours.behaviours["2"] = Behaviour(starts_after=2)
    await world.tick()
    assert world.weight == 50


async def test_a_crash_looping_canary_loses_its_weight_at_once_and_says_what_its_server_said() -> None:
    world = await a_world_with_a_canary()
    words = "DigestMismatch: model.onnx is not what was published"
    world.neighbours.behaviours["2"] = Behaviour(message=words, exit_code=1)
    (pod,) = world.pods(world.revision("canary"))
    world.crash(pod, times=1)
    await world.tick()
    assert world.weight == 10
    world.crash(pod, times=1)
    await world.tick()
    assert world.weight == 0
    healthy = world.condition("CanaryHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "CanaryCrashing")
    assert "model.onnx" in healthy["message"]
    assert world.condition("Ready")["status"] == "True"
    assert [event.reason for event in world.events if event.type == "Warning"] == ["CanaryCrashing"]


async def test_a_canary_that_refuses_its_model_is_crashing_from_its_first_end_on() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.neighbours.behaviours["2"] = Behaviour(
        is_broken=True, exit_code=78, message="DigestMismatch: model.joblib was altered"
    )
    world.publish(2)
    await world.run(4)
    healthy = world.condition("CanaryHealthy")
    assert (healthy["status"], healthy["reason"]) == ("False", "CanaryCrashing")
    assert "model.joblib" in healthy["message"]
    assert world.weight is None


async def test_more_weight_waits_for_the_pods_it_takes_and_less_does_not() -> None:
    world = await a_world_with_a_canary(replicas=4, strategy={"canaryWeight": 25})
    world.neighbours.behaviours["2"] = Behaviour(starts_after=6)
    world.edit(strategy={"canaryWeight": 75})
    await world.run(3)
    assert world.weight == 25
    assert world.workload(world.revision("canary"))["spec"]["replicas"] == 3
    await world.run(10)
    assert world.weight == 75
    world.edit(strategy={"canaryWeight": 5})
    await world.tick()
    assert world.weight == 5
    assert world.workload(world.revision("canary"))["spec"]["replicas"] == 1


async def test_weight_0_keeps_a_canary_dark() -> None:
    world = await a_world_with_a_canary(strategy={"canaryWeight": 0})
    assert world.weight == 0
    assert len(world.pods(world.revision("canary"))) == 1


async def test_weight_100_keeps_stable_warm() -> None:
    world = await a_world_with_a_canary(strategy={"canaryWeight": 100})
    assert world.weight == 100
    assert world.behind(NAME) == {world.revision("stable"): 2}


async def test_a_newer_target_replaces_an_open_canary_weight_and_route_first() -> None:
    world = await a_world_with_a_canary()
    second = world.revision("canary")
    before = len(world.cluster.writes)
    world.publish(3)
    await world.run(30, until=lambda: world.phase == "Canary" and world.status["canary"]["version"] == 3)
    writes = world.cluster.writes[before:]
    third = world.revision("canary")
    lowered = writes.index(f"apply Ingress {NAME}-canary")
    removed = writes.index(f"delete Ingress {NAME}-canary")
    opened = writes.index(f"apply Deployment {NAME}-{third}")
    assert lowered < removed < writes.index(f"delete Service {NAME}-{second}") < opened
    assert [entry["outcome"] for entry in world.status["history"]] == ["Promoted", "Replaced"]
    assert world.status["rollout"] == 3


async def test_a_target_that_goes_back_to_stable_withdraws_the_canary() -> None:
    world = await a_world_with_a_canary()
    world.edit(version=1)
    await world.run(20, until=lambda: world.phase == "Idle")
    assert (world.weight, world.status.get("canary")) == (None, None)
    await world.run(60)
    assert world.names(DEPLOYMENT) == [f"{NAME}-{world.revision('stable')}"]


async def test_paused_opens_no_canary_and_keeps_the_open_one_as_it_is() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.edit(paused=True)
    world.publish(2)
    await world.run(10)
    assert world.status.get("canary") is None
    world.edit(paused=False)
    await world.run(10, until=lambda: world.phase == "Canary")
    world.edit(paused=True)
    world.publish(3)
    await world.run(20)
    assert (world.status["canary"]["version"], world.weight) == (2, 10)
    assert world.condition("Progressing")["reason"] == "Paused"


async def test_paused_still_takes_the_weight_off_a_broken_canary() -> None:
    world = await a_world_with_a_canary()
    world.edit(paused=True)
    world.crash(world.pods(world.revision("canary"))[0], times=2)
    await world.tick()
    assert world.weight == 0


async def test_without_a_router_a_newer_version_takes_over_when_it_is_ready() -> None:
    world = World(routing={"type": "None"}, strategy={"type": "RollingUpdate"})
    await world.run(10, until=lambda: world.phase == "Idle")
    world.publish(2)
    await world.run(20, until=lambda: world.phase == "Idle" and world.status["stable"]["version"] == 2)
    assert world.names(INGRESS) == []
    assert world.status["url"] == f"http://{NAME}.default.svc/v2/models/california-housing/infer"
