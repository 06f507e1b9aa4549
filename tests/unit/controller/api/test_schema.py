"""What the API server gets to enforce follows from the models, or they are refused where they are written."""

from enum import StrEnum
from typing import Annotated, Any

import pytest
from pydantic import ConfigDict, Field

from aurora_controller.api.model import ATOMIC_LIST, OPEN_OBJECT, ApiModel, Metadata, Preserved
from aurora_controller.api.schema import (
    CustomResource,
    PrinterColumn,
    Schema,
    UnsupportedSchemaError,
    custom_resource_definition,
    object_schema,
)
from aurora_controller.api.validation import Rule, rules
from aurora_controller.kube.meta import Kind


class Colour(StrEnum):
    RED = "Red"
    BLUE = "Blue"


class Handle(ApiModel):
    """How it is held."""

    length: Annotated[int, Field(description="Length.", ge=1)] = 3
    colour: Annotated[Colour, Field(description="Colour.")] = Colour.RED


class Case(ApiModel):
    """Where it is kept."""

    handle: Annotated[Handle, Field(description="Its handle.")] = Handle(length=5)
    note: Annotated[str | None, Field(description="A note.", max_length=9)] = None


class Plain(ApiModel):
    """Nothing has a default here."""

    notes: Annotated[dict[str, str], Field(description="Notes.", max_length=2)] = Field(default_factory=dict)


def schema_of(**fields: Any) -> Schema:
    """Schema of the spec of a kind whose spec has these fields: name → annotation, or (annotation, default)."""
    defined = {name: field if isinstance(field, tuple) else (field, ...) for name, field in fields.items()}
    namespace = {name: default for name, (_, default) in defined.items() if default is not ...}
    annotations = {name: annotation for name, (annotation, _) in defined.items()}
    spec = type("Spec", (ApiModel,), {"__annotations__": annotations, "__doc__": "Spec.", **namespace})
    status = type("Status", (ApiModel,), {"__annotations__": annotations, "__doc__": "Status.", **namespace})
    kind = type(
        "Thing",
        (ApiModel,),
        {"__annotations__": {"metadata": Metadata, "spec": spec, "status": status}, "__doc__": "A thing."},
    )
    schema: Schema = object_schema(kind)["properties"]
    return schema


def described(annotation: Any, **field: Any) -> Any:
    return Annotated[annotation, Field(description="A field.", **field)]


def test_optional_values_are_their_type_alone() -> None:
    spec = schema_of(size=(described(int | None, ge=2), None))["spec"]
    assert spec["properties"]["size"] == {"description": "A field.", "type": "integer", "minimum": 2}
    assert "required" not in spec


def test_required_fields_are_required() -> None:
    assert schema_of(size=described(int))["spec"]["required"] == ["size"]


def test_choices_become_an_enum_with_the_fields_own_description() -> None:
    field = schema_of(colour=described(Colour))["spec"]["properties"]["colour"]
    assert field == {"description": "A field.", "type": "string", "enum": ["Red", "Blue"]}


def test_integers_or_strings_are_marked_as_such() -> None:
    annotation = described(int | str, json_schema_extra={"x-kubernetes-int-or-string": True})
    field = schema_of(version=annotation)["spec"]["properties"]["version"]
    assert field == {"description": "A field.", "x-kubernetes-int-or-string": True}


def test_maps_keep_their_bounds_and_describe_their_values() -> None:
    note = described(str, max_length=9)
    field = schema_of(notes=(described(dict[str, note], max_length=4), {}))["spec"]  # type: ignore[valid-type]
    assert field["properties"]["notes"] == {
        "description": "A field.",
        "type": "object",
        "maxProperties": 4,
        "additionalProperties": {"description": "A field.", "type": "string", "maxLength": 9},
    }


def test_free_objects_keep_what_they_hold() -> None:
    properties = schema_of(
        anything=described(dict[str, Any], json_schema_extra=OPEN_OBJECT), affinity=(described(Preserved | None), None)
    )["spec"]["properties"]
    for field in properties.values():
        assert field == {
            "description": "A field.",
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
        }


def test_a_default_is_told_in_the_description_because_explain_shows_no_other() -> None:
    properties = schema_of(size=(described(int), 7), name=(described(str), "x"), on=(described(bool), False))["spec"]
    told = {name: (field["default"], field["description"]) for name, field in properties["properties"].items()}
    assert told == {
        "size": (7, "A field. Default: 7."),
        "name": ("x", "A field. Default: x."),
        "on": (False, "A field. Default: false."),
    }


def test_an_object_with_defaults_inside_is_filled_in_when_it_is_absent() -> None:
    field = schema_of(handle=(described(Handle), Handle()))["spec"]["properties"]["handle"]
    assert field["default"] == {}
    assert field["properties"]["length"]["default"] == 3


def test_an_objects_default_says_only_what_differs_from_its_fields_defaults() -> None:
    field = schema_of(case=(described(Case), Case(note="n")))["spec"]["properties"]["case"]
    assert field["default"] == {"note": "n"}
    assert field["properties"]["handle"]["default"] == {"length": 5}


def test_an_object_without_defaults_inside_stays_absent() -> None:
    assert "default" not in schema_of(plain=(described(Plain), Plain()))["spec"]["properties"]["plain"]


def test_list_items_have_no_defaults() -> None:
    field = schema_of(handles=described(list[Handle], json_schema_extra=ATOMIC_LIST))["spec"]["properties"]["handles"]
    assert field["x-kubernetes-list-type"] == "atomic"
    assert "default" not in field["items"]["properties"]["length"]


def test_status_has_no_defaults() -> None:
    """Its writer removes a value; a default would put it back."""
    status = schema_of(handle=(described(Handle), Handle()), size=(described(int), 7))["status"]
    assert "default" not in status["properties"]["size"]
    assert "default" not in status["properties"]["handle"]
    assert "default" not in status["properties"]["handle"]["properties"]["length"]


def test_rules_of_a_model_and_of_the_field_that_holds_it_add_up() -> None:
    class Ruled(ApiModel):
        """With a rule."""

        model_config = ConfigDict(json_schema_extra=rules(Rule(expression="a", message="b")))

    annotation = described(Ruled, json_schema_extra=rules(Rule(expression="c", message="d", field=".e")))
    field = schema_of(ruled=annotation)["spec"]["properties"]["ruled"]
    assert field["x-kubernetes-validations"] == [
        {"rule": "a", "message": "b"},
        {"rule": "c", "message": "d", "fieldPath": ".e"},
    ]


@pytest.mark.parametrize(
    "annotation",
    [
        pytest.param(int | bool, id="a choice of types"),
        pytest.param(Annotated[int, Field(multiple_of=2)], id="a keyword that is not structural"),
        pytest.param(tuple[int, str], id="a tuple"),
    ],
)
def test_what_a_structural_schema_cannot_say_is_an_error_that_names_the_field(annotation: Any) -> None:
    with pytest.raises(UnsupportedSchemaError, match=r"spec\.odd"):
        schema_of(odd=described(annotation))


class Thing(ApiModel):
    """A thing."""

    model_config = ConfigDict(json_schema_extra=rules(Rule(expression="x", message="y")))

    metadata: Metadata
    spec: Annotated[Case, Field(description="The spec.")]
    status: Annotated[Case, Field(description="The status.")] = Case()


def test_a_definition_names_the_kind_its_columns_and_a_status_of_its_own() -> None:
    column = PrinterColumn(name="Note", path=".spec.note", description="The note.")
    definition = custom_resource_definition(
        CustomResource(kind=Kind("g.io", "v1", "Thing", "things"), model=Thing, short_name="th", columns=(column,))
    )
    assert definition["metadata"]["name"] == "things.g.io"
    assert definition["spec"]["scope"] == "Namespaced"
    assert definition["spec"]["names"] == {
        "kind": "Thing",
        "listKind": "ThingList",
        "plural": "things",
        "singular": "thing",
        "shortNames": ["th"],
        "categories": ["aurora"],
    }
    (version,) = definition["spec"]["versions"]
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"] == [
        {"name": "Note", "type": "string", "description": "The note.", "jsonPath": ".spec.note"}
    ]
    schema = version["schema"]["openAPIV3Schema"]
    assert schema["required"] == ["spec"]
    assert schema["x-kubernetes-validations"] == [{"rule": "x", "message": "y"}]
