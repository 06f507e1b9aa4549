"""The run ends when the trainer has terminated and its report was read; a lost report is asked for again."""

import copy
from typing import Any

import pytest

from aurora_controller.kube.meta import JOB, POD, ObjectKey
from aurora_runtime.contract import Outcome, TrainingReport
from tests.unit.builders import NAMESPACE, a_container_status, running
from tests.unit.controller.training.world import World, facts_of

JOB_V1 = "housing-rf-v1-1"


async def a_running_world(**spec: Any) -> World:
    """The first trainer runs."""
    world = World(**spec)
    await world.settle()
    world.start_pods()
    await world.settle()
    assert world.status["phase"] == "Running"
    return world


def pod_of(world: World) -> dict[str, Any]:
    (pod,) = world.pods_of(JOB_V1)
    return copy.deepcopy(pod)


async def test_a_sidecar_that_goes_on_does_not_keep_the_run_from_ending() -> None:
    world = await a_running_world()
    world.train(JOB_V1)
    pod = pod_of(world)
    pod["status"]["phase"] = "Running"
    pod["status"]["containerStatuses"].insert(0, a_container_status("proxy", state=running()))
    world.put(pod)
    job = copy.deepcopy(world.objects[JOB.kind, ObjectKey(NAMESPACE, JOB_V1)])
    del job["status"]["conditions"]
    world.put(job)
    await world.settle()
    assert world.status["phase"] == "Succeeded"


async def test_a_sidecar_that_ends_does_not_end_the_run() -> None:
    world = await a_running_world()
    pod = pod_of(world)
    ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "proxy", "finishedAt": "2026-11-23T10:00:00Z"}}
    pod["status"]["containerStatuses"].insert(0, a_container_status("proxy", state=ended))
    world.put(pod)
    world.advance(60)
    await world.settle()
    assert world.status["phase"] == "Running"


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("", id="gone"),
        pytest.param("Segmentation fault", id="not a report"),
        pytest.param('{"outcome": "Succeeded", "runId": "job-uid-1-14179fb0"', id="cut off"),
        pytest.param('{"outcome": "Succeeded", "runId": "job-uid-1-14179fb0"}', id="success without facts"),
        pytest.param(TrainingReport(outcome=Outcome.FAILED, run_id="another").to_json(), id="of another run"),
    ],
)
async def test_an_unreadable_report_starts_the_same_attempt_again(message: str) -> None:
    world = await a_running_world()
    world.end(JOB_V1, exit_code=0, message=message)
    await world.settle()
    assert world.jobs == []
    assert world.condition()["reason"] == "BackingOff"
    world.advance(10)
    world.collect_garbage()
    await world.settle()
    run = world.status["run"]
    assert world.jobs == [JOB_V1]
    assert (run["attempt"], run["failures"], run["restarts"]) == (1, 0, 1)


async def test_a_trainer_that_finds_its_own_version_reports_it_again() -> None:
    world = await a_running_world()
    world.train(JOB_V1)
    world.end(JOB_V1, exit_code=0, message="")
    await world.run()
    assert world.status["phase"] == "Succeeded"
    assert world.status["version"] == 1
    assert world.status["reused"] is False


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("digest", "sha256:short", id="digest"),
        pytest.param("created_at", "yesterday", id="time"),
        pytest.param("version", 2, id="number"),
        pytest.param("run_id", "another", id="run"),
    ],
)
async def test_facts_that_could_not_be_recorded_are_no_report(field: str, value: Any) -> None:
    world = await a_running_world()
    facts = facts_of(world.task(JOB_V1)).model_copy(update={field: value})
    world.report(JOB_V1, Outcome.SUCCEEDED, facts=facts)
    await world.settle()
    assert world.condition()["reason"] == "BackingOff"
    assert world.versions == {1: None}


async def test_each_further_loss_waits_longer_and_too_many_count_as_a_failure() -> None:
    world = await a_running_world(backoff_limit=1)
    delays = []
    for _ in range(3):
        world.end(JOB_V1, exit_code=0)
        plan = await world.settle()
        delays.append(plan.requeue_after_seconds or 0)
        world.advance(delays[-1])
        world.collect_garbage()
        await world.settle()
        world.start_pods()
    assert delays == [10, 20, 40]
    world.end(JOB_V1, exit_code=0)
    await world.settle()
    run = world.status["run"]
    assert (run["attempt"], run["failures"], run["restarts"]) == (2, 1, 0)


async def test_a_deleted_job_is_started_again_without_a_failure() -> None:
    world = await a_running_world()
    world.remove(JOB, JOB_V1)
    world.collect_garbage()
    await world.settle()
    assert world.jobs == [JOB_V1]
    assert (world.status["run"]["attempt"], world.status["run"]["failures"]) == (1, 0)


async def test_a_deleted_job_is_not_started_beside_its_own_pod() -> None:
    world = await a_running_world()
    world.remove(JOB, JOB_V1)
    plan = await world.settle()
    assert world.jobs == []
    assert world.condition()["reason"] == "Stopping"
    assert plan.requeue_after_seconds is not None


async def test_a_report_outlives_its_job() -> None:
    world = await a_running_world()
    world.report(JOB_V1, Outcome.INVALID_INPUT, message="unknown hyperparameter 'luck'")
    world.remove(JOB, JOB_V1)
    await world.settle()
    assert world.status["phase"] == "Failed"


async def test_a_deleted_pod_is_a_lost_report_and_no_failure() -> None:
    world = await a_running_world()
    pod = pod_of(world)
    pod["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    world.put(pod)
    world.end(JOB_V1, exit_code=143)
    await world.settle()
    assert (world.status["run"]["failures"], world.status["run"]["restarts"]) == (0, 1)


async def test_a_job_that_is_going_is_not_judged() -> None:
    world = await a_running_world()
    world.end(JOB_V1, exit_code=143)
    world.objects[JOB.kind, ObjectKey(NAMESPACE, JOB_V1)]["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    world.advance(60)
    plan = await world.settle()
    assert world.status["run"]["failures"] == 0
    assert plan.requeue_after_seconds is not None


async def test_a_vanished_pod_is_believed_only_after_a_while() -> None:
    """The cache of pods may be behind that of Jobs."""
    world = await a_running_world()
    world.remove(POD, pod_of(world)["metadata"]["name"])
    world.finish(JOB_V1, "Failed", reason="BackoffLimitExceeded")
    plan = await world.settle()
    assert world.jobs == [JOB_V1]
    world.advance(plan.requeue_after_seconds or 0)
    await world.settle()
    assert world.jobs == []
    assert world.status["run"]["restarts"] == 1


async def test_a_finished_job_whose_pod_still_looks_alive_is_waited_for() -> None:
    world = await a_running_world()
    world.finish(JOB_V1, "Failed", reason="BackoffLimitExceeded")
    assert (await world.reconcile()).writes == ()
    world.advance(600)
    plan = await world.settle()
    assert world.condition()["reason"] == "Stopping", "its node may have gone silent"
    assert world.jobs == [JOB_V1]
    assert world.status["run"]["restarts"] == 0
    assert plan.requeue_after_seconds is not None


async def test_a_crash_is_judged_when_the_job_agrees_or_had_its_time() -> None:
    """The kubelet may tell of the trainer's end before it tells why."""
    world = await a_running_world()
    world.end(JOB_V1, exit_code=137)
    job = copy.deepcopy(world.objects[JOB.kind, ObjectKey(NAMESPACE, JOB_V1)])
    ended = job["status"].pop("conditions")
    world.put(job)
    plan = await world.settle()
    assert world.status["run"]["failures"] == 0
    assert plan.requeue_after_seconds == 15
    job["status"]["conditions"] = ended
    world.put(job)
    await world.settle()
    assert world.status["run"]["failures"] == 1


async def test_a_disrupted_pod_is_replaced_by_its_job_and_costs_nothing() -> None:
    world = await a_running_world()
    pod = pod_of(world)
    pod["status"]["phase"] = "Failed"
    pod["status"]["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}]
    pod["status"]["containerStatuses"][0]["state"] = {
        "terminated": {"exitCode": 143, "reason": "Error", "finishedAt": "2026-11-23T10:00:00Z"}
    }
    world.put(pod)
    world.advance(60)
    await world.settle()
    assert world.condition()["reason"] == "Disrupted"
    world.start_pod(JOB_V1)
    await world.settle()
    assert world.status["phase"] == "Running"
    assert (world.status["run"]["attempt"], world.status["run"]["failures"]) == (1, 0)


async def test_pods_of_an_earlier_job_of_the_same_name_say_nothing_of_this_one() -> None:
    world = await a_running_world()
    world.end(JOB_V1, exit_code=0)
    await world.settle()
    world.advance(10)
    await world.settle()  # the pod of the deleted Job is still there
    assert world.jobs == [JOB_V1]
    world.advance(60)
    await world.settle()
    assert world.status["run"]["restarts"] == 1


async def test_a_run_that_nobody_saw_running_tells_when_it_started() -> None:
    """The controller was away, or the trainer faster than the next look: the pod still knows."""
    world = World()
    await world.settle()
    world.start_pods()
    world.advance(2)
    world.train(JOB_V1)
    await world.settle()
    run = world.status["run"]
    assert (run["startedAt"], run["finishedAt"]) == ("2026-11-23T10:00:00Z", "2026-11-23T10:00:02Z")


async def test_a_run_started_with_its_first_attempt() -> None:
    world = World()
    await world.settle()
    world.start_pods()
    world.advance(5)
    world.end(JOB_V1, exit_code=139)
    plan = await world.settle()
    world.advance(plan.requeue_after_seconds or 0)
    await world.run()
    assert world.status["run"]["attempt"] == 2
    assert world.status["run"]["startedAt"] == "2026-11-23T10:00:00Z"
