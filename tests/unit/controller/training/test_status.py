"""The status tells people and programs where the job stands, and is written only when that changes."""

from typing import Any

import pytest

from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJob
from aurora_controller.kube.reconcile import PatchStatus, Stalled
from aurora_controller.training.desired import primary_metric_text
from aurora_runtime.contract import Outcome
from tests.unit.builders import CREATED_AT, a_container_status, a_model_version, a_training_job, waiting
from tests.unit.controller.training.world import World

JOB_V1 = "housing-rf-v1-1"


async def a_started_world(**spec: Any) -> World:
    """The first Job exists."""
    world = World(**spec)
    await world.settle()
    return world


def kstatus_of(world: World) -> set[str]:
    return {item["type"] for item in world.status["conditions"]} - {"Succeeded"}


async def test_while_it_is_under_way_it_is_reconciling_and_neither_succeeded_nor_failed() -> None:
    world = await a_started_world()
    world.start_pods()
    await world.settle()
    assert world.condition()["status"] == "Unknown"
    assert (world.condition()["reason"], world.status["phase"]) == ("Running", "Running")
    assert kstatus_of(world) == {"Reconciling"}
    assert world.condition("Reconciling")["status"] == "True"


async def test_success_is_neither_reconciling_nor_stalled() -> None:
    world = World()
    await world.run()
    assert kstatus_of(world) == set()


async def test_failure_is_stalled_because_a_person_acts_next() -> None:
    world = await a_started_world()
    world.report(JOB_V1, Outcome.INVALID_INPUT, message="unknown algorithm")
    await world.settle()
    assert kstatus_of(world) == {"Stalled"}
    assert world.condition("Stalled")["message"] == "unknown algorithm"


async def test_a_changed_spec_takes_a_success_back_until_it_is_answered() -> None:
    world = World()
    await world.run()
    world.edit(algorithm="ridge")
    await world.settle()
    assert world.condition()["status"] == "Unknown"
    assert kstatus_of(world) == {"Reconciling"}


async def test_status_and_conditions_tell_their_generation() -> None:
    world = World()
    await world.run()
    world.edit(ttlSecondsAfterFinished=7)
    await world.settle()
    assert world.status["observedGeneration"] == 2
    assert {item["observedGeneration"] for item in world.status["conditions"]} == {2}


async def test_the_transition_time_moves_with_the_status_alone() -> None:
    world = await a_started_world()
    world.advance(60)
    world.start_pods()
    await world.settle()
    assert world.condition()["lastTransitionTime"] == "2026-11-23T10:00:00Z"
    assert world.condition("Reconciling")["lastTransitionTime"] == "2026-11-23T10:00:00Z"
    world.advance(60)
    await world.run()
    assert world.condition()["lastTransitionTime"] == "2026-11-23T10:02:00Z"


async def test_conditions_of_others_are_kept() -> None:
    world = await a_started_world()
    other = {"type": "Audited", "status": "True", "reason": "x", "message": "", "lastTransitionTime": CREATED_AT}
    world.job["status"]["conditions"].append(other)
    await world.run()
    assert world.condition("Audited") == other


async def test_it_is_written_once_per_reconcile_and_last() -> None:
    world = World(ttl_seconds_after_finished=0)
    for _ in range(20):
        plan = await world.reconcile()
        kinds = [type(write) for write in plan.writes if isinstance(write, PatchStatus)]
        assert len(kinds) <= 1
        assert not kinds or isinstance(plan.writes[-1], PatchStatus)
        world.step()


async def test_it_always_fits_its_schema() -> None:
    world = World()
    for _ in range(20):
        await world.reconcile()
        MLTrainingJob.model_validate(world.job)
        world.step()
    assert world.status["phase"] == "Succeeded"


async def test_events_tell_the_story_once() -> None:
    world = World()
    await world.run()
    await world.settle()
    assert [(note.type, note.reason) for note in world.events] == [
        ("Normal", "ReservedVersion"),
        ("Normal", "JobCreated"),
        ("Normal", "Succeeded"),
    ]


async def test_a_failed_attempt_and_the_end_of_all_attempts_are_warnings() -> None:
    world = await a_started_world(backoff_limit=1)
    world.end(JOB_V1, exit_code=139)
    plan = await world.settle()
    world.advance(plan.requeue_after_seconds or 0)
    await world.settle()
    world.end("housing-rf-v1-2", exit_code=139)
    await world.settle()
    warnings = [(note.reason, note.message) for note in world.events if note.type == "Warning"]
    assert [reason for reason, _ in warnings] == ["TrainerCrashed", "TrainerCrashed"]
    assert "Attempt 1 failed" in warnings[0][1]
    assert "spec.backoffLimit" in warnings[1][1]


async def test_trouble_is_told_once_although_its_words_change() -> None:
    world = await a_started_world()
    pod = world.start_pod(JOB_V1, state=waiting("ErrImagePull", "a"))
    await world.settle()
    pod["status"]["containerStatuses"] = [a_container_status("trainer", state=waiting("ErrImagePull", "b"))]
    world.put(pod)
    await world.settle()
    assert [note.reason for note in world.events if note.type == "Warning"] == ["ImagePullFailed"]


async def test_an_object_that_the_schema_would_refuse_names_the_field() -> None:
    world = World()
    world.job["spec"]["backoffLimit"] = "often"
    with pytest.raises(Stalled, match=r"spec\.backoffLimit"):
        await world.plan()


async def test_objects_beside_it_that_no_schema_would_let_in_do_not_hold_it_up() -> None:
    world = World()
    broken_version, broken_job = a_model_version(7), a_training_job("broken")
    broken_version["spec"] = {"modelName": "california-housing", "version": "seven"}
    broken_job["status"] = {"run": {"version": "seven"}}
    world.put(broken_version)
    world.put(broken_job)
    world.put(a_training_job("empty") | {"spec": None})
    await world.run()
    assert world.status["version"] == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.81234, "r2=0.812"), (1.0, "r2=1.000"), (0.0, "r2=0.000"), (1234.5678, "r2=1234.568"), (1.5e-7, "r2=1.5e-07")],
)
def test_the_primary_metric_is_short(value: float, text: str) -> None:
    assert primary_metric_text("r2", {"r2": value}) == text


def test_a_primary_metric_without_a_value_is_its_name() -> None:
    assert primary_metric_text("r2", {}) == "r2"
