"""Each version says what may be done with it."""

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION
from aurora_controller.kube.conditions import find_condition
from aurora_controller.kube.meta import Manifest
from tests.unit.builders import MODEL, a_digest, a_model_version, a_ready_version, a_training_job
from tests.unit.controller.registry.namespace import LATER, Namespace

UID = "mltrainingjob-default-housing-rf"


def a_run(number: int, *, version: int | None = None, phase: str = "Running") -> dict[str, object]:
    """Run ``number`` of the job housing-rf, as its status tells it."""
    run = {"id": f"{UID}-{number}-0a1b2c3d", "number": number, "inputs": {}, "phase": phase, "version": version}
    return {key: value for key, value in run.items() if value is not None}


def a_job_with(run: dict[str, object] | None) -> Manifest:
    return a_training_job(status={"run": run} if run else None)


def reserved(number: int, *, by_run: int) -> Manifest:
    return a_model_version(number, run=f"{UID}-{by_run}-0a1b2c3d")


@pytest.mark.parametrize(
    ("job", "state"),
    [
        pytest.param(a_job_with(None), "Reserved", id="reserved before the status tells of the run"),
        pytest.param(a_job_with(a_run(3)), "Reserved", id="its run has no number in status yet"),
        pytest.param(a_job_with(a_run(3, version=7)), "Reserved", id="its run is at work"),
        pytest.param(a_job_with(a_run(3, version=7, phase="Failed")), "Reserved", id="a failed run may be tried again"),
        pytest.param(a_job_with(a_run(2, version=6)), "Reserved", id="the run before it is still in status"),
        pytest.param(a_job_with(a_run(4)), "Abandoned", id="a later run has begun"),
        pytest.param(a_job_with(a_run(3, version=8)), "Abandoned", id="its run went on to a higher number"),
        pytest.param(a_job_with(a_run(3, version=6)), "Reserved", id="its run is about to go on to this number"),
        pytest.param(
            a_job_with(a_run(3, version=5, phase="Succeeded")), "Abandoned", id="its run took a version that was there"
        ),
        pytest.param(
            a_job_with({**a_run(3), "id": f"{UID}-3-ffffffff"}), "Abandoned", id="another run has the same number"
        ),
        pytest.param(
            a_training_job(metadata={"uid": "another"}), "Abandoned", id="a job of that name was created anew"
        ),
        pytest.param(a_training_job("other"), "Abandoned", id="its job is gone"),
        pytest.param(a_training_job(metadata={"is_deleting": True}), "Abandoned", id="its job is going"),
    ],
)
async def test_a_reservation_is_abandoned_once_no_run_can_fulfil_it(job: Manifest, state: str) -> None:
    namespace = Namespace(job, reserved(7, by_run=3))
    await namespace.reconcile()
    assert namespace.version(7)["state"] == state


async def test_a_reservation_of_unknown_make_is_abandoned_once_a_run_exists() -> None:
    namespace = Namespace(a_job_with(a_run(1)), a_model_version(7, run="by-hand"))
    await namespace.reconcile()
    assert namespace.version(7)["state"] == "Abandoned"


async def test_a_published_version_is_ready_whatever_became_of_its_job() -> None:
    namespace = Namespace(a_model_version(1, digest=a_digest(1)))
    await namespace.reconcile()
    ready = find_condition(namespace.version(1)["conditions"], "Ready")
    assert namespace.version(1)["state"] == "Ready"
    assert ready is not None
    assert (ready["status"], ready["reason"], ready["lastTransitionTime"]) == ("True", "Published", LATER)


async def test_an_abandoned_version_says_that_it_may_be_deleted() -> None:
    namespace = Namespace(reserved(1, by_run=1))
    await namespace.reconcile()
    ready = find_condition(namespace.version(1)["conditions"], "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", "RunEndedWithoutIt")
    assert "may be deleted" in ready["message"]


async def test_the_facts_of_a_version_are_left_as_they_were_recorded() -> None:
    version = a_model_version(1, digest=a_digest(1), status={"reasonOfAnotherWriter": "kept"})
    namespace = Namespace(version)
    await namespace.reconcile()
    after = namespace.version(1)
    assert {key: after[key] for key in version["status"]} == version["status"]


async def test_a_version_that_is_being_deleted_is_let_go() -> None:
    namespace = Namespace(a_ready_version(1), a_ready_version(2, metadata={"is_deleting": True}))
    writes = await namespace.reconcile()
    assert f"patch status MLModelVersion {MODEL}-v2" not in writes
    assert namespace.model()["latestVersion"] == 1


async def test_a_malformed_neighbour_keeps_nobody_from_being_told() -> None:
    """An object of another schema may be in etcd."""
    namespace = Namespace(a_ready_version(1), {**a_training_job("odd"), "spec": {}})
    await namespace.reconcile()
    assert namespace.version(1)["state"] == "Ready"


async def test_versions_of_another_model_are_not_this_models_business() -> None:
    namespace = Namespace(a_ready_version(1), a_model_version(1, model="other", digest=a_digest(9)))
    writes = await namespace.reconcile()
    assert "create MLModel other" not in writes
    assert namespace.model()["readyVersions"] == 1
    assert namespace.cluster.names(ML_MODEL_VERSION) == [f"{MODEL}-v1", "other-v1"]
