"""Finished Jobs are kept for their logs, then removed; the MLTrainingJob itself stays."""

import copy

from aurora_controller.kube.meta import JOB, ObjectKey
from tests.unit.builders import NAMESPACE, a_container_status, running
from tests.unit.controller.training.world import World

JOB_V1 = "housing-rf-v1-1"


async def test_the_job_is_kept_for_its_time_and_then_deleted() -> None:
    world = World(ttl_seconds_after_finished=100)
    await world.run()
    plan = await world.settle()
    assert plan.requeue_after_seconds == 100
    world.advance(99)
    await world.settle()
    assert world.jobs == [JOB_V1]
    world.advance(1)
    await world.settle()
    assert world.jobs == []
    assert world.status["phase"] == "Succeeded"
    world.collect_garbage()
    plan = await world.settle()
    assert plan.requeue_after_seconds is None
    assert world.created.count(JOB_V1) == 1


async def test_it_is_not_deleted_before_the_version_is_recorded() -> None:
    world = World(ttl_seconds_after_finished=0)
    await world.settle()
    world.start_pods()
    await world.settle()
    world.train(JOB_V1)
    world.advance(1000)
    while world.status["phase"] != "Succeeded":
        assert world.jobs == [JOB_V1]
        await world.reconcile()
    await world.settle()
    assert world.jobs == []


async def test_jobs_of_failed_attempts_are_kept_and_removed_likewise() -> None:
    world = World(ttl_seconds_after_finished=100)
    await world.settle()
    world.end(JOB_V1, exit_code=1)
    await world.settle()
    world.advance(50)
    await world.settle()
    world.start_pods()
    await world.settle()
    world.advance(50)
    await world.settle()
    assert world.jobs == ["housing-rf-v1-2"]


async def test_jobs_of_a_failed_run_are_removed_and_nothing_starts() -> None:
    world = World(ttl_seconds_after_finished=100, backoff_limit=0)
    await world.settle()
    world.end(JOB_V1, exit_code=1)
    await world.settle()
    world.advance(100)
    await world.settle()
    assert world.jobs == []
    assert world.status["phase"] == "Failed"


async def test_a_job_that_a_sidecar_keeps_alive_is_removed_too() -> None:
    world = World(ttl_seconds_after_finished=100)
    await world.settle()
    world.start_pods()
    world.train(JOB_V1)
    pod = copy.deepcopy(world.pods_of(JOB_V1)[0])
    pod["status"]["phase"] = "Running"
    pod["status"]["containerStatuses"].append(a_container_status("proxy", state=running()))
    world.put(pod)
    job = copy.deepcopy(world.objects[JOB.kind, ObjectKey(NAMESPACE, JOB_V1)])
    del job["status"]
    world.put(job)
    await world.settle()
    assert world.jobs == [JOB_V1]
    world.advance(100)
    await world.settle()
    assert world.jobs == []
