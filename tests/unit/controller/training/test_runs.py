"""A run answers a change of inputs, and only of inputs."""

from typing import Any

import pytest

from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJob
from aurora_controller.kube.meta import ObjectKey
from aurora_controller.training.inputs import fingerprint, inputs_of
from tests.unit.builders import NAMESPACE, a_training_job
from tests.unit.controller.training.world import JOB_NAME, World

KEY = ObjectKey(NAMESPACE, JOB_NAME)


async def test_a_new_job_reserves_then_remembers_its_run_then_starts_a_job() -> None:
    world = World()
    first, second, third = [await world.reconcile() for _ in range(3)]
    assert [[type(write).__name__ for write in plan.writes] for plan in (first, second, third)] == [
        ["Create"],
        ["PatchStatus"],
        ["Create"],
    ]
    assert world.created == ["california-housing-v1", "housing-rf-v1-1"]
    assert world.status["run"]["version"] == 1


async def test_a_finished_job_is_left_alone() -> None:
    world = World()
    await world.run()
    assert world.status["phase"] == "Succeeded"
    assert (await world.plan()).writes == ()


async def test_going_back_to_old_inputs_is_a_new_run_and_a_new_version() -> None:
    world = World(hyperparameters={"alpha": 1})
    await world.run()
    world.edit(hyperparameters={"alpha": 2})
    await world.run()
    world.edit(hyperparameters={"alpha": 1})
    await world.run()
    assert world.status["run"]["number"] == 3
    assert world.status["version"] == 3
    assert set(world.versions) == {1, 2, 3}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"dataset": "california-housing"}, id="dataset, even if the rows are the same"),
        pytest.param({"dataRevision": "2026-12"}, id="dataRevision"),
        pytest.param({"data": {"seed": 7}}, id="seed"),
        pytest.param({"algorithm": "ridge"}, id="algorithm"),
        pytest.param({"task": "regression"}, id="task"),
        pytest.param({"hyperparameters": {"max_depth": 3}}, id="hyperparameters"),
        pytest.param({"image": "mine:1"}, id="an image that the user sets"),
    ],
)
async def test_inputs_start_a_run(change: dict[str, Any]) -> None:
    world = World()
    await world.run()
    world.edit(**change)
    await world.run()
    assert (world.status["run"]["number"], world.status["version"]) == (2, 2)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"resources": {"limits": {"memory": "4Gi"}}}, id="resources"),
        pytest.param({"placement": {"nodeSelector": {"disk": "ssd"}}}, id="placement"),
        pytest.param({"timeoutSeconds": 60}, id="timeout"),
        pytest.param({"backoffLimit": 9}, id="backoffLimit"),
        pytest.param({"ttlSecondsAfterFinished": 9}, id="ttl"),
        pytest.param({"suspend": True}, id="suspend"),
        pytest.param({"storage": {"claimName": "other"}}, id="claim"),
        pytest.param({"data": {"testFraction": 0.2, "seed": 0}}, id="defaults written out"),
        pytest.param({"hyperparameters": {"max_depth": None}}, id="a hyperparameter set to null, which is unset"),
        pytest.param({"hyperparameters": {}}, id="no hyperparameters"),
    ],
)
async def test_everything_else_starts_none(change: dict[str, Any]) -> None:
    world = World()
    await world.run()
    world.edit(**change)
    await world.run()
    assert (world.status["run"]["number"], world.status["version"]) == (1, 1)
    assert world.status["observedGeneration"] == 2
    assert world.status["phase"] == "Succeeded"


async def test_a_newer_runtime_image_of_the_controller_trains_nothing_anew() -> None:
    world = World()
    await world.run()
    world.reconciler._runtime_image = "aurora-runtime:next"
    assert (await world.plan()).writes == ()


async def test_a_field_that_was_added_with_a_default_since_the_run_trains_nothing_anew() -> None:
    world = World()
    await world.run()
    snapshot = world.job["status"]["run"]["inputs"]
    del snapshot["task"]
    del snapshot["data"]["seed"]
    world.job["status"]["run"]["id"] = "job-uid-1-0ldha5h1"
    assert (await world.plan()).writes == ()


async def test_a_snapshot_that_cannot_be_read_any_more_is_answered_by_a_new_run() -> None:
    world = World()
    await world.run()
    world.job["status"]["run"] |= {"inputs": {"dataset": 7}, "id": "job-uid-1-0ldha5h1"}
    await world.run()
    assert world.status["version"] == 2


async def test_values_are_compared_as_the_api_server_stores_them() -> None:
    world = World(hyperparameters={"alpha": 1.0, "grid": [1.0, None], "nested": {"b": 2.0}})
    await world.run()
    world.edit(hyperparameters={"alpha": 1, "grid": [1, None], "nested": {"b": 2}})
    await world.run()
    assert world.status["run"]["number"] == 1


async def test_a_truth_value_is_not_a_number() -> None:
    world = World(hyperparameters={"bootstrap": 1})
    await world.run()
    world.edit(hyperparameters={"bootstrap": True})
    await world.run()
    assert world.status["run"]["number"] == 2


async def test_a_detail_that_storage_drops_from_the_snapshot_does_not_train_for_ever() -> None:
    world = World(hyperparameters={"grid": [1, {"a": None}]})
    await world.run()
    assert world.status["run"]["number"] == 1
    assert world.status["run"]["inputs"]["hyperparameters"] == {"grid": [1, {}]}
    assert (await world.plan()).writes == ()


async def test_hyperparameters_that_left_the_spec_leave_the_snapshot_too() -> None:
    world = World(hyperparameters={"max_depth": 3, "nested": {"a": 1, "b": 2}})
    await world.run()
    world.edit(hyperparameters={"nested": {"a": 1}})
    await world.run()
    assert world.status["run"]["inputs"]["hyperparameters"] == {"nested": {"a": 1}}
    assert (await world.plan()).writes == ()


def test_the_fingerprint_is_the_same_for_ever() -> None:
    """It is written to objects that outlive a release of the controller."""
    job = MLTrainingJob.model_validate(a_training_job(hyperparameters={"n_estimators": 100, "bootstrap": True}))
    assert fingerprint(inputs_of(job.spec))[:16] == "64d0377d85015274"


async def test_the_results_of_an_earlier_run_are_gone_while_the_next_one_is_under_way() -> None:
    world = World()
    await world.run()
    assert world.status["metrics"] == {"r2": 0.8123, "rmse": 0.5}
    world.edit(algorithm="ridge")
    await world.settle()
    assert not {"version", "digest", "metrics", "primaryMetric", "reused"} & set(world.status)


async def test_a_job_that_is_gone_or_going_asks_for_nothing() -> None:
    world = World()
    world.job["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    assert await world.reconciler.observe(KEY) is None
    world.objects.clear()
    assert await world.reconciler.observe(KEY) is None
