"""A run is stopped when its inputs change or its job is suspended: first the pods go, then something else starts."""

import copy

from aurora_controller.kube.meta import JOB, ObjectKey
from tests.unit.builders import NAMESPACE
from tests.unit.controller.training.world import START, World

JOB_V1 = "housing-rf-v1-1"


async def a_running_world() -> World:
    """The first trainer runs."""
    world = World()
    await world.settle()
    world.start_pods()
    await world.settle()
    return world


async def test_a_run_whose_inputs_change_is_stopped_and_superseded_when_its_pods_are_gone() -> None:
    world = await a_running_world()
    world.edit(algorithm="ridge")
    plan = await world.settle()
    assert world.jobs == []
    assert world.condition()["reason"] == "Superseded"
    assert set(world.versions) == {1}, "its pod is still there"
    assert plan.requeue_after_seconds is not None
    world.collect_garbage()
    await world.run()
    assert (world.status["run"]["number"], world.status["version"]) == (2, 2)
    assert world.versions[1] is None


async def test_a_pod_that_takes_its_time_to_stop_is_waited_for() -> None:
    world = await a_running_world()
    world.edit(algorithm="ridge")
    await world.settle()
    world.advance(3600)
    assert (await world.reconcile()).writes == ()


async def test_jobs_that_are_done_are_not_stopped() -> None:
    world = World(backoff_limit=1)
    await world.settle()
    world.end(JOB_V1, exit_code=1)
    await world.settle()
    world.edit(algorithm="ridge")
    await world.run()
    assert world.jobs == [JOB_V1, "housing-rf-v2-1"]


async def test_inputs_that_change_to_and_fro_while_a_run_is_stopped_keep_the_run() -> None:
    world = await a_running_world()
    world.edit(algorithm="ridge")
    await world.settle()
    world.edit(algorithm="random_forest")
    world.collect_garbage()
    await world.run()
    assert (world.status["run"]["number"], world.status["version"]) == (1, 1)


async def test_suspending_stops_the_trainer_and_tells_when_it_is_gone() -> None:
    world = await a_running_world()
    world.edit(suspend=True)
    await world.settle()
    assert world.jobs == []
    assert world.condition()["reason"] == "Suspending"
    world.collect_garbage()
    await world.settle()
    assert (world.status["phase"], world.status["run"]["phase"]) == ("Suspended", "Suspended")
    assert world.condition()["reason"] == "Suspended"
    assert world.condition()["status"] == "Unknown"
    assert world.condition("Reconciling") == {}


async def test_a_job_that_is_going_to_be_deleted_is_waited_for_and_not_deleted_twice() -> None:
    world = await a_running_world()
    job = copy.deepcopy(world.objects[JOB.kind, ObjectKey(NAMESPACE, JOB_V1)])
    job["metadata"]["deletionTimestamp"] = START
    world.put(job)
    world.edit(suspend=True)
    await world.settle()
    assert world.jobs == [JOB_V1]
    assert world.condition()["reason"] == "Suspending"


async def test_a_disrupted_trainer_that_its_job_will_replace_is_stopped_as_well() -> None:
    world = await a_running_world()
    pod = copy.deepcopy(world.pods_of(JOB_V1)[0])
    pod["status"] |= {"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": "True"}]}
    pod["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 143, "finishedAt": START}}
    world.put(pod)
    world.edit(suspend=True)
    await world.settle()
    assert world.jobs == []


async def test_going_on_uses_the_same_version_the_next_attempt_and_counts_no_failure() -> None:
    world = await a_running_world()
    world.edit(suspend=True)
    await world.run()
    world.edit(suspend=False)
    await world.run()
    run = world.status["run"]
    assert (run["version"], run["attempt"], run["failures"]) == (1, 2, 0)
    assert world.jobs == ["housing-rf-v1-2"]
    assert world.status["phase"] == "Succeeded"


async def test_a_job_that_is_suspended_from_the_start_reserves_nothing() -> None:
    world = World(suspend=True)
    await world.settle()
    assert world.created == []
    assert world.status["phase"] == "Suspended"
    world.edit(suspend=False)
    await world.run()
    assert (world.status["phase"], world.status["version"]) == ("Succeeded", 1)


async def test_inputs_that_change_while_suspended_are_answered_afterwards() -> None:
    world = await a_running_world()
    world.edit(suspend=True)
    await world.run()
    world.edit(algorithm="ridge")
    await world.run()
    assert set(world.versions) == {1}
    assert world.status["phase"] == "Suspended"
    world.edit(suspend=False)
    await world.run()
    assert (world.status["run"]["number"], world.status["version"]) == (2, 2)


async def test_a_finished_job_stays_finished_when_it_is_suspended() -> None:
    world = World()
    await world.run()
    world.edit(suspend=True)
    await world.run()
    assert (world.status["phase"], world.status["version"]) == ("Succeeded", 1)


async def test_inputs_that_come_back_while_suspended_leave_a_finished_run_finished() -> None:
    world = World()
    await world.run()
    world.edit(suspend=True, algorithm="ridge")
    await world.run()
    assert world.status["phase"] == "Suspended"
    world.edit(suspend=False, algorithm="random_forest")
    await world.run()
    assert (world.status["phase"], world.status["run"]["attempt"]) == ("Succeeded", 1)
    assert world.jobs == [JOB_V1]


async def test_a_failed_job_is_not_tried_again_while_it_is_suspended() -> None:
    world = World(backoff_limit=0)
    await world.settle()
    world.end(JOB_V1, exit_code=1)
    await world.settle()
    world.edit(suspend=True)
    await world.run()
    assert world.status["phase"] == "Failed"
    assert world.status["observedGeneration"] == 2
    world.edit(suspend=False)
    await world.run()
    assert world.status["phase"] == "Succeeded"
