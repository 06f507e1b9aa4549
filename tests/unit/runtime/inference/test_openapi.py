"""The OpenAPI document: valid, about this model, and its example is answered as it says."""

from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.openapi import example_request, example_response, openapi
from aurora_runtime.inference.protocol import error_body, parse_request, render_response
from aurora_runtime.inference.statuses import CLIENT_GONE, STATUSES
from aurora_runtime.inference.tensors import Features
from aurora_runtime.store.descriptor import Descriptor, Signature, TensorSpec
from tests.unit.runtime.inference.models import FEATURES, a_body, a_column, a_tensor

FULL = [
    TensorSpec(name="rooms", datatype="INT64", shape=[-1], minimum=1, maximum=9),
    TensorSpec(name="owned", datatype="BOOL", shape=[-1]),
    TensorSpec(name="income", datatype="FP32", shape=[-1], minimum=-1.5, maximum=2.5),
]


@pytest.fixture(params=["regression", "classification"])
def served(request: pytest.FixtureRequest, model: LoadedModel, species_model: LoadedModel) -> LoadedModel:
    return model if request.param == "regression" else species_model


def with_inputs(descriptor: Descriptor, inputs: list[TensorSpec]) -> Descriptor:
    signature = Signature(inputs=inputs, outputs=descriptor.signature.outputs)
    rows = [[3.0, 1.0, 0.5] for _ in descriptor.golden_rows.inputs]
    golden = descriptor.golden_rows.model_copy(update={"inputs": rows})
    return descriptor.model_copy(update={"signature": signature, "golden_rows": golden})


def validator(descriptor: Descriptor, schema: str) -> Draft202012Validator:
    """Of a schema of the document, whose references are those of the document."""
    document = openapi(descriptor, guarded=False)
    return Draft202012Validator({"$ref": f"#/components/schemas/{schema}", "components": document["components"]})


def answer(model: LoadedModel, body: Any) -> Any:
    request = parse_request(orjson.dumps(body), features=model.features, outputs=model.outputs)
    answers = model.predict(request.features)
    return orjson.loads(render_response(request, answers, model=model.name, version=model.version))


@pytest.mark.parametrize("guarded", [True, False])
def test_the_document_is_valid(served: LoadedModel, guarded: bool) -> None:
    for descriptor in (served.descriptor, with_inputs(served.descriptor, FULL)):
        document = orjson.loads(orjson.dumps(openapi(descriptor, guarded=guarded)))
        OpenAPIV31SpecValidator(document).validate()


def test_the_example_is_answered_as_the_document_says(served: LoadedModel) -> None:
    document = openapi(served.descriptor, guarded=False)
    infer = document["paths"][f"/v2/models/{served.name}/infer"]["post"]
    asked = infer["requestBody"]["content"]["application/json"]["examples"]["golden"]["value"]
    expected = infer["responses"]["200"]["content"]["application/json"]["examples"]["golden"]["value"]
    answered = answer(served, asked)
    answered.pop("parameters", None)
    for output in (*answered["outputs"], *expected["outputs"]):
        output["data"] = [item if isinstance(item, str) else pytest.approx(item) for item in output["data"]]
    assert answered == expected


def test_the_examples_fit_their_schemas(served: LoadedModel) -> None:
    for descriptor in (served.descriptor, with_inputs(served.descriptor, FULL)):
        validator(descriptor, "InferRequest").validate(example_request(descriptor))
        validator(descriptor, "InferResponse").validate(example_response(descriptor))


def test_features_of_several_datatypes_come_one_by_one_and_each_in_its_own(model: LoadedModel) -> None:
    inputs = example_request(with_inputs(model.descriptor, FULL))["inputs"]
    assert [(tensor["name"], tensor["datatype"], tensor["data"]) for tensor in inputs] == [
        ("rooms", "INT64", [3]),
        ("owned", "BOOL", [True]),
        ("income", "FP32", [0.5]),
    ]
    assert Features(tensors=FULL).matrix(inputs).tolist() == [[3.0, 1.0, 0.5]]


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        pytest.param(a_body(), True, id="a matrix"),
        pytest.param(a_body(a_tensor(data=[[1, 2, 3]])), True, id="nested"),
        pytest.param(a_body(*map(a_column, FEATURES)), True, id="columns"),
        pytest.param(a_body(*[a_column(name, shape=[1, 1]) for name in FEATURES]), True, id="wide columns"),
        pytest.param(a_body(a_tensor(datatype="INT8", data=[1, 2, 3])), True, id="integers"),
        pytest.param(a_body(id="1", outputs=[{"name": "prediction"}], parameters={"a": 1}), True, id="all fields"),
        pytest.param({}, False, id="no inputs"),
        pytest.param(a_body(a_tensor(name="other")), False, id="another name"),
        pytest.param(a_body(a_tensor(shape=[1, 2])), False, id="too few features"),
        pytest.param(a_body(a_tensor(datatype="BYTES")), False, id="text"),
        pytest.param(a_body(a_tensor(data=["a", "b", "c"])), False, id="strings"),
        pytest.param(a_body(*[a_column(name) for name in FEATURES[:2]]), False, id="a missing feature"),
        pytest.param(a_body(outputs=[{"name": "label"}]), False, id="an unknown output"),
        pytest.param(a_body(parameters={"a": []}), False, id="a list as parameter"),
        pytest.param(a_body(id=7), False, id="a number as id"),
    ],
)
def test_schema_and_server_agree_on_what_a_request_is(model: LoadedModel, body: Any, fits: bool) -> None:
    assert validator(model.descriptor, "InferRequest").is_valid(body) == fits
    if fits:
        validator(model.descriptor, "InferResponse").validate(answer(model, body))


def test_metadata_and_errors_fit_their_schemas(served: LoadedModel) -> None:
    validator(served.descriptor, "ModelMetadata").validate(served.metadata())
    errors = validator(served.descriptor, "Error")
    errors.validate(orjson.loads(error_body("no")))
    assert not errors.is_valid({"detail": "no"})
    assert not errors.is_valid({"error": "no", "more": 1})


def test_ranges_are_told_and_not_enforced(model: LoadedModel) -> None:
    descriptor = with_inputs(model.descriptor, FULL)
    told = str(openapi(descriptor, guarded=False)["components"]["schemas"]["InferRequest"])
    assert "FP32, -1.5 to 2.5 in training" in told
    assert "BOOL; no range is recorded" in told
    far = example_request(descriptor)
    far["inputs"][2]["data"] = [1e6]
    validator(descriptor, "InferRequest").validate(far)


@pytest.mark.parametrize(
    ("guarded", "path", "wanted"),
    [
        (True, "/v2/models/housing/infer", [{"bearer": []}, {"apiKey": []}]),
        (True, "/v2/models/housing", [{"bearer": []}, {"apiKey": []}]),
        (True, "/v2/models/housing/openapi.json", [{"bearer": []}, {"apiKey": []}]),
        (True, "/v2/models/housing/ready", []),
        (True, "/v2", []),
        (False, "/v2/models/housing/infer", []),
    ],
)
def test_the_document_says_which_paths_want_a_key(
    model: LoadedModel, guarded: bool, path: str, wanted: list[Any]
) -> None:
    document = openapi(model.descriptor, guarded=guarded)
    (operation,) = document["paths"][path].values()
    assert operation["security"] == wanted
    assert ("401" in operation["responses"]) == bool(wanted)
    assert ("securitySchemes" in document["components"]) == guarded


@pytest.mark.parametrize("guarded", [True, False])
def test_every_status_that_a_prediction_may_end_with_is_listed(model: LoadedModel, guarded: bool) -> None:
    never = {405, CLIENT_GONE} | (set() if guarded else {401})
    full = {429}  # too many waiting with one key, or too many failures with none
    document = openapi(model.descriptor, guarded=guarded)
    listed = document["paths"][f"/v2/models/{model.name}/infer"]["post"]["responses"]
    errors = {str(status) for status in STATUSES.values() if status not in never | (set() if guarded else full)}
    assert set(listed) == {"200", "default"} | errors


def test_probabilities_name_the_label_of_each_column(species_model: LoadedModel) -> None:
    outputs = [
        tensor.model_copy(update={"categories": ["cat", "dog"]})
        for tensor in species_model.descriptor.signature.outputs
    ]
    signature = species_model.descriptor.signature.model_copy(update={"outputs": outputs})
    descriptor = species_model.descriptor.model_copy(update={"signature": signature})
    schemas = openapi(descriptor, guarded=False)["components"]["schemas"]
    label, probabilities = schemas["InferResponse"]["properties"]["outputs"]["items"]["oneOf"]
    assert label["properties"]["data"]["items"] == {"enum": ["cat", "dog"]}
    assert probabilities["description"] == "Columns: cat, dog"
