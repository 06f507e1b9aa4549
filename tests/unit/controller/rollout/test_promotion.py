"""Who promotes, and in which order a promotion happens."""

import pytest

from aurora_controller.kube.meta import DEPLOYMENT, POD, POD_DISRUPTION_BUDGET, SERVICE
from tests.unit.controller.rollout.neighbours import Behaviour
from tests.unit.controller.rollout.world import NAME, SETTLE_SECONDS, World, a_world_with_a_canary


async def _promoted(world: World) -> None:
    await world.run(40, until=lambda: world.phase == "Idle" and world.status["stable"]["version"] == 2)


async def test_a_manual_canary_is_held_ready_and_not_reconciling() -> None:
    world = await a_world_with_a_canary()
    await world.run(3600)
    assert world.phase == "Canary"
    progressing = world.condition("Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "AwaitingPromotion")
    assert f"aurora.io/promote={world.revision('canary')}@2" in progressing["message"]
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Reconciling") == world.condition("Stalled") == {}


async def test_a_promotion_happens_in_this_order() -> None:
    """Full capacity, the stable Service, its endpoints and the router's time, weight 0, its time again, no route."""
    world = await a_world_with_a_canary(replicas=4, strategy={"canaryWeight": 25, "rollbackWindowSeconds": 0})
    old, new = world.revision("stable"), world.revision("canary")
    world.request("promote")
    phases: dict[str, float] = {}
    start, writes = world.clock.at, len(world.cluster.writes)
    while world.phase != "Idle" or not phases:
        await world.tick(0.5)
        seconds = (world.clock.at - start).total_seconds()
        assert seconds < 60
        phases.setdefault(world.phase, seconds)
        if world.phase in {"Settling", "Unrouting"}:
            assert world.behind(NAME) == {new: 4}
        assert sum(world.behind(NAME).values()) >= 4
        assert len(world.pods(old)) == 4
    assert list(phases) == ["Scaling", "Settling", "Unrouting", "Idle"]
    assert phases["Unrouting"] - phases["Settling"] >= SETTLE_SECONDS
    assert phases["Idle"] - phases["Unrouting"] >= SETTLE_SECONDS
    assert [line for line in world.cluster.writes[writes:] if "status" not in line] == [
        f"apply Deployment {NAME}-{new}",
        f"apply Service {NAME}",
        f"apply PodDisruptionBudget {NAME}",
        f"apply Ingress {NAME}-canary",
        f"delete Ingress {NAME}-canary",
        # Roles are labels of the Deployments alone: nothing restarts.
        f"apply Deployment {NAME}-{old}",
        f"apply Deployment {NAME}-{new}",
        f"delete Service {NAME}-{new}",
    ]


async def test_no_pod_restarts_in_a_promotion() -> None:
    world = await a_world_with_a_canary()
    pods = {pod["metadata"]["name"] for pod in world.pods()}
    world.request("promote")
    await _promoted(world)
    assert pods <= {pod["metadata"]["name"] for pod in world.pods()}


async def test_the_service_is_not_moved_before_all_pods_it_takes_are_ready() -> None:
    world = await a_world_with_a_canary(replicas=3)
    world.neighbours.behaviours["2"] = Behaviour(starts_after=20)
    world.request("promote")
    await world.run(15)
    assert world.phase == "Scaling"
    assert set(world.behind(NAME)) == {world.revision("stable")}
    assert world.weight == 10
    await world.run(10, until=lambda: world.phase != "Scaling")


async def test_the_disruption_budget_follows_the_stable_service() -> None:
    world = await a_world_with_a_canary()
    world.request("promote")
    await _promoted(world)
    budget = world.child(POD_DISRUPTION_BUDGET, NAME)
    assert budget["spec"]["selector"]["matchLabels"]["aurora.io/revision"] == world.revision("stable")
    assert budget["spec"]["maxUnavailable"] == 1


async def test_git_promotes_by_stable_version() -> None:
    world = await a_world_with_a_canary()
    world.edit(stableVersion=2)
    await _promoted(world)
    assert world.status["history"][-1]["reason"] == "spec.stableVersion asks for it."


async def test_git_brings_a_version_to_full_capacity_without_a_trial() -> None:
    world = World(versions=(1,), version=1)
    await world.run(10, until=lambda: world.phase == "Idle")
    world.publish(2)
    world.edit(stableVersion=2, version=2)
    while world.phase != "Idle" or world.status["stable"]["version"] == 1:
        assert world.weight is None
        await world.tick()


async def test_git_goes_back_the_same_way() -> None:
    world = await a_world_with_a_canary()
    world.edit(stableVersion=2)
    await _promoted(world)
    world.edit(stableVersion=1, version=1)
    await world.run(40, until=lambda: world.phase == "Idle" and world.status["stable"]["version"] == 1)


async def test_a_rolling_update_promotes_by_itself_without_any_canary_route() -> None:
    world = World(strategy={"type": "RollingUpdate"})
    await world.run(10, until=lambda: world.phase == "Idle")
    world.publish(2)
    while world.phase != "Idle" or world.status["stable"]["version"] == 1:
        assert world.weight is None
        await world.tick()
        assert (world.clock.at.minute, world.clock.at.hour) == (0, 10)


async def test_with_a_rolling_update_stable_version_is_the_only_word() -> None:
    """Two words, and each would replace the other for ever."""
    world = World(versions=(1, 2), strategy={"type": "RollingUpdate"}, stable_version=1)
    await world.run(300)
    assert (world.phase, world.status["stable"]["version"]) == ("Idle", 1)
    assert world.status["rollout"] == 1


async def test_a_rolling_update_under_way_is_finished_and_then_only_the_newest_follows() -> None:
    world = World(strategy={"type": "RollingUpdate"}, replicas=3)
    await world.run(10, until=lambda: world.phase == "Idle")
    world.neighbours.behaviours["2"] = Behaviour(starts_after=4)
    world.publish(2)
    await world.run(5, until=lambda: world.status["canary"]["readyReplicas"] > 0)
    world.publish(3)
    world.publish(4)
    await world.run(60, until=lambda: world.phase == "Idle" and world.status["stable"]["version"] == 4)
    assert [entry["version"] for entry in world.status["history"]] == [1, 2, 4]


async def test_a_rolling_update_that_never_gets_ready_is_replaced_by_the_newest() -> None:
    world = World(strategy={"type": "RollingUpdate"})
    await world.run(10, until=lambda: world.phase == "Idle")
    world.neighbours.behaviours["2"] = Behaviour(is_broken=True)
    world.publish(2)
    await world.run(10)
    world.publish(3)
    await world.run(40, until=lambda: world.phase == "Idle" and world.status["stable"]["version"] == 3)


async def test_without_any_ready_stable_pod_a_ready_canary_takes_over_and_history_says_why() -> None:
    world = await a_world_with_a_canary()
    stable = world.revision("stable") or ""
    world.neighbours.behaviours[stable] = Behaviour(is_broken=True)
    await world.run(20)
    assert world.phase == "Canary"
    assert world.condition("Ready")["status"] == "False"
    await _promoted(world)
    assert "had no ready pod" in world.status["history"][-1]["reason"]
    assert world.condition("Ready")["status"] == "True"


async def test_a_stable_pod_that_is_only_replaced_promotes_nothing() -> None:
    world = await a_world_with_a_canary(replicas=1)
    world.neighbours.behaviours["1"] = Behaviour(starts_after=15)
    (pod,) = world.pods(world.revision("stable"))
    world.remove(POD, pod["metadata"]["name"])
    await world.run(60)
    assert world.phase == "Canary"


async def test_paused_holds_a_promotion_back_and_says_so() -> None:
    world = await a_world_with_a_canary()
    world.edit(paused=True)
    world.request("promote")
    await world.run(30)
    assert world.phase == "Canary"
    assert world.status["lastRequest"]["accepted"] is False
    world.edit(paused=False)
    await _promoted(world)
    assert world.status["lastRequest"]["accepted"] is True


async def test_a_canary_at_full_capacity_that_crashes_is_not_promoted() -> None:
    world = await a_world_with_a_canary()
    world.crash(world.pods(world.revision("canary"))[0], times=2)
    world.request("promote")
    await world.run(30)
    assert world.phase == "Scaling"
    assert set(world.behind(NAME)) == {world.revision("stable")}


async def test_a_promotion_that_gets_stuck_is_reported_and_not_silently() -> None:
    world = await a_world_with_a_canary()
    world.neighbours.behaviours["2"] = Behaviour(starts_after=10_000)
    world.request("promote")
    await world.run(700)
    progressing = world.condition("Progressing")
    assert (progressing["status"], progressing["reason"]) == ("False", "DeadlineExceeded")
    assert world.condition("Stalled")["status"] == "True"
    assert any(event.reason == "DeadlineExceeded" for event in world.events)


async def test_a_stuck_promotion_makes_way_for_a_newer_target() -> None:
    world = await a_world_with_a_canary(replicas=4)
    world.neighbours.behaviours["2"] = Behaviour(starts_after=10_000)
    world.request("promote")
    await world.run(30)
    world.publish(3)
    await world.run(500)
    assert world.phase == "Scaling"
    await world.run(200, until=lambda: (world.status.get("canary") or {}).get("version") == 3)


@pytest.mark.parametrize("phase", ["Settling", "Unrouting"])
async def test_pods_that_are_lost_during_the_switch_give_the_traffic_back(phase: str) -> None:
    world = await a_world_with_a_canary()
    old, new = world.revision("stable"), world.revision("canary")
    world.request("promote")
    await world.run(30, until=lambda: world.phase == phase)
    world.neighbours.behaviours[new or ""] = Behaviour(is_broken=True)
    await world.run(30, until=lambda: world.phase == "Idle")
    assert world.revision("stable") == old
    assert set(world.behind(NAME)) == {old}
    assert world.status["aborted"]["revision"] == new
    assert world.weight is None


async def test_after_a_promotion_the_next_canary_starts_from_the_new_stable() -> None:
    world = await a_world_with_a_canary()
    world.request("promote")
    await _promoted(world)
    world.publish(3)
    await world.run(20, until=lambda: world.phase == "Canary")
    assert (world.status["stable"]["version"], world.status["canary"]["version"]) == (2, 3)
    assert f"{NAME}-{world.revision('canary')}" in world.names(SERVICE)
    assert len(world.names(DEPLOYMENT)) >= 2
