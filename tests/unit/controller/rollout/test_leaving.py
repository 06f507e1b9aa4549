"""A replaced revision stays warm for its window, leaves when its counters stand still, and by its deadline anyway."""

from aurora_controller.kube.meta import DEPLOYMENT, uid_of
from tests.unit.controller.rollout.neighbours import Behaviour
from tests.unit.controller.rollout.world import NAME, World, a_world_with_a_canary


async def _promoted(window: int = 30) -> World:
    world = await a_world_with_a_canary(strategy={"canaryWeight": 10, "rollbackWindowSeconds": window})
    world.request("promote")
    await world.run(40, until=lambda: world.phase == "Idle")
    return world


def _old(world: World) -> str:
    revision: str = world.status["previous"][0]["revision"]
    return revision


async def test_it_stays_warm_with_all_its_pods_for_the_window() -> None:
    world = await _promoted(window=300)
    old = _old(world)
    await world.run(290)
    assert len(world.pods(old)) == 2
    assert world.workload(old)["metadata"]["labels"]["aurora.io/role"] == "previous"


async def test_it_leaves_when_the_window_is_over_and_its_counters_stand_still() -> None:
    world = await _promoted(window=30)
    old = _old(world)
    await world.run(45)
    assert world.names(DEPLOYMENT) == [f"{NAME}-{world.revision('stable')}"]
    assert world.pods(old) == []
    assert world.status["previous"] == []


async def test_a_window_that_is_made_shorter_holds_for_who_is_leaving() -> None:
    world = await _promoted(window=600)
    world.edit(strategy={"canaryWeight": 10, "rollbackWindowSeconds": 30})
    await world.run(45)
    assert world.status["previous"] == []


async def test_it_stays_while_it_still_counts_requests_and_leaves_at_its_deadline() -> None:
    world = await _promoted(window=30)
    old, start = _old(world), world.clock.at
    while world.pods(old):
        for pod in world.pods(old):
            world.requests[uid_of(pod)] = world.requests.get(uid_of(pod), 0) + 1
        await world.tick()
    assert 88 <= (world.clock.at - start).total_seconds() <= 94


async def test_pods_that_do_not_tell_are_given_until_the_deadline() -> None:
    world = await _promoted(window=30)
    world.is_scrape_refused = True
    old, start = _old(world), world.clock.at
    await world.run(85)
    assert len(world.pods(old)) == 2
    await world.run(20)
    assert world.pods(old) == []
    assert (world.clock.at - start).total_seconds() >= 90


async def test_going_back_within_the_window_uses_the_pods_that_are_warm() -> None:
    world = await _promoted(window=600)
    old = _old(world)
    pods = {uid_of(pod) for pod in world.pods(old)}
    world.neighbours.behaviours["1"] = Behaviour(is_broken=True)
    for uid in pods:
        world.neighbours.started.add(uid)
    world.neighbours.behaviours.clear()
    world.edit(version=1)
    await world.run(10, until=lambda: world.phase == "Canary")
    assert world.revision("canary") == old
    assert {uid_of(pod) for pod in world.pods(old)} <= pods
    assert world.status["previous"] == []


async def test_two_promotions_in_one_window_keep_both_old_revisions_warm() -> None:
    world = await _promoted(window=120)
    world.publish(3)
    await world.run(20, until=lambda: world.phase == "Canary")
    world.request("promote")
    await world.run(40, until=lambda: world.phase == "Idle")
    assert [one["version"] for one in world.status["previous"]] == [1, 2]
    await world.run(300)
    assert world.names(DEPLOYMENT) == [f"{NAME}-{world.revision('stable')}"]


async def test_a_previous_revision_that_somebody_deletes_is_not_made_again() -> None:
    world = await _promoted(window=300)
    world.remove(DEPLOYMENT, f"{NAME}-{_old(world)}")
    await world.run(10)
    assert world.names(DEPLOYMENT) == [f"{NAME}-{world.revision('stable')}"]
    assert world.status["previous"] == []


async def test_pods_are_asked_for_their_counters_only_when_the_window_is_over() -> None:
    world = await _promoted(window=300)
    asked = world.scrapes
    await world.run(290)
    assert world.scrapes == asked
    await world.run(30)
    assert asked < world.scrapes <= asked + 4
