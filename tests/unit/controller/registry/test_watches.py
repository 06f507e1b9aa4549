"""Whatever concerns a model or a version leads to it, and the registry needs no more rights than it uses."""

from collections.abc import Sequence

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.meta import Manifest, PolicyRule
from tests.unit.builders import MODEL, a_deployment, a_model_version, a_training_job
from tests.unit.controller.registry.namespace import REQUEST, Namespace


@pytest.mark.parametrize(
    "manifest", [a_training_job(), a_model_version(), a_deployment()], ids=lambda item: item["kind"]
)
def test_a_change_of_any_of_its_objects_asks_for_the_model(manifest: Manifest) -> None:
    (watch,) = [watch for watch in Namespace().reconciler.watches if watch.kind.kind == manifest["kind"]]
    assert list(watch.requests(manifest)) == [REQUEST]


@pytest.mark.parametrize(
    "manifest", [a_training_job(), a_model_version(), a_deployment()], ids=lambda item: item["kind"]
)
def test_an_object_that_names_no_model_asks_for_nothing(manifest: Manifest) -> None:
    (watch,) = [watch for watch in Namespace().reconciler.watches if watch.kind.kind == manifest["kind"]]
    assert list(watch.requests({**manifest, "spec": {}})) == []


def test_a_job_asks_for_the_versions_that_it_reserved() -> None:
    namespace = Namespace(a_model_version(1), a_model_version(2), a_model_version(3, job="other"))
    (watch,) = [watch for watch in namespace.versions.watches if watch.kind == ML_TRAINING_JOB]
    assert [key.name for key in watch.requests(a_training_job())] == [f"{MODEL}-v1", f"{MODEL}-v2"]


@pytest.mark.parametrize(
    ("status", "names"),
    [
        pytest.param(None, [], id="none yet"),
        pytest.param({"stable": {"version": 2}}, [f"{MODEL}-v2"], id="stable"),
        pytest.param({"stable": {"version": 2}, "canary": {"version": 3}}, [f"{MODEL}-v2", f"{MODEL}-v3"], id="both"),
    ],
)
def test_a_deployment_asks_for_the_versions_that_it_serves(status: Manifest | None, names: list[str]) -> None:
    (watch,) = [watch for watch in Namespace().versions.watches if watch.kind == ML_DEPLOYMENT]
    assert [key.name for key in watch.requests(a_deployment(status=status))] == names


def test_everything_they_read_is_watched() -> None:
    watched = {watch.kind for watch in Namespace().reconciler.watches}
    assert watched == {ML_MODEL_VERSION, ML_TRAINING_JOB, ML_DEPLOYMENT}
    assert {watch.kind for watch in Namespace().versions.watches} == {ML_TRAINING_JOB, ML_DEPLOYMENT}


def test_they_write_nothing_but_new_models_and_statuses() -> None:
    assert _written(Namespace().reconciler.rules) == {("mlmodels", "create"), ("mlmodels/status", "patch")}
    assert _written(Namespace().versions.rules) == {("mlmodelversions/status", "patch")}


def _written(rules: Sequence[PolicyRule]) -> set[tuple[str, str]]:
    return {
        (resource, verb)
        for rule in rules
        for resource in rule.resources
        for verb in rule.verbs
        if verb not in {"get", "list", "watch"}
    }
