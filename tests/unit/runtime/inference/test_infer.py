"""Predictions over the Open Inference Protocol: every allowed form of a request, and the answer's form."""

from typing import Any

import numpy as np
import pytest

from tests.unit.runtime.inference.models import (
    FEATURES,
    MODEL,
    REVISION,
    ROW,
    SPECIES,
    Serving,
    a_body,
    a_classifier,
    a_column,
    a_regressor,
    a_tensor,
    some_rows,
)


async def test_a_row_is_answered_as_scikit_learn_answers_it(serving: Serving) -> None:
    reply = await serving.infer(a_body())
    assert reply.status == 200
    assert reply.body == {
        "model_name": MODEL,
        "model_version": "1",
        "outputs": [
            {"name": "prediction", "shape": [1], "datatype": "FP64", "data": a_regressor().predict([ROW]).tolist()}
        ],
    }


@pytest.mark.parametrize("count", [2, 7, 30], ids="{} rows".format)
async def test_many_rows_are_answered_in_their_order(serving: Serving, count: int) -> None:
    rows = some_rows(count)
    reply = await serving.infer(a_body(a_tensor(shape=[count, 3], data=rows.reshape(-1).tolist())))
    assert reply.body["outputs"][0]["data"] == a_regressor().predict(rows).tolist()


async def test_the_versioned_path_answers_alike(serving: Serving) -> None:
    versioned = await serving.infer(path=f"/v2/models/{MODEL}/versions/1/infer")
    assert versioned.status == 200
    assert versioned.body == (await serving.infer()).body


@pytest.mark.parametrize(
    "inputs",
    [
        pytest.param([a_tensor(data=[ROW])], id="nested"),
        pytest.param([a_column(name) for name in FEATURES], id="a tensor per feature"),
        pytest.param([a_column(name) for name in reversed(FEATURES)], id="a tensor per feature in another order"),
        pytest.param([a_column(name, shape=[1, 1]) for name in FEATURES], id="columns"),
        pytest.param(
            [a_column(name, shape=[1, 1], data=[[value]]) for name, value in zip(FEATURES, ROW, strict=True)],
            id="nested columns",
        ),
        pytest.param([a_tensor(parameters={"unknown": 1, "text": "a", "flag": True, "share": 0.5})], id="parameters"),
    ],
)
async def test_the_same_row_in_another_form_gets_the_same_answer(serving: Serving, inputs: list[Any]) -> None:
    assert (await serving.infer(a_body(*inputs))).body == (await serving.infer(a_body())).body


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        *[pytest.param(name, [1, 0, 2], id=name) for name in ("UINT8", "UINT16", "UINT32", "UINT64")],
        *[pytest.param(name, [-1, 0, 2], id=name) for name in ("INT8", "INT16", "INT32", "INT64")],
        *[pytest.param(name, [-1.5, 0, 2], id=name) for name in ("FP16", "FP32", "FP64")],
        pytest.param("BOOL", [True, False, True], id="BOOL"),
        pytest.param("INT64", [1.0, -2.0, 3], id="whole numbers written with a point"),
    ],
)
async def test_every_numeric_datatype_is_taken(serving: Serving, datatype: str, data: list[Any]) -> None:
    reply = await serving.infer(a_body(a_tensor(datatype=datatype, data=data)))
    assert reply.status == 200
    assert reply.body["outputs"][0]["data"] == a_regressor().predict([[float(value) for value in data]]).tolist()


async def test_single_precision_is_rounded_as_its_name_says(serving: Serving) -> None:
    reply = await serving.infer(a_body(a_tensor(datatype="FP32")))
    rounded = np.array([ROW], dtype=np.float32).astype(np.float64)
    assert reply.body["outputs"][0]["data"] == a_regressor().predict(rounded).tolist()


async def test_the_id_comes_back_only_when_it_was_sent(serving: Serving) -> None:
    assert (await serving.infer(a_body(id="42"))).body["id"] == "42"
    assert (await serving.infer(a_body(id=""))).body["id"] == ""
    assert "id" not in (await serving.infer(a_body())).body


async def test_null_is_as_good_as_nothing(serving: Serving) -> None:
    """Clients that write their data classes as JSON write unset fields so."""
    body = a_body(a_tensor(parameters=None) | {"parameters": None}, id=None, parameters=None, outputs=None)
    assert (await serving.infer(body)).body == (await serving.infer()).body
    named = a_body(outputs=[{"name": "prediction", "parameters": None}])
    assert (await serving.infer(named)).body == (await serving.infer()).body


async def test_a_classifier_answers_labels_and_probabilities(species: Serving) -> None:
    rows = some_rows(40)
    reply = await species.infer(a_body(a_tensor(shape=[40, 3], data=rows.tolist())))
    classifier = a_classifier()
    assert reply.body["outputs"] == [
        {"name": "label", "shape": [40], "datatype": "BYTES", "data": classifier.predict(rows).tolist()},
        {
            "name": "probabilities",
            "shape": [40, 2],
            "datatype": "FP64",
            "data": classifier.predict_proba(rows).reshape(-1).tolist(),
        },
    ]


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        pytest.param([], ["label", "probabilities"], id="none means all"),
        pytest.param(["label"], ["label"], id="one"),
        pytest.param(["probabilities", "label"], ["probabilities", "label"], id="in the order asked"),
    ],
)
async def test_exactly_the_outputs_asked_for_come_back(species: Serving, asked: list[str], given: list[str]) -> None:
    reply = await species.infer(a_body(outputs=[{"name": name, "parameters": {"any": 1}} for name in asked]))
    assert [output["name"] for output in reply.body["outputs"]] == given


async def test_a_response_tells_its_revision_and_version_in_headers(serving: Serving) -> None:
    for reply in (await serving.infer(), await serving.infer(b"{"), await serving.request("GET", "/v2/health/ready")):
        assert reply.headers["X-Aurora-Revision"] == REVISION
        assert reply.headers["X-Aurora-Model-Version"] == "1"


async def test_metadata_comes_from_the_signature(species: Serving) -> None:
    for path in (f"/v2/models/{SPECIES}", f"/v2/models/{SPECIES}/versions/1"):
        reply = await species.request("GET", path)
        assert reply.body["name"] == SPECIES
        assert reply.body["versions"] == ["1"]
        assert reply.body["platform"] == "sklearn_joblib"
        assert reply.body["inputs"] == [{"name": name, "datatype": "FP64", "shape": [-1]} for name in FEATURES]
        assert [output["name"] for output in reply.body["outputs"]] == ["label", "probabilities"]
        assert reply.body["properties"]["digest"].startswith("sha256:")


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_the_server_says_who_it_is_and_which_extensions_it_has(serving: Serving, path: str) -> None:
    body = (await serving.request("GET", path)).body
    assert (body["name"], body["extensions"]) == ("aurora", ["binary_tensor_data"])
    assert body["version"]
