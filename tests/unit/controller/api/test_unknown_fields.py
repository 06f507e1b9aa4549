"""Fields of a later version are survived, counted by kind and named once."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from aurora_controller.api.schema import object_schema
from aurora_controller.api.unknown_fields import UnknownFields, unknown_fields
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment
from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJob
from aurora_controller.api.v1alpha1.resources import CUSTOM_RESOURCES
from tests.unit.builders import a_deployment, a_training_job
from tests.unit.fakes.metrics import series

DEPLOYMENTS = next(one for one in CUSTOM_RESOURCES if one.model is MLDeployment)


def counted() -> float:
    return sum(series("unknown_fields_total", kind="MLDeployment"))


@pytest.mark.parametrize(
    ("spec", "status", "fields"),
    [
        pytest.param({}, None, [], id="none"),
        pytest.param({"mirror": {"a": 1}, "odd": 1}, None, ["spec.mirror", "spec.odd"], id="of the spec"),
        pytest.param({"routing": {"host": "a.example", "odd": 1}}, None, ["spec.routing.odd"], id="further down"),
        pytest.param({}, {"conditions": [{"type": "A", "odd": 1}]}, ["status.conditions[].odd"], id="in a list"),
        pytest.param({"resources": {"limits": {"any/thing": 1}}}, None, [], id="keys of a map are no fields"),
        pytest.param({"placement": {"affinity": {"odd": {"odder": 1}}}}, None, [], id="what is kept as it is"),
        pytest.param({"routing": "odd", "server": ["odd"]}, 5, [], id="wrong types are another matter"),
    ],
)
def test_fields_that_the_schema_does_not_have_are_found(spec: dict[str, Any], status: Any, fields: list[str]) -> None:
    manifest = a_deployment(**spec, status=status)
    assert list(unknown_fields(manifest, object_schema(MLDeployment))) == fields


def test_hyperparameters_and_recorded_inputs_are_anybodys() -> None:
    run = {"id": "x", "number": 1, "inputs": {"odd": {"odder": 1}}}
    job = a_training_job(hyperparameters={"odd": [1]}, status={"run": run})
    assert list(unknown_fields(job, object_schema(MLTrainingJob))) == []


def test_each_is_counted_and_the_same_field_named_once() -> None:
    hear, before = UnknownFields(DEPLOYMENTS), counted()
    with capture_logs() as logged:
        for name in ("one", "two"):
            hear(None, a_deployment(name, mirror=1), is_initial=True)
        hear(a_deployment("two", mirror=1), None, is_initial=False)
    assert counted() == before + 2
    assert [(entry["event"], entry["field"], entry["object"]) for entry in logged] == [
        ("unknown field", "spec.mirror", "default/one")
    ]
