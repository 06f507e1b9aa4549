"""Failures say who acts: bad input is not retried, infrastructure is, and a person's change starts afresh."""

import copy
from typing import Any

import pytest

from aurora_controller.kube.meta import JOB
from aurora_controller.training.retry import LONGEST_DELAY_SECONDS, delay_seconds
from aurora_runtime.contract import Outcome
from tests.unit.controller.training.world import World, trainer_of


async def a_started_world(**spec: Any) -> World:
    """The first Job exists."""
    world = World(**spec)
    await world.settle()
    return world


async def fail(world: World, *, times: int, exit_code: int = 1, reason: str | None = None) -> None:
    """So many attempts end with this code, each started when its time has come."""
    for _ in range(times):
        run = world.status["run"]
        world.end(f"housing-rf-v1-{run['attempt']}", exit_code=exit_code, reason=reason)
        plan = await world.settle()
        if world.status["phase"] == "Failed":
            return
        world.advance(plan.requeue_after_seconds or 0)
        await world.settle()


async def test_invalid_input_fails_at_once_with_the_trainers_words() -> None:
    world = await a_started_world()
    world.report("housing-rf-v1-1", Outcome.INVALID_INPUT, message="unknown algorithm 'astrology'; known: ridge")
    await world.settle()
    assert world.status["phase"] == "Failed"
    assert world.condition()["status"] == "False"
    assert world.condition()["reason"] == "InvalidInput"
    assert world.condition()["message"] == "unknown algorithm 'astrology'; known: ridge"
    world.advance(3000)
    assert (await world.plan()).writes == ()
    assert world.status["run"]["attempt"] == 1


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        pytest.param(Outcome.STORAGE_UNAVAILABLE, "StorageUnavailable", id="storage away"),
        pytest.param(Outcome.FAILED, "TrainingFailed", id="the trainer's own failure"),
    ],
)
async def test_reported_failures_of_the_infrastructure_are_tried_again(outcome: Outcome, reason: str) -> None:
    world = await a_started_world()
    world.report("housing-rf-v1-1", outcome, message="no space left")
    plan = await world.settle()
    assert world.condition()["reason"] == "BackingOff"
    assert "no space left" in world.condition()["message"]
    assert world.status["run"]["lastFailure"] == {"reason": reason, "message": "no space left"}
    assert plan.requeue_after_seconds == 10
    world.advance(10)
    await world.settle()
    assert world.jobs == ["housing-rf-v1-1", "housing-rf-v1-2"]


async def test_a_crash_without_a_report_is_tried_again() -> None:
    world = await a_started_world()
    world.end("housing-rf-v1-1", exit_code=139, message="segfault in libgomp")
    await world.settle()
    assert world.status["run"]["attempt"] == 2
    assert world.status["run"]["lastFailure"]["reason"] == "TrainerCrashed"
    assert "segfault in libgomp" in world.condition()["message"]


async def test_an_evicted_pod_that_the_job_does_not_replace_is_tried_again() -> None:
    world = await a_started_world()
    pod = copy.deepcopy(world.start_pod("housing-rf-v1-1"))
    pod["status"] |= {"phase": "Failed", "reason": "Evicted", "message": "exceeded ephemeral storage"}
    del pod["status"]["containerStatuses"]
    world.put(pod)
    world.finish("housing-rf-v1-1", "Failed", reason="BackoffLimitExceeded")
    await world.settle()
    assert world.status["run"]["attempt"] == 2
    assert "Evicted: exceeded ephemeral storage" in world.status["run"]["lastFailure"]["message"]


async def test_delays_double_up_to_five_minutes() -> None:
    assert [delay_seconds(failures) for failures in range(7)] == [10, 20, 40, 80, 160, 300, 300]


async def test_each_retry_waits_longer() -> None:
    world = await a_started_world(backoff_limit=3)
    delays = []
    for attempt in (1, 2, 3):
        world.end(f"housing-rf-v1-{attempt}", exit_code=1)
        plan = await world.settle()
        delays.append(plan.requeue_after_seconds or 0)
        world.advance(delays[-1] - 1)
        assert (await world.reconcile()).writes == ()
        world.advance(1)
        await world.settle()
    assert delays == [10, 20, 40]


async def test_backoff_limit_is_how_often_it_is_tried_again() -> None:
    world = await a_started_world(backoff_limit=2)
    await fail(world, times=9)
    assert world.status["phase"] == "Failed"
    assert world.created == ["california-housing-v1", "housing-rf-v1-1", "housing-rf-v1-2", "housing-rf-v1-3"]
    assert world.condition()["reason"] == "TrainerCrashed"
    assert "spec.backoffLimit is 2" in world.condition()["message"]


async def test_without_a_backoff_limit_the_first_failure_is_the_last() -> None:
    world = await a_started_world(backoff_limit=0)
    await fail(world, times=1)
    assert world.status["phase"] == "Failed"


async def test_running_out_of_memory_is_tried_again_once() -> None:
    world = await a_started_world(backoff_limit=10)
    await fail(world, times=9, exit_code=137, reason="OOMKilled")
    assert world.status["run"]["attempt"] == 2
    assert world.condition()["reason"] == "OutOfMemory"
    assert "spec.resources.limits.memory" in world.condition()["message"]


async def test_the_deadline_of_a_running_trainer_is_not_tried_again() -> None:
    world = await a_started_world(timeout_seconds=100)
    world.start_pods()
    await world.settle()
    world.finish("housing-rf-v1-1", "FailureTarget", reason="DeadlineExceeded")
    await world.settle()
    assert world.status["phase"] == "Running", "its pod is still going"
    world.end("housing-rf-v1-1", exit_code=143)
    await world.settle()
    assert world.status["phase"] == "Failed"
    assert world.condition()["reason"] == "DeadlineExceeded"
    assert "spec.timeoutSeconds (100 s)" in world.condition()["message"]


async def test_a_report_that_came_just_before_the_deadline_counts() -> None:
    world = await a_started_world()
    world.start_pods()
    await world.settle()
    world.finish("housing-rf-v1-1", "FailureTarget", reason="DeadlineExceeded")
    world.train("housing-rf-v1-1")
    await world.settle()
    assert world.status["phase"] == "Succeeded"


async def test_a_deadline_that_passed_before_the_trainer_started_is_no_attempt() -> None:
    world = await a_started_world()
    world.finish("housing-rf-v1-1", "Failed", reason="DeadlineExceeded")
    await world.settle()
    assert world.jobs == []
    world.advance(10)
    await world.settle()
    run = world.status["run"]
    assert world.jobs == ["housing-rf-v1-1"]
    assert (run["attempt"], run["failures"], run["restarts"]) == (1, 0, 0)


async def test_raising_only_the_resources_of_a_failed_job_tries_the_same_version_again() -> None:
    world = await a_started_world(backoff_limit=0)
    await fail(world, times=1, exit_code=137, reason="OOMKilled")
    world.edit(resources={"limits": {"memory": "8Gi"}})
    await world.settle()
    assert world.jobs == ["housing-rf-v1-1", "housing-rf-v1-2"]
    second = next(job for job in world.list(JOB, "default") if job["metadata"]["name"] == "housing-rf-v1-2")
    assert trainer_of(second)["resources"]["limits"] == {"memory": "8Gi"}
    run = world.status["run"]
    assert (run["number"], run["version"], run["failures"], run["oomKills"]) == (1, 1, 0, 0)
    await world.run()
    assert world.status["version"] == 1


async def test_a_failed_job_that_is_tried_again_has_all_its_tries_again() -> None:
    world = await a_started_world(backoff_limit=2)
    await fail(world, times=9)
    assert world.status["run"]["failures"] == 2
    world.edit(timeoutSeconds=99)
    await world.settle()
    assert world.status["run"]["failures"] == 0
    world.end("housing-rf-v1-4", exit_code=1)
    await world.settle()
    assert world.status["phase"] == "Pending"


async def test_a_failed_job_whose_inputs_are_mended_is_a_new_run() -> None:
    world = await a_started_world(algorithm="astrology")
    world.report("housing-rf-v1-1", Outcome.INVALID_INPUT, message="unknown algorithm")
    await world.settle()
    world.edit(algorithm="ridge")
    await world.run()
    assert (world.status["phase"], world.status["version"]) == ("Succeeded", 2)


async def test_a_change_made_while_the_last_attempt_ran_gets_its_own_attempt() -> None:
    """The attempt was made from the old spec, so the new one has not been tried."""
    world = await a_started_world(backoff_limit=0)
    world.start_pods()
    await world.settle()
    world.edit(resources={"limits": {"memory": "8Gi"}})
    await fail(world, times=1, exit_code=137, reason="OOMKilled")
    await world.settle()
    assert "housing-rf-v1-2" in world.jobs


async def test_a_change_that_a_retry_has_taken_up_is_not_tried_once_more() -> None:
    world = await a_started_world(backoff_limit=1)
    world.start_pods()
    await world.settle()
    world.edit(resources={"limits": {"memory": "8Gi"}})
    await fail(world, times=2)
    await world.settle()
    assert world.status["phase"] == "Failed"
    assert world.jobs == ["housing-rf-v1-1", "housing-rf-v1-2"]


async def test_a_retry_uses_what_the_spec_says_by_then() -> None:
    world = await a_started_world()
    world.start_pods()
    await world.settle()
    world.edit(timeoutSeconds=99)
    await fail(world, times=1)
    second = next(job for job in world.list(JOB, "default") if job["metadata"]["name"] == "housing-rf-v1-2")
    assert second["spec"]["activeDeadlineSeconds"] == 99


async def test_a_failed_job_keeps_saying_why() -> None:
    """Another writer, such as the loop that reports a refused write, may have overwritten the condition."""
    world = await a_started_world()
    world.report("housing-rf-v1-1", Outcome.INVALID_INPUT, message="unknown algorithm")
    await world.settle()
    world.job["status"]["conditions"][0] |= {"reason": "Forbidden", "message": "something else"}
    await world.settle()
    assert world.condition()["reason"] == "InvalidInput"
    assert world.condition()["message"] == "unknown algorithm"


async def test_a_clock_that_is_set_back_delays_an_attempt_by_the_longest_delay_at_most() -> None:
    world = await a_started_world()
    world.end("housing-rf-v1-1", exit_code=1)
    await world.settle()
    world.advance(-3600)
    plan = await world.settle()
    assert plan.requeue_after_seconds == LONGEST_DELAY_SECONDS
    world.advance(LONGEST_DELAY_SECONDS)
    await world.settle()
    assert "housing-rf-v1-2" in world.jobs
