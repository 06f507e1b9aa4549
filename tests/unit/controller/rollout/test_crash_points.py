"""The controller may die before any write of any story: the story ends the same, and then nothing is written."""

import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aurora_controller.kube.meta import DEPLOYMENT, INGRESS, POD_DISRUPTION_BUDGET, SECRET, SERVICE
from tests.unit.controller.rollout.neighbours import Behaviour
from tests.unit.controller.rollout.world import World, a_world_with_a_canary

Story = Callable[[World], Awaitable[None]]


async def _first_start(world: World) -> None:
    await world.run(20)


async def _promotion(world: World) -> None:
    world.request("promote")
    await world.run(30)


async def _abort(world: World) -> None:
    world.request("abort")
    await world.run(30)


async def _newer_target(world: World) -> None:
    world.publish(3)
    await world.run(30)


async def _canary_opened(world: World) -> None:
    world.publish(2)
    await world.run(20)


async def _never_ready_replaced(world: World) -> None:
    world.neighbours.behaviours["1"] = Behaviour(is_broken=True)
    await world.run(6)
    world.publish(2)
    await world.run(20)


async def _stable_version_from_git(world: World) -> None:
    world.edit(stableVersion=2)
    await world.run(40)


def _end(world: World) -> dict[str, Any]:
    """What a story comes to, without its times."""
    status = world.status
    return {
        "children": {kind.kind: world.names(kind) for kind in (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET)},
        "secrets": world.names(SECRET),
        "phase": status["phase"],
        "stable": (status.get("stable") or {}).get("revision"),
        "canary": (status.get("canary") or {}).get("revision"),
        "aborted": (status.get("aborted") or {}).get("revision"),
        "rollout": status["rollout"],
        "history": [{**one, "at": ""} for one in status.get("history", ())],
        "weight": world.weight,
    }


async def _world(story: Story) -> World:
    if story in (_promotion, _abort, _newer_target, _stable_version_from_git):
        return await a_world_with_a_canary(strategy={"canaryWeight": 10, "rollbackWindowSeconds": 5})
    world = World()
    if story is _canary_opened:
        await world.run(10)
    return world


STORIES: tuple[Story, ...] = (
    _first_start,
    _canary_opened,
    _promotion,
    _abort,
    _newer_target,
    _never_ready_replaced,
    _stable_version_from_git,
)


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__.strip("_"))
async def test_a_controller_killed_before_any_write_ends_at_the_same_state(story: Story) -> None:
    start = await _world(story)
    reference = copy.deepcopy(start)
    await story(reference)
    await _rest(reference)
    writes = reference.cluster.writes[len(start.cluster.writes) :]
    assert len(writes) > 3
    for number, write in enumerate(writes):
        world = copy.deepcopy(start)
        world.dies_before_write = number
        await story(world)
        await _rest(world)
        assert _end(world) == _end(reference), f"killed before write {number}: {write}"


async def _rest(world: World) -> None:
    """What is drained has gone, and a minute passes without a write."""
    await world.run(60)
    before = len(world.cluster.writes)
    await world.run(60)
    assert world.cluster.writes[before:] == []
