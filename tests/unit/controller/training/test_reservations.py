"""A version's number is taken by an atomic create, and never used twice."""

import pytest

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION
from aurora_controller.kube.meta import JOB, annotations_of, labels_of
from aurora_runtime.contract import Outcome
from tests.unit.builders import a_claim, a_model, a_model_version, a_training_job
from tests.unit.controller.training.world import ConflictError, World


async def test_the_reservation_tells_run_job_claim_and_inputs_and_has_no_owner() -> None:
    world = World()
    await world.reconcile()
    version = world.version(1)
    assert version["spec"] == {
        "modelName": "california-housing",
        "version": 1,
        "run": "job-uid-1-14179fb0",
        "trainedBy": {"name": "housing-rf", "uid": "job-uid"},
        "claimName": "aurora-models",
    }
    assert labels_of(version) == {
        labels.MANAGED_BY: "aurora",
        labels.MODEL: "california-housing",
        labels.VERSION: "1",
        labels.TRAINING_JOB: "housing-rf",
    }
    assert len(annotations_of(version)[labels.INPUTS]) == 64
    assert "ownerReferences" not in version["metadata"]


async def test_the_number_is_one_more_than_any_version_object() -> None:
    world = World()
    world.put(a_model_version(4, job="another", run="another-uid-1-00000000"))
    await world.settle()
    assert world.status["run"]["version"] == 5


async def test_a_version_whose_labels_somebody_removed_still_holds_its_number() -> None:
    world = World()
    for number in (1, 2):
        bare = a_model_version(number, job="another", run="another-uid-1-00000000")
        del bare["metadata"]["labels"]
        world.put(bare)
    await world.settle()
    assert world.status["run"]["version"] == 3


async def test_a_reservation_whose_labels_somebody_removed_still_is_the_runs() -> None:
    world = World()
    await world.settle()
    del world.version(1)["metadata"]["labels"]
    await world.run()
    assert world.status["version"] == 1
    assert set(world.versions) == {1}


async def test_versions_of_other_models_do_not_count() -> None:
    world = World()
    world.put(a_model_version(4, model="another"))
    await world.settle()
    assert world.status["run"]["version"] == 1


async def test_the_number_is_more_than_the_highest_that_the_model_remembers() -> None:
    world = World()
    world.put(a_model(status={"highestVersion": 7}))
    await world.settle()
    assert world.status["run"]["version"] == 8


async def test_a_number_is_held_by_another_jobs_run_whose_objects_were_deleted() -> None:
    world = World()
    world.put(a_training_job("another", status={"run": {"id": "x", "number": 1, "inputs": {}, "version": 3}}))
    await world.settle()
    assert world.status["run"]["version"] == 4


async def test_a_number_that_another_run_takes_first_leads_to_the_next_one() -> None:
    world = World()
    plan = await world.plan()
    world.put(a_model_version(1, job="another", run="another-uid-1-00000000"))
    with pytest.raises(ConflictError):
        world.perform(plan.writes)
    await world.settle()
    assert world.status["run"]["version"] == 2


async def test_a_controller_that_died_before_the_status_write_finds_its_reservation() -> None:
    world = World()
    await world.reconcile()
    await world.settle()
    assert world.status["run"]["version"] == 1
    assert set(world.versions) == {1}


async def test_a_status_that_was_lost_goes_on_with_the_attempt_that_is_there() -> None:
    world = World()
    await world.settle()
    world.end("housing-rf-v1-1", exit_code=139)
    plan = await world.settle()
    world.advance(plan.requeue_after_seconds or 0)
    await world.settle()
    world.remove(JOB, "housing-rf-v1-1")
    del world.job["status"]
    await world.settle()
    assert world.status["run"]["attempt"] == 2
    assert world.created == ["california-housing-v1", "housing-rf-v1-1", "housing-rf-v1-2"]


async def test_a_reservation_for_inputs_that_changed_before_the_status_write_is_left_behind() -> None:
    world = World()
    await world.reconcile()
    world.edit(algorithm="ridge")
    await world.run()
    assert world.status["version"] == 2
    assert world.versions[1] is None


async def test_the_store_has_the_last_word_and_asking_it_costs_no_attempt() -> None:
    world = World()
    await world.settle()
    world.report("housing-rf-v1-1", Outcome.VERSION_TAKEN, highest_version=6)
    await world.settle()
    run = world.status["run"]
    assert (run["version"], run["attempt"], run["failures"]) == (7, 1, 0)
    assert world.created == ["california-housing-v1", "housing-rf-v1-1", "california-housing-v7", "housing-rf-v7-1"]
    await world.run()
    assert (world.status["phase"], world.status["version"], world.status["run"]["attempt"]) == ("Succeeded", 7, 1)


async def test_a_taken_number_without_a_highest_one_leads_to_the_next() -> None:
    world = World()
    await world.settle()
    world.report("housing-rf-v1-1", Outcome.VERSION_TAKEN)
    await world.settle()
    assert world.status["run"]["version"] == 2


async def test_a_number_deleted_while_the_trainer_runs_is_taken_again_for_the_same_run() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    await world.settle()
    before = world.version(1)["spec"]
    world.remove(ML_MODEL_VERSION, "california-housing-v1")
    await world.settle()
    assert world.version(1)["spec"] == before
    assert world.jobs == ["housing-rf-v1-1"]


async def test_a_number_deleted_before_the_trainer_starts_is_taken_again_for_the_same_run() -> None:
    world = World()
    await world.reconcile()
    await world.reconcile()
    before = world.version(1)["spec"]
    world.remove(ML_MODEL_VERSION, "california-housing-v1")
    await world.settle()
    assert world.version(1)["spec"] == before


async def test_a_deleted_number_that_another_run_took_before_the_trainer_starts_is_given_up() -> None:
    world = World()
    await world.reconcile()
    await world.reconcile()
    world.put(a_model_version(1, job="another", run="another-uid-1-00000000"))
    await world.run()
    assert world.status["version"] == 2
    assert world.version(1)["spec"]["run"] == "another-uid-1-00000000"


async def test_a_deleted_number_is_re_created_on_the_claim_its_trainer_publishes_to() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    world.put(a_claim("elsewhere"))
    world.edit(storage={"claimName": "elsewhere"})
    world.remove(ML_MODEL_VERSION, "california-housing-v1")
    await world.settle()
    assert world.version(1)["spec"]["claimName"] == "aurora-models"


async def test_a_run_whose_claim_changes_before_it_starts_takes_a_number_on_the_new_claim() -> None:
    world = World()
    await world.settle()
    world.put(a_claim("elsewhere"))
    world.edit(storage={"claimName": "elsewhere"})
    await world.run()
    assert world.status["version"] == 2
    assert world.version(2)["spec"]["claimName"] == "elsewhere"
    assert world.jobs == ["housing-rf-v2-1"]


async def test_a_version_object_that_is_going_is_waited_for() -> None:
    world = World()
    await world.reconcile()
    await world.reconcile()
    world.version(1)["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    plan = await world.reconcile()
    assert plan.writes == ()
    assert plan.requeue_after_seconds is not None
    assert world.list(JOB, "default") == []
