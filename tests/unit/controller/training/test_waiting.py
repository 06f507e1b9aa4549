"""What a run waits for is named, costs no attempt, and passes without help once it is mended."""

import copy
from typing import Any

import pytest

from aurora_controller.kube.meta import PERSISTENT_VOLUME_CLAIM, ObjectKey
from tests.unit.builders import NAMESPACE, a_claim, a_container_status, running, waiting
from tests.unit.controller.training.world import JOB_NAME, World, is_running

JOB_V1 = "housing-rf-v1-1"
UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/1 nodes are available: 1 Insufficient memory.",
}
SCHEDULED = {"type": "PodScheduled", "status": "True"}


async def a_pending_world(
    state: dict[str, Any] | None = None, conditions: tuple[dict[str, Any], ...] = (SCHEDULED,), **spec: Any
) -> World:
    """The first Job has a pod whose trainer is in ``state``."""
    world = World(**spec)
    await world.settle()
    world.start_pod(JOB_V1, state=waiting("ContainerCreating") if state is None else state, conditions=conditions)
    await world.settle()
    return world


async def test_a_missing_claim_is_named_before_anything_is_reserved() -> None:
    world = World(claims=(), storage={"claimName": "nowhere"})
    await world.settle()
    assert world.created == []
    assert world.status["phase"] == "Pending"
    assert world.condition()["reason"] == "PersistentVolumeClaimNotFound"
    assert "'nowhere'" in world.condition()["message"]
    assert "'default'" in world.condition()["message"]
    assert [(note.type, note.reason) for note in world.events] == [("Warning", "PersistentVolumeClaimNotFound")]


async def test_a_claim_that_appears_wakes_the_jobs_that_wait_for_it_and_the_run_goes_on() -> None:
    world = World(claims=())
    await world.settle()
    claim = world.put(a_claim())
    (watch,) = [watch for watch in world.reconciler.watches if watch.kind == PERSISTENT_VOLUME_CLAIM]
    assert list(watch.requests(claim)) == [ObjectKey(NAMESPACE, JOB_NAME)]
    assert list(watch.requests(a_claim("another"))) == []
    await world.run()
    assert world.status["version"] == 1
    assert list(watch.requests(claim)) == [], "a finished job does not care"


async def test_a_claim_that_vanishes_after_success_is_waited_for_by_the_next_run() -> None:
    world = World()
    await world.run()
    world.remove(PERSISTENT_VOLUME_CLAIM, "aurora-models")
    world.edit(algorithm="ridge")
    await world.settle()
    assert world.condition()["reason"] == "PersistentVolumeClaimNotFound"
    (watch,) = [watch for watch in world.reconciler.watches if watch.kind == PERSISTENT_VOLUME_CLAIM]
    assert list(watch.requests(a_claim())) == [ObjectKey(NAMESPACE, JOB_NAME)]


async def test_a_claim_that_is_being_deleted_is_as_good_as_missing() -> None:
    world = World(claims=())
    world.put(a_claim(is_deleting=True))
    await world.settle()
    assert world.condition()["reason"] == "PersistentVolumeClaimNotFound"
    assert "being deleted" in world.condition()["message"]


async def test_a_claim_that_vanishes_before_the_trainer_starts_is_named() -> None:
    world = await a_pending_world(conditions=(UNSCHEDULABLE,))
    world.remove(PERSISTENT_VOLUME_CLAIM, "aurora-models")
    await world.settle()
    assert world.condition()["reason"] == "PersistentVolumeClaimNotFound"


async def test_an_unbound_claim_is_named_with_the_schedulers_words() -> None:
    world = World(claims=())
    world.put(a_claim(phase="Pending"))
    await world.settle()
    world.start_pod(JOB_V1, state=waiting("ContainerCreating"), conditions=(UNSCHEDULABLE,), phase="Pending")
    await world.settle()
    assert world.condition()["reason"] == "PersistentVolumeClaimUnbound"
    assert "'aurora-models'" in world.condition()["message"]
    assert "Insufficient memory" in world.condition()["message"]
    world.put(a_claim())
    world.remove_pods()
    await world.run()
    assert (world.status["phase"], world.status["run"]["attempt"]) == ("Succeeded", 1)


async def test_a_claim_that_is_bound_by_its_first_pod_is_no_trouble() -> None:
    world = World(claims=())
    world.put(a_claim(phase="Pending"))
    await world.settle()
    world.start_pod(JOB_V1, state=waiting("ContainerCreating"), phase="Pending")
    await world.settle()
    assert world.jobs == [JOB_V1]
    assert world.condition()["reason"] == "Pending"


async def test_an_unschedulable_pod_tells_the_schedulers_words() -> None:
    world = await a_pending_world(conditions=(UNSCHEDULABLE,), state=waiting("ContainerCreating"))
    assert world.condition()["reason"] == "Unschedulable"
    assert "Insufficient memory" in world.condition()["message"]


async def test_a_gated_pod_says_that_the_gate_is_not_auroras() -> None:
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "queue"}
    world = await a_pending_world(conditions=(gated,))
    assert world.condition()["reason"] == "SchedulingGated"


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"])
async def test_an_image_that_cannot_be_pulled_is_named_with_the_kubelets_words(reason: str) -> None:
    world = await a_pending_world(state=waiting(reason, "not found"))
    pod = copy.deepcopy(world.pods_of(JOB_V1)[0])
    pod["status"]["containerStatuses"][0]["image"] = "aurora-runtime:no-such-tag"
    world.put(pod)
    await world.settle()
    assert world.condition()["reason"] == "ImagePullFailed"
    assert "aurora-runtime:no-such-tag" in world.condition()["message"]
    assert "not found" in world.condition()["message"]
    world.advance(86400)
    assert (await world.plan()).writes == (), "an image is not an attempt"


async def test_the_kubelets_back_off_does_not_hide_what_happened() -> None:
    world = await a_pending_world(state=waiting("ErrImagePull", "manifest unknown"))
    before = world.condition()
    pod = copy.deepcopy(world.pods_of(JOB_V1)[0])
    pod["status"]["containerStatuses"][0]["state"] = waiting("ImagePullBackOff", "Back-off pulling image")
    world.put(pod)
    assert (await world.reconcile()).writes == ()
    assert world.condition() == before


async def test_the_image_of_a_sidecar_counts_too() -> None:
    world = await a_pending_world()
    pod = copy.deepcopy(world.pods_of(JOB_V1)[0])
    sidecar = a_container_status("proxy", state=waiting("ErrImagePull", "denied")) | {"image": "proxy:1"}
    pod["status"]["containerStatuses"].append(sidecar)
    world.put(pod)
    await world.settle()
    assert "proxy:1" in world.condition()["message"]


async def test_a_container_that_cannot_be_created_says_why() -> None:
    world = await a_pending_world(state=waiting("CreateContainerConfigError", "secret not found"))
    assert world.condition()["reason"] == "ContainerNotStarted"
    assert "secret not found" in world.condition()["message"]


async def test_ordinary_waiting_is_no_trouble() -> None:
    world = await a_pending_world()
    assert world.condition()["reason"] == "Pending"
    assert [note for note in world.events if note.type == "Warning"] == []


async def test_a_job_that_gets_no_pod_points_at_quota_and_admission() -> None:
    world = World()
    plan = await world.settle()
    assert world.condition()["reason"] == "Pending"
    assert plan.requeue_after_seconds == 10
    world.advance(10)
    await world.settle()
    assert world.condition()["reason"] == "PodNotCreated"
    assert f"kubectl describe job {JOB_V1}" in world.condition()["message"]


async def test_a_job_that_a_queue_holds_back_says_so() -> None:
    world = World()
    await world.settle()
    job = copy.deepcopy(world.list_jobs()[0])
    job["spec"]["suspend"] = True
    world.put(job)
    world.advance(60)
    await world.settle()
    assert world.condition()["reason"] == "JobSuspended"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"resources": {"requests": {"memory": "64Mi"}}}, id="resources"),
        pytest.param({"placement": {"nodeSelector": {"disk": "hdd"}}}, id="placement"),
        pytest.param({"timeoutSeconds": 50}, id="timeout"),
    ],
)
async def test_a_trainer_that_has_not_started_takes_up_the_mended_spec(
    change: dict[str, Any],
) -> None:
    world = await a_pending_world(conditions=(UNSCHEDULABLE,))
    before = world.list_jobs()[0]["metadata"]["uid"]
    world.edit(**change)
    world_jobs = await world.settle()
    assert world_jobs.requeue_after_seconds is not None, "the old pod is going"
    world.collect_garbage()
    await world.settle()
    assert world.jobs == [JOB_V1]
    assert world.list_jobs()[0]["metadata"]["uid"] != before
    assert (world.status["run"]["attempt"], world.status["run"]["failures"]) == (1, 0)


async def test_a_trainer_that_has_not_started_takes_up_the_controllers_new_image() -> None:
    world = await a_pending_world(state=waiting("ErrImagePull", "manifest unknown"))
    world.reconciler._runtime_image = "aurora-runtime:mended"
    await world.settle()
    world.collect_garbage()
    await world.run()
    assert world.list_jobs()[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "aurora-runtime:mended"
    assert world.status["phase"] == "Succeeded"


async def test_a_running_trainer_is_not_disturbed_by_a_changed_spec() -> None:
    world = await a_pending_world(state=running())
    before = world.list_jobs()[0]["metadata"]["uid"]
    world.edit(resources={"requests": {"memory": "64Mi"}})
    await world.settle()
    assert world.list_jobs()[0]["metadata"]["uid"] == before
    assert is_running(world.pods_of(JOB_V1)[0])
