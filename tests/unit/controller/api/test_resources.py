"""The schemas of the four kinds: what every field must have, and that nothing in them moves unnoticed."""

import re
from collections.abc import Iterator

import pytest

from aurora_controller.api.schema import CustomResource, Schema, custom_resource_definition
from aurora_controller.api.v1alpha1.resources import CUSTOM_RESOURCES
from aurora_controller.kube.meta import Manifest
from tests.unit.builders import a_deployment, a_model, a_ready_version, a_training_job

Node = tuple[str, Schema]


def schema_of(resource: CustomResource) -> Schema:
    (version,) = custom_resource_definition(resource)["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: Schema, path: str = "") -> Iterator[Node]:
    """Every node with its path: ``spec.a``, ``spec.list[]``, ``spec.map{}``."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}".lstrip("."))
    if "items" in schema:
        yield from nodes(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from nodes(schema["additionalProperties"], f"{path}{{}}")


per_kind = pytest.mark.parametrize("resource", CUSTOM_RESOURCES, ids=lambda resource: resource.kind.kind)


def fields(resource: CustomResource, *parts: str) -> Iterator[Node]:
    """All nodes of spec and status, or of one of them."""
    return ((path, node) for path, node in nodes(schema_of(resource)) if path.startswith(parts or ("spec", "status")))


@per_kind
def test_every_field_is_described_in_sentences(resource: CustomResource) -> None:
    named = [(path, node) for path, node in fields(resource) if not path.endswith(("[]", "{}"))]
    assert [path for path, node in named if not re.search(r"[.)]$", node.get("description", ""))] == []


@per_kind
def test_everything_a_person_may_write_is_bounded(resource: CustomResource) -> None:
    """Or one object could fill etcd, and the API server could not bound what a rule costs."""
    bounds = {"string": {"maxLength"}, "array": {"maxItems"}, "integer": {"minimum", "maximum"}}
    wanted = [
        (path, node, {"maxProperties"} if "additionalProperties" in node else bounds.get(node.get("type", ""), set()))
        for path, node in fields(resource, "spec")
        if "enum" not in node
    ]
    assert [path for path, node, keywords in wanted if not keywords <= node.keys()] == []


@per_kind
def test_every_list_says_how_it_is_merged_and_conditions_by_type(resource: CustomResource) -> None:
    lists = {path: node for path, node in fields(resource) if node.get("type") == "array"}
    assert [path for path, node in lists.items() if "x-kubernetes-list-type" not in node] == []
    assert lists["status.conditions"]["x-kubernetes-list-map-keys"] == ["type"]


@per_kind
def test_every_rule_says_what_is_wrong_and_after_a_colon_what_to_do(resource: CustomResource) -> None:
    given = [rule for _, node in nodes(schema_of(resource)) for rule in node.get("x-kubernetes-validations", ())]
    assert given
    assert [rule["message"] for rule in given if not re.search(r": .+$", rule["message"])] == []


@per_kind
def test_columns_show_fields_that_exist(resource: CustomResource) -> None:
    paths = {path for path, _ in nodes(schema_of(resource))} | {"metadata.creationTimestamp"}
    for column in resource.columns:
        assert re.sub(r"\[\?.*\]", "[]", column.path).removeprefix(".") in paths


def test_the_columns_are_those_of_the_design() -> None:
    columns = {resource.kind.kind: " ".join(c.name.upper() for c in resource.columns) for resource in CUSTOM_RESOURCES}
    assert columns == {
        "MLTrainingJob": "MODEL ALGORITHM STATUS PROGRESS VERSION METRIC STARTED AGE",
        "MLModelVersion": "MODEL VERSION STATE ALGORITHM METRIC SERVED-BY AGE",
        "MLModel": "LATEST CHAMPION VERSIONS SERVING AGE",
        "MLDeployment": "MODEL STABLE CANARY WEIGHT READY URL AGE",
    }


@pytest.mark.parametrize(
    ("manifest", "resource"),
    [
        pytest.param(manifest, resource, id=resource.kind.kind)
        for manifest, resource in zip(
            (a_training_job(), a_ready_version(), a_model(), a_deployment()), CUSTOM_RESOURCES, strict=True
        )
    ],
)
def test_the_builders_objects_fit_the_schema(manifest: Manifest, resource: CustomResource) -> None:
    """So that unit tests do not talk of fields that the API server would drop."""
    known = {path for path, _ in nodes(schema_of(resource))}
    for part in ("spec", "status"):
        for name in manifest.get(part, {}):
            assert f"{part}.{name}" in known
