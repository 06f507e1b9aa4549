"""An abort takes the traffic back, then the route, then the pods; and the revision is not tried again."""

from aurora_controller.kube.meta import DEPLOYMENT, INGRESS, POD, SERVICE
from tests.unit.controller.rollout.neighbours import Behaviour
from tests.unit.controller.rollout.world import NAME, SETTLE_SECONDS, World, a_world_with_a_canary


async def _aborted(world: World) -> None:
    world.request("abort")
    await world.run(30, until=lambda: world.phase == "Idle")


async def test_an_abort_happens_in_this_order() -> None:
    world = await a_world_with_a_canary()
    canary, writes, start = world.revision("canary"), len(world.cluster.writes), world.clock.at
    world.request("abort")
    await world.tick(0)
    assert (world.weight, world.phase) == (0, "Aborting")
    await world.run(30, until=lambda: world.phase == "Idle")
    assert (world.clock.at - start).total_seconds() >= SETTLE_SECONDS
    assert len(world.pods(canary)) == 1
    await world.run(60)
    assert [line for line in world.cluster.writes[writes:] if "status" not in line] == [
        f"apply Ingress {NAME}-canary",
        f"delete Ingress {NAME}-canary",
        f"apply Deployment {NAME}-{canary}",
        f"delete Service {NAME}-{canary}",
        f"delete Deployment {NAME}-{canary}",
    ]
    assert world.names(INGRESS) == world.names(SERVICE) == [NAME]


async def test_an_aborted_revision_is_pinned_and_not_tried_again() -> None:
    world = await a_world_with_a_canary()
    canary = world.revision("canary")
    await _aborted(world)
    await world.run(600)
    assert world.status["aborted"]["revision"] == canary
    assert (world.phase, world.status["stable"]["version"]) == ("Idle", 1)
    assert world.condition("Progressing")["reason"] == "Aborted"
    assert world.condition("Ready")["status"] == "True"
    assert [entry["outcome"] for entry in world.status["history"]] == ["Promoted", "Aborted"]


async def test_a_changed_target_is_tried_and_the_pin_is_gone() -> None:
    world = await a_world_with_a_canary()
    await _aborted(world)
    world.publish(3)
    await world.run(20, until=lambda: world.phase == "Canary")
    assert world.status["canary"]["version"] == 3
    assert world.status.get("aborted") is None


async def test_another_template_of_the_same_version_is_another_revision_and_is_tried() -> None:
    world = await a_world_with_a_canary()
    await _aborted(world)
    world.edit(resources={"requests": {"cpu": "300m"}})
    await world.run(20, until=lambda: world.phase == "Canary")
    assert world.status["canary"]["version"] == 2


async def test_git_may_ask_for_a_revision_that_was_aborted_as_a_canary() -> None:
    world = await a_world_with_a_canary()
    await _aborted(world)
    world.edit(stableVersion=2)
    await world.run(60, until=lambda: world.phase == "Idle" and world.status["stable"]["version"] == 2)


async def test_what_git_asked_for_and_was_aborted_is_not_tried_again() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.neighbours.behaviours["2"] = Behaviour(starts_after=60)
    world.publish(2)
    world.edit(stableVersion=2)
    await world.run(5, until=lambda: world.phase == "Starting")
    await _aborted(world)
    await world.run(300)
    assert (world.phase, world.status["stable"]["version"]) == ("Idle", 1)


async def test_a_canary_that_never_had_traffic_leaves_without_waiting_for_the_router() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.neighbours.behaviours["2"] = Behaviour(is_broken=True)
    world.publish(2)
    await world.run(5)
    world.request("abort")
    await world.tick(0)
    assert world.phase == "Idle"
    assert world.names(DEPLOYMENT) == [f"{NAME}-{world.revision('stable')}"]


async def test_abort_wins_over_promote() -> None:
    world = await a_world_with_a_canary()
    key = f"{world.revision('canary')}@2"
    world.annotate(promote=key, abort=key)
    await world.run(30, until=lambda: world.phase == "Idle")
    assert world.status["stable"]["version"] == 1
    assert world.status["lastRequest"]["action"] == "abort"


async def test_an_abort_while_scaling_up_is_obeyed() -> None:
    world = await a_world_with_a_canary(replicas=3)
    world.neighbours.behaviours["2"] = Behaviour(starts_after=20)
    world.request("promote")
    await world.run(5)
    assert world.phase == "Scaling"
    await _aborted(world)
    assert world.status["stable"]["version"] == 1


async def test_an_abort_is_obeyed_while_paused() -> None:
    world = await a_world_with_a_canary()
    world.edit(paused=True)
    await _aborted(world)
    assert world.status["aborted"]["version"] == 2


async def test_a_working_canary_keeps_its_traffic_until_stable_has_a_ready_pod() -> None:
    """Capacity first, then traffic, then pods."""
    world = await a_world_with_a_canary(strategy={"canaryWeight": 50})
    world.neighbours.behaviours["1"] = Behaviour(starts_after=20)
    for pod in world.pods(world.revision("stable")):
        world.remove(POD, pod["metadata"]["name"])
    world.request("abort")
    await world.run(10)
    assert (world.weight, world.phase) == (50, "Aborting")
    await world.run(40, until=lambda: world.phase == "Idle")
    assert world.weight is None


async def test_but_not_for_ever() -> None:
    world = await a_world_with_a_canary(strategy={"canaryWeight": 50})
    world.neighbours.behaviours[world.revision("stable") or ""] = Behaviour(is_broken=True)
    world.request("abort")
    await world.run(90, until=lambda: world.phase == "Idle")
    assert world.weight is None


async def test_the_pods_of_an_aborted_canary_stay_while_they_still_get_requests() -> None:
    """Long-lived connections: until their counters stand still, or 30 s have passed."""
    world = await a_world_with_a_canary()
    (pod,) = world.pods(world.revision("canary"))
    canary = world.revision("canary")
    await _aborted(world)
    seconds = 0
    while world.pods(canary):
        world.requests[pod["metadata"]["uid"]] = world.requests.get(pod["metadata"]["uid"], 0) + 1
        await world.tick()
        seconds += 1
    assert 29 <= seconds <= 33
