"""Whatever concerns a model leads to that model, and the registry needs no more rights than it uses."""

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.meta import Manifest
from tests.unit.builders import a_deployment, a_model_version, a_training_job
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


def test_everything_it_reads_is_watched() -> None:
    watched = {watch.kind for watch in Namespace().reconciler.watches}
    assert watched == {ML_MODEL_VERSION, ML_TRAINING_JOB, ML_DEPLOYMENT}


def test_it_writes_nothing_but_new_models_and_statuses() -> None:
    writing = {
        (resource, verb)
        for rule in Namespace().reconciler.rules
        for resource in rule.resources
        for verb in rule.verbs
        if verb not in {"get", "list", "watch"}
    }
    assert writing == {("mlmodels", "create"), ("mlmodels/status", "patch"), ("mlmodelversions/status", "patch")}
