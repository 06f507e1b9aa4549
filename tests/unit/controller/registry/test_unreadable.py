"""Objects that cannot be read: versions are stalled and named by their model, and all others are told as before."""

from typing import Any

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL_VERSION
from aurora_controller.kube.conditions import find_condition
from aurora_controller.kube.meta import Manifest, key_of
from aurora_controller.kube.reconcile import Stalled
from tests.unit.builders import MODEL, a_deployment, a_model, a_model_version, a_ready_version, a_training_job
from tests.unit.controller.registry.namespace import Namespace


def odd_version(number: int = 2, **spec: Any) -> Manifest:
    version = a_ready_version(number)
    version["spec"] |= spec
    return version


@pytest.mark.parametrize(
    ("version", "problem"),
    [
        pytest.param(odd_version(version="2"), r"spec\.version: ", id="a text for a number"),
        pytest.param(odd_version(version=7), f"metadata.name must be {MODEL}-v7", id="another number than its name's"),
        pytest.param(odd_version(trainedBy="me"), r"spec\.trainedBy: ", id="a text for an object"),
        pytest.param(odd_version(modelName=None), r"spec\.modelName: ", id="no model"),
        pytest.param(a_ready_version(2, digest="md5:0"), r"status\.digest: ", id="another digest"),
        pytest.param(a_ready_version(2, status={"createdAt": "today"}), r"status\.createdAt: ", id="no time"),
        pytest.param(a_ready_version(2, status={"signature": 5}), r"status\.signature: ", id="what nobody else reads"),
    ],
)
async def test_a_version_unlike_its_schema_is_stalled_and_the_field_named(version: Manifest, problem: str) -> None:
    namespace = Namespace(version)
    with pytest.raises(Stalled, match=problem):
        await namespace.versions.observe(key_of(version))


async def test_a_model_names_a_version_that_cannot_be_read_and_counts_the_others() -> None:
    namespace = Namespace(a_ready_version(1), a_model(aliases={"champion": 1, "next": 2}))
    namespace.add(odd_version(version="2"))
    await namespace.reconcile_model()
    ready, resolved = (find_condition(namespace.model()["conditions"], one) for one in ("Ready", "AliasesResolved"))
    assert ready is not None
    assert ready["message"].startswith("Version 1 is the latest of 1.")
    assert f"MLModelVersion {MODEL}-v2 cannot be read: spec.version: " in ready["message"]
    assert namespace.model()["aliases"] == [{"name": "champion", "version": 1}]
    assert resolved is not None
    assert resolved["status"] == "False"
    assert "alias next: version 2 is unreadable" in resolved["message"]
    namespace.remove(ML_MODEL_VERSION, f"{MODEL}-v2")
    namespace.add(a_ready_version(2))
    await namespace.reconcile()
    assert namespace.model()["latestVersion"] == 2


async def test_a_stalled_model_keeps_its_versions_from_nothing() -> None:
    namespace = Namespace(a_training_job(), a_model_version(1), a_model(aliases="odd"))
    await namespace.reconcile_versions()
    assert namespace.version(1)["state"] == "Reserved"


async def test_a_reservation_of_a_job_that_cannot_be_read_is_not_abandoned() -> None:
    """Its run may well be at work."""
    namespace = Namespace(a_training_job(status={"run": {"id": 5}}), a_model_version(1))
    await namespace.reconcile()
    assert namespace.version(1)["state"] == "Reserved"


async def test_a_deployment_that_cannot_be_read_serves_nothing_that_could_be_told() -> None:
    namespace = Namespace(a_ready_version(1), a_deployment(status={"stable": {"version": "one"}}))
    await namespace.reconcile()
    assert "servedBy" not in namespace.version(1)
    assert namespace.model()["readyVersions"] == 1
    (watch,) = [watch for watch in namespace.versions.watches if watch.kind == ML_DEPLOYMENT]
    assert list(watch.requests({**a_deployment(), "status": "odd"})) == []


async def test_what_the_loop_said_of_a_version_goes_once_it_is_mended() -> None:
    stalled = {"type": "Stalled", "status": "True", "reason": "InvalidObject", "message": "spec.version: odd"}
    namespace = Namespace(a_ready_version(1, status={"conditions": [stalled]}))
    await namespace.reconcile()
    assert [condition["type"] for condition in namespace.version(1)["conditions"]] == ["Ready"]
