"""What happens before anything was ever available."""

import pytest

from aurora_controller.kube.meta import DEPLOYMENT, INGRESS, PERSISTENT_VOLUME_CLAIM, POD_DISRUPTION_BUDGET, SERVICE
from tests.unit.builders import a_claim
from tests.unit.controller.rollout.neighbours import Behaviour
from tests.unit.controller.rollout.world import NAME, World


async def test_a_model_without_versions_is_told_and_nothing_is_created() -> None:
    world = World(versions=())
    await world.run(5)
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ModelNotFound")
    assert world.cluster.writes == [f"patch status MLDeployment {NAME}"]


async def test_the_first_version_is_picked_up_as_soon_as_it_exists() -> None:
    world = World(versions=())
    await world.run(5)
    world.publish(1)
    await world.run(10, until=lambda: world.phase == "Idle")
    assert world.condition("Ready")["status"] == "True"


@pytest.mark.parametrize(
    ("version", "reason", "named"),
    [
        pytest.param(7, "VersionNotFound", "7", id="a number that is not Ready"),
        pytest.param("7", "VersionNotFound", "7", id="the same as text"),
        pytest.param("challenger", "AliasNotFound", "challenger", id="an alias that is not pinned"),
    ],
)
async def test_a_version_that_cannot_be_had_is_named(version: int | str, reason: str, named: str) -> None:
    world = World(version=version)
    await world.run(5)
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", reason)
    assert named in ready["message"]
    assert world.names(DEPLOYMENT) == []


async def test_the_first_revision_gets_everything_it_needs_and_no_canary() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    revision = world.revision("stable")
    assert world.names(DEPLOYMENT) == [f"{NAME}-{revision}"]
    assert world.names(SERVICE) == world.names(INGRESS) == world.names(POD_DISRUPTION_BUDGET) == [NAME]
    assert world.status["rollout"] == 1
    assert [entry["outcome"] for entry in world.status["history"]] == ["Promoted"]


async def test_ready_says_when_the_first_pod_answers() -> None:
    world = World()
    await world.tick(0)
    assert world.condition("Ready")["reason"] == "NoReadyPods"
    assert world.condition("Progressing")["status"] == "True"
    await world.run(10, until=lambda: world.phase == "Idle")
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Reconciling") == {}


async def test_a_version_that_never_gets_ready_is_replaced_by_the_next_one_directly() -> None:
    world = World()
    world.neighbours.behaviours["1"] = Behaviour(is_broken=True)
    await world.run(10)
    world.publish(2)
    await world.run(10, until=lambda: world.phase == "Idle")
    assert world.status["stable"]["version"] == 2
    assert world.status.get("canary") is None
    assert world.names(DEPLOYMENT) == [f"{NAME}-{world.revision('stable')}"]
    assert [entry["outcome"] for entry in world.status["history"]] == ["Replaced", "Promoted"]


async def test_another_template_replaces_directly_too() -> None:
    """An image that cannot be pulled is mended by correcting it, not by a canary beside nothing."""
    world = World(image="server:no-such-tag")
    world.neighbours.behaviours["1"] = Behaviour(waits_for="ErrImagePull")
    await world.run(5)
    assert world.condition("Ready")["reason"] == "ImagePullFailed"
    world.neighbours.behaviours = {world.revision("stable") or "": Behaviour(waits_for="ErrImagePull")}
    world.edit(image=None)
    await world.run(10, until=lambda: world.phase == "Idle")
    assert world.status.get("canary") is None


async def test_once_it_was_available_its_successor_is_a_canary_even_when_it_is_broken_now() -> None:
    world = World()
    await world.run(10, until=lambda: world.phase == "Idle")
    for pod in world.pods():
        world.neighbours.behaviours[pod["metadata"]["labels"]["aurora.io/revision"]] = Behaviour(is_broken=True)
    world.neighbours.behaviours["2"] = Behaviour(starts_after=5)
    world.publish(2)
    await world.tick()
    assert (
        world.revision(
            "canary",
        )
        is not None
    )
    assert world.status["stable"]["version"] == 1


async def test_what_was_ready_for_a_moment_is_not_replaced_directly() -> None:
    """Ready means that requests may come: a change right after it opens a canary, and nobody loses an answer."""
    world = World()
    await world.run(10, until=lambda: world.condition("Ready")["status"] == "True")
    world.publish(2)
    await world.settle()
    assert world.status["stable"]["version"] == 1
    await world.run(20, until=lambda: world.phase == "Canary")
    assert world.status["canary"]["version"] == 2


async def test_an_upgraded_controller_mends_a_first_revision_that_its_own_image_held_up() -> None:
    world = World()
    world.neighbours.behaviours["1"] = Behaviour(waits_for="ErrImagePull")
    await world.run(5)
    world.runtime_image = "aurora-runtime:2"
    world.restart()
    await world.run(5)
    template = world.workload(world.revision("stable"))["spec"]["template"]
    assert template["spec"]["containers"][0]["image"] == "aurora-runtime:2"
    assert world.status["stable"]["image"] == "aurora-runtime:2"
    assert world.status["rollout"] == 1


async def test_without_history_git_says_what_is_stable_and_the_target_is_its_canary() -> None:
    world = World(versions=(1, 2, 3), stable_version=2)
    await world.run(20, until=lambda: world.phase == "Canary")
    assert world.status["stable"]["version"] == 2
    assert world.status["canary"]["version"] == 3


async def test_without_history_the_champion_is_stable_and_the_target_is_its_canary() -> None:
    world = World(versions=(1, 2, 3))
    world.alias("champion", 1)
    await world.run(20, until=lambda: world.phase == "Canary")
    assert world.status["stable"]["version"] == 1
    assert world.status["canary"]["version"] == 3


async def test_a_champion_that_never_gets_ready_makes_way_for_the_target_in_the_end() -> None:
    world = World(versions=(1, 2))
    world.alias("champion", 1)
    world.neighbours.behaviours["1"] = Behaviour(is_broken=True)
    await world.run(100)
    assert world.status["stable"]["version"] == 1
    await world.run(600, until=lambda: world.phase == "Idle")
    assert world.status["stable"]["version"] == 2


async def test_paused_starts_nothing_new_but_the_very_first_revision() -> None:
    """Nothing serves yet: there is nothing that a pause could hold on to."""
    world = World(paused=True)
    await world.run(10, until=lambda: world.phase == "Idle")
    world.publish(2)
    await world.run(5)
    assert world.status.get("canary") is None
    assert world.condition("Progressing")["reason"] == "Paused"


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        pytest.param(None, "PersistentVolumeClaimNotFound", id="missing"),
        pytest.param(a_claim(phase="Pending"), "PersistentVolumeClaimUnbound", id="unbound"),
    ],
)
async def test_a_claim_that_cannot_be_used_is_named_and_mended_without_help(claim: dict | None, reason: str) -> None:  # type: ignore[type-arg]
    world = World()
    world.remove(PERSISTENT_VOLUME_CLAIM, "aurora-models")
    if claim is not None:
        world.put(claim)
    world.neighbours.behaviours["1"] = Behaviour(waits_for="ContainerCreating")
    await world.run(5)
    ready = world.condition("Ready")
    assert ready["reason"] == reason
    assert "aurora-models" in ready["message"]
    assert [event.reason for event in world.events if event.type == "Warning"] == [reason]
    world.neighbours.behaviours.clear()
    world.put(a_claim())
    await world.run(10, until=lambda: world.phase == "Idle")
    assert world.condition("Ready")["status"] == "True"
