"""The MLModel says what exists of a model, and remembers its numbers."""

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION
from aurora_controller.kube.conditions import find_condition
from aurora_controller.kube.meta import Manifest
from tests.unit.builders import (
    MODEL,
    NAMESPACE,
    a_condition,
    a_deployment,
    a_digest,
    a_model,
    a_model_version,
    a_ready_version,
    a_training_job,
)
from tests.unit.controller.registry.namespace import Namespace


async def test_a_model_is_made_with_its_first_version_and_belongs_to_nobody() -> None:
    namespace = Namespace(a_training_job(), a_model_version(1))
    writes = await namespace.reconcile()
    assert f"create MLModel {MODEL}" in writes
    metadata = namespace.cluster.live(ML_MODEL, MODEL, namespace=NAMESPACE)["metadata"]
    assert "ownerReferences" not in metadata


async def test_no_model_is_made_without_a_version() -> None:
    namespace = Namespace(a_training_job(), a_deployment())
    assert await namespace.reconcile() == []


async def test_a_model_without_versions_says_so() -> None:
    namespace = Namespace(a_model())
    await namespace.reconcile()
    ready = find_condition(namespace.model()["conditions"], "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"]) == ("False", "NoReadyVersion")
    assert namespace.model()["readyVersions"] == 0
    assert "latestVersion" not in namespace.model()


async def test_the_latest_version_is_the_highest_that_is_ready() -> None:
    namespace = Namespace(
        a_training_job(),
        a_ready_version(9, status={"metrics": {"r2": 0.7}}),
        a_ready_version(10, status={"metrics": {"r2": 0.9}}),
        a_model_version(11),
    )
    await namespace.reconcile()
    status = namespace.model()
    assert status["latestVersion"] == 10
    assert status["latestDigest"] == a_digest(10)
    assert status["latestMetrics"] == {"r2": 0.9}
    assert status["highestVersion"] == 11
    assert status["readyVersions"] == 2
    assert status["sizeBytes"] == 2_000_000
    assert find_condition(status["conditions"], "Ready") == a_condition(
        "Ready", reason="VersionReady", message="Version 10 is the latest of 2.", since="2026-11-23T11:00:00Z"
    )


async def test_the_latest_facts_go_with_the_last_ready_version() -> None:
    namespace = Namespace(a_ready_version(1))
    await namespace.reconcile()
    namespace.remove(ML_MODEL_VERSION, f"{MODEL}-v1")
    await namespace.reconcile()
    assert not {"latestVersion", "latestDigest"} & namespace.model().keys()
    assert namespace.model()["latestMetrics"] == {}


async def test_the_highest_number_never_falls_though_versions_are_deleted() -> None:
    namespace = Namespace(a_ready_version(1), a_ready_version(2))
    await namespace.reconcile()
    namespace.remove(ML_MODEL_VERSION, f"{MODEL}-v2")
    await namespace.reconcile()
    assert namespace.model()["highestVersion"] == 2
    assert namespace.model()["latestVersion"] == 1


async def test_a_deleted_model_comes_back_as_its_versions_tell_it() -> None:
    namespace = Namespace(a_ready_version(1), a_ready_version(2))
    await namespace.reconcile()
    before = namespace.model()
    namespace.remove(ML_MODEL, MODEL)
    await namespace.reconcile()
    assert namespace.model() == before


@pytest.mark.parametrize(
    "witness",
    [
        pytest.param(a_training_job(status={"version": 7}), id="the result of a job"),
        pytest.param(
            a_training_job(status={"run": {"id": "x", "number": 1, "inputs": {}, "version": 7}}), id="a run in flight"
        ),
        pytest.param(
            a_deployment(status={"stable": {"revision": "7-aa", "version": 7, "digest": a_digest(7)}}),
            id="a stable revision",
        ),
        pytest.param(
            a_deployment(status={"previous": [{"revision": "7-aa", "version": 7, "until": "2026-11-23T12:00:00Z"}]}),
            id="a revision kept warm",
        ),
    ],
)
async def test_a_number_is_remembered_while_anything_names_it(witness: Manifest) -> None:
    """Though the model and the version's object are both deleted."""
    namespace = Namespace(a_ready_version(1), witness)
    await namespace.reconcile()
    assert namespace.model()["highestVersion"] == 7


async def test_a_model_that_is_being_deleted_is_let_go() -> None:
    namespace = Namespace(a_ready_version(1), a_model(metadata={"is_deleting": True}))
    assert f"patch status MLModel {MODEL}" not in await namespace.reconcile()


async def test_nothing_is_written_when_nothing_changed() -> None:
    served = {"stable": {"revision": "1-aa", "version": 1, "digest": a_digest(1)}}
    namespace = Namespace(
        a_training_job(), a_ready_version(1), a_model_version(2), a_model(aliases={"champion": 1, "next": 9})
    )
    namespace.add(a_deployment(status=served))
    await namespace.reconcile()
    assert await namespace.reconcile() == []


async def test_a_version_counts_once_its_own_status_says_that_it_is_ready() -> None:
    """Who is told of a version by its model then finds it Ready."""
    namespace = Namespace(a_ready_version(1), a_model_version(2, digest=a_digest(2)), a_model(aliases={"next": 2}))
    writes = await namespace.reconcile()
    assert writes.index(f"patch status MLModelVersion {MODEL}-v2") < writes.index(f"patch status MLModel {MODEL}")
    assert (namespace.model()["latestVersion"], namespace.model()["aliases"][0]["version"]) == (2, 2)


async def test_marks_that_the_loop_set_on_an_earlier_error_go_when_all_is_well() -> None:
    marks = [a_condition("Stalled"), a_condition("Reconciling")]
    namespace = Namespace(a_ready_version(1), a_model(status={"conditions": marks}))
    await namespace.reconcile()
    assert [condition["type"] for condition in namespace.model()["conditions"]] == ["Ready"]


async def test_a_model_and_its_versions_say_who_serves_them() -> None:
    def serving(name: str, stable: int, canary: int | None = None) -> Manifest:
        revisions = {"stable": stable} | ({"canary": canary} if canary is not None else {})
        return a_deployment(
            name,
            status={
                role: {"revision": f"{number}-aa", "version": number, "digest": a_digest(number)}
                for role, number in revisions.items()
            },
        )

    namespace = Namespace(
        a_ready_version(1),
        a_ready_version(2),
        serving("eu", 1, canary=2),
        serving("asia", 2),
        a_deployment("new"),
        a_deployment("elsewhere", model_name="other", status=serving("x", 1)["status"]),
    )
    await namespace.reconcile()
    assert namespace.model()["servedBy"] == [
        {"name": "asia", "role": "stable", "version": 2},
        {"name": "eu", "role": "stable", "version": 1},
        {"name": "eu", "role": "canary", "version": 2},
    ]
    assert namespace.model()["serving"] == "asia:2, eu:1, eu:2 (canary)"
    assert namespace.version(1)["servedBy"] == ["eu"]
    assert namespace.version(2)["servedBy"] == ["asia", "eu"]
    assert namespace.version(2)["serving"] == "asia, eu (canary)"
    for name in ("asia", "eu"):
        namespace.remove(ML_DEPLOYMENT, name)
    await namespace.reconcile()
    assert not {"servedBy", "serving"} & namespace.version(2).keys()
    assert "serving" not in namespace.model()
