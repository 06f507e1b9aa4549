"""With empty status the job adopts the newest version that carries its name and the same inputs."""

from typing import Any

import pytest

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION
from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJob
from aurora_controller.kube.meta import Manifest
from aurora_controller.kube.reconcile import Confirm, PatchStatus
from aurora_controller.training.inputs import fingerprint, inputs_of
from tests.unit.builders import a_digest, a_model_version, a_training_job
from tests.unit.controller.training.world import START, World


def a_recorded_version(number: int, *, job: str = "housing-rf", digest: str | None = None, **inputs: Any) -> Manifest:
    """Trained by an earlier object of the job's name, from these inputs beside the usual ones."""
    spec = MLTrainingJob.model_validate(a_training_job(**inputs)).spec
    return a_model_version(
        number,
        job=job,
        job_uid="old-uid",
        digest=a_digest(number) if digest is None else digest or None,
        metadata={"annotations": {labels.INPUTS: fingerprint(inputs_of(spec))}},
    )


async def test_a_re_created_job_adopts_its_version_without_a_job() -> None:
    world = World()
    world.put(a_recorded_version(3))
    await world.run()
    assert world.created == []
    assert (world.status["version"], world.status["digest"]) == (3, a_digest(3))
    assert (world.status["primaryMetric"], world.status["metrics"]) == ("r2=0.81", {"r2": 0.81})
    assert world.status["reused"] is True
    assert world.condition()["status"] == "True"
    assert world.condition()["reason"] == "Reused"
    assert world.status["run"]["finishedAt"] == START


async def test_a_version_is_looked_at_live_before_the_answer_rests_on_it() -> None:
    """Deleted just before the job was made, the cache may still show it; the job would never look again."""
    world = World()
    world.put(a_recorded_version(3))
    confirm, patch = (await world.plan()).writes
    assert confirm == Confirm(existing=world.version(3), kind=ML_MODEL_VERSION)
    assert isinstance(patch, PatchStatus)


async def test_the_newest_fitting_version_is_adopted() -> None:
    world = World()
    for version in (a_recorded_version(1), a_recorded_version(4), a_recorded_version(5, algorithm="ridge")):
        world.put(version)
    await world.run()
    assert world.status["version"] == 4


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(a_recorded_version(1, algorithm="ridge"), id="other inputs"),
        pytest.param(a_recorded_version(1, job="another"), id="another job's"),
        pytest.param(a_recorded_version(1, digest=""), id="a mere reservation"),
        pytest.param(a_recorded_version(1) | {"metadata": a_model_version(1)["metadata"]}, id="unknown inputs"),
    ],
)
async def test_what_does_not_fit_is_not_adopted(version: Manifest) -> None:
    world = World()
    world.put(version)
    await world.settle()
    assert world.status["run"]["version"] == 2


async def test_a_version_on_another_claim_or_going_away_is_not_adopted() -> None:
    world = World()
    elsewhere, going = a_recorded_version(1), a_recorded_version(2)
    elsewhere["spec"]["claimName"] = "elsewhere"
    going["metadata"]["deletionTimestamp"] = START
    world.put(elsewhere)
    world.put(going)
    await world.settle()
    assert world.status["run"]["version"] == 3


async def test_a_job_with_history_does_not_adopt() -> None:
    """Back to old inputs is a new version."""
    world = World(algorithm="ridge")
    await world.run()
    world.put(a_recorded_version(7))
    world.edit(algorithm="random_forest")
    await world.run()
    assert world.status["version"] == 8


async def test_the_next_run_after_an_adoption_is_the_second() -> None:
    world = World()
    world.put(a_recorded_version(3))
    await world.run()
    world.edit(algorithm="ridge")
    await world.run()
    assert (world.status["run"]["number"], world.status["version"]) == (2, 4)
    assert world.status["reused"] is False


async def test_a_re_created_job_waits_until_its_predecessors_children_are_gone() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    await world.settle()
    world.replace_job("new-uid")
    plan = await world.settle()
    assert world.condition()["reason"] == "PredecessorPresent"
    assert "housing-rf-v1-1" in world.condition()["message"]
    assert world.created == ["california-housing-v1", "housing-rf-v1-1"]
    assert plan.requeue_after_seconds is not None
    world.collect_garbage()
    await world.run()
    assert world.status["version"] == 2
    assert world.status["run"]["id"].startswith("new-uid-1-")


async def test_a_pod_of_the_predecessor_is_waited_for_although_its_job_is_gone() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    world.replace_job("new-uid")
    world.remove_jobs()
    await world.settle()
    assert world.condition()["reason"] == "PredecessorPresent"


async def test_an_orphaned_job_that_is_done_holds_nobody_up() -> None:
    world = World()
    await world.settle()
    world.end("housing-rf-v1-1", exit_code=1)
    world.orphan("housing-rf-v1-1")
    world.replace_job("new-uid")
    await world.settle()
    assert world.status["run"]["version"] == 2


async def test_an_orphaned_job_that_still_runs_is_waited_for() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    world.orphan("housing-rf-v1-1")
    world.replace_job("new-uid")
    await world.settle()
    assert world.condition()["reason"] == "PredecessorPresent"
