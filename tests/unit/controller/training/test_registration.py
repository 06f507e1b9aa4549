"""A job is Succeeded only when its version's facts are recorded, and they are recorded once."""

import copy

from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION
from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJob
from aurora_controller.kube.reconcile import Create, Delete, PatchStatus
from aurora_controller.training.inputs import inputs_of
from aurora_runtime.contract import Outcome, TrainedBy, TrainingTask
from tests.unit.builders import a_claim, a_digest, a_model_version
from tests.unit.controller.training.world import START, World, facts_of

JOB_V1 = "housing-rf-v1-1"


async def a_trained_world() -> World:
    """The first trainer has published version 1 and said so; the controller has not looked yet."""
    world = World()
    await world.settle()
    world.start_pods()
    await world.settle()
    world.train(JOB_V1)
    return world


async def test_facts_come_before_success() -> None:
    world = await a_trained_world()
    (facts,) = (await world.reconcile()).writes
    assert isinstance(facts, PatchStatus)
    assert facts.kind == ML_MODEL_VERSION
    assert world.status["phase"] == "Running"
    (success,) = (await world.reconcile()).writes
    assert isinstance(success, PatchStatus)
    assert world.status["phase"] == "Succeeded"
    assert (await world.plan()).writes == ()


async def test_all_facts_are_recorded_and_the_registrys_fields_left_alone() -> None:
    world = await a_trained_world()
    reserved = copy.deepcopy(world.version(1)) | {"status": {"state": "Reserved", "servedBy": ["x"]}}
    world.put(reserved)
    await world.settle()
    assert world.version(1)["status"] == {
        "state": "Reserved",
        "servedBy": ["x"],
        "digest": a_digest(1),
        "sizeBytes": 1234,
        "format": "onnx",
        "algorithm": "random_forest",
        "task": "regression",
        "metrics": {"r2": 0.8123, "rmse": 0.5},
        "primaryMetric": "r2=0.812",
        "signature": {
            "featureCount": 8,
            "inputs": [{"name": "rooms", "datatype": "FP64", "shape": [-1]}],
            "outputs": [{"name": "prediction", "datatype": "FP64", "shape": [-1]}],
        },
        "createdAt": START,
    }


async def test_success_tells_version_digest_and_scores() -> None:
    world = await a_trained_world()
    await world.settle()
    status = world.status
    assert (status["version"], status["digest"], status["reused"]) == (1, a_digest(1), False)
    assert (status["metrics"], status["primaryMetric"]) == ({"r2": 0.8123, "rmse": 0.5}, "r2=0.812")
    assert status["run"]["finishedAt"] == START
    assert world.condition()["status"] == "True"
    assert world.condition()["reason"] == "Succeeded"
    assert "r2=0.812" in world.condition()["message"]


async def test_recorded_facts_are_enough_when_job_and_pod_are_gone_before_the_status_was_written() -> None:
    world = await a_trained_world()
    await world.reconcile()
    world.remove_jobs()
    world.remove_pods()
    await world.settle()
    assert world.status["phase"] == "Succeeded"
    assert world.jobs == []


async def test_an_object_deleted_in_mid_run_is_created_first_and_told_the_facts_next() -> None:
    world = await a_trained_world()
    before = world.version(1)["spec"]
    world.remove(ML_MODEL_VERSION, "california-housing-v1")
    plans = [await world.reconcile() for _ in range(3)]
    assert [type(plan.writes[0]) for plan in plans] == [Create, PatchStatus, PatchStatus]
    assert world.version(1)["spec"] == before
    assert world.status["phase"] == "Succeeded"


async def test_a_number_that_another_run_took_meanwhile_is_taken_back_because_the_store_holds_ours() -> None:
    world = await a_trained_world()
    ours = world.version(1)["spec"]
    world.put(a_model_version(1, job="another", run="another-uid-1-00000000", metadata={"uid": "theirs"}))
    plan = await world.reconcile()
    (delete,) = plan.writes
    assert isinstance(delete, Delete)
    assert delete.existing["metadata"]["uid"] == "theirs"
    assert plan.requeue_after_seconds is not None
    await world.settle()
    assert world.version(1)["spec"] == ours
    assert world.status["version"] == 1


async def test_a_recorded_version_of_another_run_is_never_deleted() -> None:
    world = await a_trained_world()
    theirs = a_model_version(1, job="another", run="another-uid-1-00000000", digest=a_digest(9))
    world.put(theirs)
    await world.settle()
    assert world.condition()["reason"] == "VersionConflict"
    assert world.version(1)["status"]["digest"] == a_digest(9)
    assert world.status["phase"] == "Failed"


async def test_facts_that_contradict_recorded_ones_are_a_conflict_for_people() -> None:
    world = await a_trained_world()
    world.version(1)["status"] = {"digest": a_digest(9)}
    world.version(1)["spec"]["run"] += "x"
    await world.settle()
    assert world.condition()["reason"] == "VersionConflict"
    assert a_digest(9) in world.condition()["message"]


async def test_a_reused_version_with_another_digest_than_the_recorded_one_is_a_conflict() -> None:
    world = World()
    await world.settle()
    old = _task(world, 3)
    world.put(a_model_version(3, run=old.run_id, digest=a_digest(9)))
    world.report(JOB_V1, Outcome.REUSED, facts=facts_of(old), highest_version=3)
    await world.settle()
    assert world.condition()["reason"] == "VersionConflict"
    assert world.versions[3] == a_digest(9)


async def test_a_version_that_is_in_the_store_is_recorded_although_the_inputs_have_changed() -> None:
    world = await a_trained_world()
    world.edit(algorithm="ridge")
    await world.run()
    assert world.versions == {1: a_digest(1), 2: a_digest(2)}
    assert world.status["version"] == 2


async def test_a_version_that_is_in_the_store_is_recorded_although_the_job_is_suspended() -> None:
    world = await a_trained_world()
    world.edit(suspend=True)
    await world.run()
    assert world.versions == {1: a_digest(1)}
    assert world.status["phase"] == "Succeeded"


async def test_the_lost_object_of_a_superseded_run_gets_back_that_runs_inputs() -> None:
    world = await a_trained_world()
    before = world.version(1)["metadata"]["annotations"]
    world.remove(ML_MODEL_VERSION, "california-housing-v1")
    world.edit(algorithm="ridge")
    await world.reconcile()
    assert world.version(1)["metadata"]["annotations"] == before


async def test_a_lost_object_is_re_created_on_the_claim_the_trainer_published_to() -> None:
    world = await a_trained_world()
    world.put(a_claim("elsewhere"))
    world.edit(storage={"claimName": "elsewhere"})
    world.remove(ML_MODEL_VERSION, "california-housing-v1")
    await world.run()
    assert world.version(1)["spec"]["claimName"] == "aurora-models"


async def test_a_reused_version_gets_its_object_and_the_reservation_is_left_to_the_registry() -> None:
    """Everything but the storage was lost, and the manifests were applied again."""
    world = World()
    first, second = (_task(world, number) for number in (1, 2))
    world.store = {
        1: first.model_copy(update={"inputs": first.inputs.model_copy(update={"algorithm": "x"})}),
        2: second,
    }
    await world.run()
    assert world.status["phase"] == "Succeeded"
    assert (world.status["version"], world.status["reused"]) == (2, True)
    assert world.condition()["reason"] == "Reused"
    assert world.versions == {1: None, 2: a_digest(2)}
    assert world.version(2)["spec"]["run"] == second.run_id
    assert world.version(2)["spec"]["trainedBy"] == {"name": "housing-rf", "uid": "old-uid"}
    assert world.status["run"]["version"] == 2


async def test_a_reused_version_with_the_reserved_number_takes_the_place_of_the_reservation() -> None:
    world = World()
    world.store = {1: _task(world, 1)}
    await world.run()
    assert (world.status["version"], world.status["reused"]) == (1, True)
    assert world.version(1)["spec"]["run"] == "old-uid-1-0a1b2c3d"
    assert world.versions == {1: a_digest(1)}
    assert world.created.count("housing-rf-v1-1") == 1


async def test_a_version_is_reused_although_the_first_number_asked_for_was_taken() -> None:
    world = World()
    await world.settle()
    world.report(JOB_V1, Outcome.VERSION_TAKEN, highest_version=3)
    await world.settle()
    world.report("housing-rf-v4-1", Outcome.REUSED, facts=facts_of(_task(world, 3)), highest_version=3)
    await world.settle()
    assert (world.status["phase"], world.status["version"], world.status["run"]["failures"]) == ("Succeeded", 3, 0)
    assert world.versions == {1: None, 3: a_digest(3), 4: None}


async def test_a_reused_version_that_is_already_recorded_is_taken_as_it_is() -> None:
    world = World()
    await world.settle()
    old = _task(world, 3)
    world.put(a_model_version(3, run=old.run_id, digest=a_digest(3)))
    world.report(JOB_V1, Outcome.REUSED, facts=facts_of(old), highest_version=3)
    before = world.version(3)
    await world.settle()
    assert world.version(3) == before
    assert world.status["version"] == 3


def _task(world: World, number: int) -> TrainingTask:
    """What an earlier job of the same name and inputs has published as this number."""
    inputs = inputs_of(MLTrainingJob.model_validate(world.job).spec)
    trained_by = TrainedBy(namespace="default", name="housing-rf", uid="old-uid")
    return TrainingTask(
        model="california-housing",
        version=number,
        run_id=f"old-uid-{number}-0a1b2c3d",
        inputs=inputs,
        trained_by=trained_by,
    )
