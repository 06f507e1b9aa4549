"""A version that cannot be read holds its name all the same; the run that it belongs to says so and waits."""

import copy

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION
from aurora_controller.kube.meta import Manifest
from tests.unit.builders import a_model, a_model_version, a_training_job
from tests.unit.controller.training.world import MODEL, World

NAMED = f"MLModelVersion {MODEL}-v1 cannot be read: spec.version: "


def malformed(version: Manifest) -> Manifest:
    odd = copy.deepcopy(version)
    odd["spec"]["version"] = "one"
    return odd


async def test_a_run_whose_own_version_cannot_be_read_says_so_and_goes_on_once_it_is_mended() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    intact = copy.deepcopy(world.version(1))
    world.put(malformed(intact))
    plan = await world.settle()
    succeeded = world.condition()
    assert (succeeded["status"], succeeded["reason"]) == ("Unknown", "VersionUnreadable")
    assert NAMED in succeeded["message"]
    assert plan.requeue_after_seconds is not None
    world.put(intact)
    await world.run()
    assert world.status["version"] == 1


async def test_a_published_version_that_cannot_be_read_is_not_made_again_over_and_over() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    world.train("housing-rf-v1-1")
    world.put(malformed(world.version(1)))
    await world.settle()
    assert world.condition()["reason"] == "VersionUnreadable"


async def test_a_version_that_cannot_be_read_may_be_deleted_and_is_made_again() -> None:
    world = World()
    await world.settle()
    world.put(malformed(world.version(1)))
    await world.settle()
    world.remove(ML_MODEL_VERSION, f"{MODEL}-v1")
    await world.run()
    assert world.status["version"] == 1


async def test_the_number_of_another_runs_unreadable_version_is_passed_over() -> None:
    world = World()
    world.put(malformed(a_model_version(1, job="another", run="another-uid-1-00000000")))
    await world.run()
    assert world.status["version"] == 2


@pytest.mark.parametrize(
    "neighbour",
    [
        pytest.param(a_model(MODEL, status={"highestVersion": "nine"}), id="a model"),
        pytest.param(a_training_job("other", status={"run": ["odd"]}), id="a job"),
    ],
)
async def test_numbers_that_cannot_be_read_are_not_counted(neighbour: Manifest) -> None:
    """The store has the last word on what is taken."""
    world = World()
    world.put(neighbour)
    await world.run()
    assert world.status["version"] == 1
