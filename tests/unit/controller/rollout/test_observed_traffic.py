"""What the pods counted is told while a canary has traffic, once a minute, and survives a restart."""

import pytest

from aurora_controller.kube.meta import uid_of
from tests.unit.controller.rollout.world import World, a_world_with_a_canary


async def _counting(**spec: object) -> World:
    """A canary whose count has begun."""
    world = await a_world_with_a_canary(**{"replicas": 2} | spec)
    await world.run(10, until=lambda: "observed" in world.status["traffic"])
    return world


async def test_the_count_begins_when_the_router_follows_the_weight() -> None:
    world = await a_world_with_a_canary()
    world.serve(500)
    await world.run(4)
    assert "observed" not in world.status["traffic"]
    await world.run(4, until=lambda: "observed" in world.status["traffic"])
    assert world.status["traffic"]["observed"]["requests"] == 0


async def test_the_share_is_told_with_the_counters_it_came_from() -> None:
    world = await _counting()
    world.serve(1000)
    await world.run(70)
    observed = world.status["traffic"]["observed"]
    assert (observed["requests"], observed["canaryRequests"], observed["canaryPercent"]) == (1000, 100, "10.0")
    assert {pod["uid"] for pod in observed["pods"]} == {uid_of(pod) for pod in world.pods()}
    assert world.status["weight"] == "10% (10.0%)"


async def test_with_traffic_the_status_is_written_at_most_once_a_minute() -> None:
    world = await _counting()
    before, pods = len(world.cluster.writes), world.scrapes
    for _ in range(300):
        world.serve(20)
        await world.tick()
    assert 4 <= len(world.cluster.writes) - before <= 5
    assert world.scrapes - pods <= 6


async def test_a_restart_loses_nothing() -> None:
    world = await _counting()
    world.serve(1000)
    await world.run(65)
    world.restart()
    world.serve(1000)
    await world.run(65)
    assert world.status["traffic"]["observed"]["requests"] == 2000


async def test_another_weight_begins_another_count() -> None:
    world = await _counting()
    world.serve(1000)
    await world.run(65)
    world.edit(strategy={"canaryWeight": 50})
    await world.run(2)
    assert "observed" not in world.status["traffic"]
    await world.run(10)
    world.serve(1000)
    await world.run(65)
    assert world.status["traffic"]["observed"]["canaryPercent"] == "50.0"


async def test_a_decision_is_told_with_the_count_it_was_made_on() -> None:
    world = await _counting()
    world.serve(1000)
    await world.tick(5)
    world.request("promote")
    await world.tick(0)
    assert world.status["traffic"]["observed"]["requests"] == 1000


async def test_it_is_gone_with_the_canary() -> None:
    world = await _counting()
    world.request("abort")
    await world.run(60)
    assert "observed" not in world.status["traffic"]
    assert world.condition("TrafficVerified") == {}


async def test_without_a_canary_nobody_is_asked() -> None:
    world = World()
    await world.run(3600)
    assert world.scrapes == 0


async def test_a_dark_canary_is_not_asked() -> None:
    world = await a_world_with_a_canary(strategy={"canaryWeight": 0})
    await world.run(600)
    assert world.scrapes == 0


async def test_too_few_requests_say_nothing() -> None:
    world = await _counting()
    world.serve(199)
    await world.run(65)
    verified = world.condition("TrafficVerified")
    assert (verified["status"], verified["reason"]) == ("Unknown", "TooFewRequests")


async def test_a_split_as_asked_is_verified_and_says_within_what() -> None:
    world = await _counting()
    world.serve(2000)
    await world.run(65)
    verified = world.condition("TrafficVerified")
    assert (verified["status"], verified["reason"]) == ("True", "SplitAsAsked")
    assert "10.0 % of 2000 requests, within 4.0 points of 10 %" in verified["message"]


async def test_a_router_that_ignores_the_weight_is_found_out() -> None:
    world = await _counting()
    for pod in world.pods(world.revision("stable")):
        world.requests[uid_of(pod)] = 1000
    await world.run(65)
    verified = world.condition("TrafficVerified")
    assert (verified["status"], verified["reason"]) == ("False", "SplitDiffers")


@pytest.mark.parametrize("is_refused_at_first", [True, False])
async def test_pods_that_cannot_be_asked_name_the_network_policy_and_the_canary_goes_on(
    is_refused_at_first: bool,
) -> None:
    world = await a_world_with_a_canary() if is_refused_at_first else await _counting()
    world.is_scrape_refused = True
    await world.run(90)
    verified = world.condition("TrafficVerified")
    assert (verified["status"], verified["reason"]) == ("Unknown", "CountersUnreachable")
    assert "NetworkPolicy" in verified["message"]
    assert (world.phase, world.weight) == ("Canary", 10)
    before = len(world.cluster.writes)
    await world.run(600)
    assert len(world.cluster.writes) == before
    world.is_scrape_refused = False
    await world.run(120)
    assert world.condition("TrafficVerified")["reason"] == "TooFewRequests"
