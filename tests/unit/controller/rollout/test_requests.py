"""A promote or abort request counts for one rollout, once, and a wrong one is told what to write instead."""

from typing import Any

import pytest

from tests.unit.controller.rollout.world import World, a_world_with_a_canary


async def _answer(world: World) -> dict[str, Any]:
    await world.run(2)
    told: dict[str, Any] = world.status["lastRequest"]
    return told


@pytest.mark.parametrize("value", ["2-wrong@2", "2-d1b60bcd@1", "2-d1b60bcd", "2", "", "@2"])
async def test_a_wrong_request_does_nothing_and_is_told_what_to_write(value: str) -> None:
    world = await a_world_with_a_canary()
    world.annotate(promote=value)
    told = await _answer(world)
    assert told["accepted"] is False
    assert told["message"].endswith(f"aurora.io/promote={world.revision('canary')}@2")
    assert world.phase == "Canary"
    assert [event.reason for event in world.events if event.type == "Warning"] == ["RequestRefused"]


async def test_a_refusal_is_told_once() -> None:
    world = await a_world_with_a_canary()
    world.annotate(promote="nonsense", abort="rubbish")
    await world.run(10)
    writes, events = len(world.cluster.writes), len(world.events)
    await world.run(600)
    assert (len(world.cluster.writes), len(world.events)) == (writes, events)


async def test_without_a_canary_there_is_nothing_to_promote() -> None:
    world = World()
    world.annotate(promote="2-d1b60bcd@2")
    await world.run(5)
    assert world.status["lastRequest"] == {
        "action": "promote",
        "value": "2-d1b60bcd@2",
        "accepted": False,
        "message": "No canary is open.",
    }


async def test_an_annotation_that_is_left_behind_does_nothing_to_later_rollouts() -> None:
    world = await a_world_with_a_canary()
    world.request("promote")
    await world.run(30, until=lambda: world.phase == "Idle")
    told = world.status["lastRequest"]
    assert told["accepted"] is True
    world.publish(3)
    await world.run(60)
    assert (world.phase, world.status["canary"]["version"]) == ("Canary", 3)
    assert world.status["lastRequest"] == told


async def test_the_same_revision_in_a_later_rollout_needs_a_request_of_its_own() -> None:
    world = await a_world_with_a_canary()
    second = world.revision("canary")
    world.request("promote")
    await world.run(30, until=lambda: world.phase == "Idle")
    world.edit(version=1)
    await world.run(20, until=lambda: world.phase == "Canary")
    world.request("promote")
    await world.run(30, until=lambda: world.phase == "Idle")
    world.edit(version="latest")
    world.annotate(promote=f"{second}@2")
    await world.run(60)
    assert (world.phase, world.revision("canary"), world.status["rollout"]) == ("Canary", second, 4)


async def test_an_abort_after_the_traffic_has_moved_says_how_to_go_back() -> None:
    world = await a_world_with_a_canary()
    world.request("promote")
    await world.run(30, until=lambda: world.phase == "Settling")
    world.request("abort")
    told = await _answer(world)
    assert told["accepted"] is False
    assert "set spec.version to 1" in told["message"]
    await world.run(30, until=lambda: world.phase == "Idle")
    assert world.status["stable"]["version"] == 2


async def test_git_outranks_an_annotation() -> None:
    world = await a_world_with_a_canary()
    world.edit(stableVersion=1)
    world.request("promote")
    told = await _answer(world)
    assert told["accepted"] is False
    assert "spec.stableVersion says 1; set it to 2" in told["message"]
    assert world.phase == "Canary"


async def test_a_request_that_came_before_the_canary_is_ready_counts_when_it_is() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    world.publish(2)
    await world.tick(0)
    assert world.phase == "Starting"
    world.request("promote")
    await world.run(40, until=lambda: world.phase == "Idle" and world.status["stable"]["version"] == 2)
