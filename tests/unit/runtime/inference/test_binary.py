"""Tensors as bytes behind the JSON, both ways: the same numbers, and every disagreement of sizes is named."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor

from aurora_runtime.inference import binary
from aurora_runtime.inference.errors import InvalidRequest
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.protocol import InferRequest, parse_request, render_binary_response, render_response
from aurora_runtime.inference.tensors import NUMPY_TYPES, Features
from aurora_runtime.store.descriptor import TensorSpec
from tests.unit.runtime.inference.binary_messages import binary_body, binary_tensor, read_binary
from tests.unit.runtime.inference.models import (
    FEATURES,
    LABEL,
    PREDICTION,
    PROBABILITIES,
    ROW,
    a_classifier,
    a_column,
    a_regressor,
    a_tensor,
    some_rows,
)

SIGNATURE = Features(tensors=[TensorSpec(name=name, datatype="FP64", shape=[-1]) for name in FEATURES])
OUTPUTS = {spec.name: spec for spec in (LABEL, PROBABILITIES)}
ROWS = some_rows(4)
WHOLE, WHOLE_DATA = binary_tensor(ROWS, datatype="FP64")


def parse(body: bytes, length: int | str | None, *, features: Features = SIGNATURE) -> InferRequest:
    header = None if length is None else str(length)
    return parse_request(body, features=features, outputs=OUTPUTS, header_length=header)


def request_of(*tensors: tuple[dict[str, Any], bytes], **fields: Any) -> InferRequest:
    body, headers = binary_body(*tensors, **fields)
    return parse(body, headers[binary.LENGTH_HEADER])


def in_json(tensor: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    return tensor, b""


def column(name: str, *, size: int = 4) -> tuple[dict[str, Any], bytes]:
    return binary_tensor(ROWS[:size, FEATURES.index(name)], datatype="FP64", name=name)


def padded_bodies() -> Iterator[tuple[NDArray[np.float64], bool]]:
    """The matrix of eight bodies whose numbers begin at eight places, and whether it is a view of the body.

    Spaces are JSON too: a client that wants its numbers aligned pads with them.
    """
    for padding in range(8):
        text = orjson.dumps({"inputs": [WHOLE]}) + b" " * padding
        body = text + WHOLE_DATA
        matrix = parse(body, len(text)).features
        yield matrix, np.shares_memory(matrix, np.frombuffer(body, np.uint8))


def test_a_matrix_of_bytes_is_a_view_of_the_body_where_its_numbers_are_aligned() -> None:
    for matrix, _ in padded_bodies():
        assert matrix.tolist() == ROWS.tolist()
        assert matrix.flags.aligned
        assert matrix.flags.c_contiguous
    assert sum(is_view for _, is_view in padded_bodies()) == 1


@pytest.mark.parametrize("name", NUMPY_TYPES)
def test_every_numeric_datatype_comes_as_bytes(name: str) -> None:
    features = Features(tensors=[TensorSpec(name=feature, datatype=name, shape=[-1]) for feature in FEATURES])
    array = np.array([[1, 0, 1], [0, 1, 1]]).astype(NUMPY_TYPES[name])
    body, headers = binary_body(binary_tensor(array, datatype=name))
    matrix = parse(body, headers[binary.LENGTH_HEADER], features=features).features
    assert matrix.dtype == np.float64
    assert matrix.tolist() == array.astype(float).tolist()


@settings(max_examples=200, deadline=None)
@given(
    as_bytes=st.lists(st.booleans(), min_size=3, max_size=3),
    order=st.permutations(FEATURES),
    rows=st.integers(1, 4),
    wide=st.booleans(),
)
def test_columns_in_json_and_in_bytes_mix_in_any_order(
    as_bytes: list[bool], order: list[str], rows: int, wide: bool
) -> None:
    tensors = []
    for name, binary_one in zip(order, as_bytes, strict=True):
        values = ROWS[:rows, [FEATURES.index(name)]] if wide else ROWS[:rows, FEATURES.index(name)]
        if binary_one:
            tensors.append(binary_tensor(values, datatype="FP64", name=name))
        else:
            tensors.append(in_json(a_column(name, shape=list(values.shape), data=values.tolist())))
    assert request_of(*tensors).features.tolist() == ROWS[:rows].tolist()


def test_a_header_without_bytes_is_the_same_request() -> None:
    assert request_of(in_json(a_tensor())).features.tolist() == [ROW]


def test_a_body_without_json_is_the_matrix_in_the_signature_s_datatype_and_answered_in_bytes() -> None:
    request = parse(WHOLE_DATA, 0)
    assert request.features.tolist() == ROWS.tolist()
    assert request.binary == {"label", "probabilities"}


def changed(**changes: Any) -> dict[str, Any]:
    return {**WHOLE, **changes}


def sized(size: Any) -> dict[str, Any]:
    return changed(parameters={"binary_data_size": size})


BOOLEANS = ({"name": "input", "shape": [1, 3], "datatype": "BOOL", "parameters": {"binary_data_size": 3}}, b"\0\1\7")


@pytest.mark.parametrize(
    ("tensors", "named"),
    [
        pytest.param([(sized(95), WHOLE_DATA[:95])], ["'input'", "binary_data_size", "96", "95"], id="too few"),
        pytest.param([(sized(104), WHOLE_DATA + b"x" * 8)], ["'input'", "96 for shape", "104"], id="too many"),
        pytest.param([(sized(96), WHOLE_DATA[:90])], ["'input'", "at most 90", "96"], id="more than there are"),
        pytest.param([(WHOLE, WHOLE_DATA + b"xy")], ["body", "96", "98"], id="bytes that belong to nobody"),
        pytest.param([(a_tensor(), b"x")], ["body", "expected 0", "given 1"], id="bytes and no size"),
        pytest.param([(sized("96"), WHOLE_DATA)], ["binary_data_size", "'96'"], id="a string as size"),
        pytest.param([(sized(True), WHOLE_DATA)], ["binary_data_size", "true"], id="a boolean as size"),
        pytest.param([(sized(-1), WHOLE_DATA)], ["binary_data_size", "-1"], id="a negative size"),
        pytest.param([(sized(0), b"")], ["binary_data_size", "96", "given 0"], id="no bytes"),
        pytest.param([(changed(data=[1.0]), WHOLE_DATA)], ["data", "both"], id="data twice"),
        pytest.param([(changed(shape=[10**15, 3]), WHOLE_DATA)], ["24000000000000000", "96"], id="a huge shape"),
        pytest.param([(changed(datatype="BYTES"), WHOLE_DATA)], ["datatype", "'BYTES'"], id="BYTES for a number"),
        pytest.param([BOOLEANS], ["data[2]", "0 or 1", "7"], id="a boolean of 7"),
        pytest.param([column("age"), column("rooms"), column("income", size=2)], ["'income'", "[4]"], id="rows"),
        pytest.param(
            [binary_tensor(np.array([[1, 2, np.nan]]), datatype="FP64")], ["income", "finite", "nan"], id="NaN"
        ),
        pytest.param(
            [binary_tensor(np.array([[1, np.inf, 3]]), datatype="FP64")], ["age", "finite", "inf"], id="infinity"
        ),
    ],
)
def test_a_body_whose_sizes_disagree_is_refused_by_name(
    tensors: list[tuple[dict[str, Any], bytes]], named: list[str]
) -> None:
    signature = (
        Features(tensors=[TensorSpec(name=name, datatype="BOOL", shape=[-1]) for name in FEATURES])
        if tensors == [BOOLEANS]
        else SIGNATURE
    )
    body, headers = binary_body(*tensors)
    with pytest.raises(InvalidRequest) as refused:
        parse(body, headers[binary.LENGTH_HEADER], features=signature)
    assert [word for word in named if word not in str(refused.value)] == []


@pytest.mark.parametrize("length", ["-1", "1.5", "ten", "", "0x10", "99", "٣", "9" * 5000])
def test_a_header_that_cannot_be_is_refused_with_its_range(length: str) -> None:
    with pytest.raises(
        InvalidRequest, match="Inference-Header-Content-Length: expected a whole number from 0 to 2, the"
    ):
        parse(b"{}", length)


def test_a_header_that_cuts_the_json_is_refused() -> None:
    body, headers = binary_body((WHOLE, WHOLE_DATA))
    with pytest.raises(InvalidRequest, match="expected JSON"):
        parse(body, int(headers[binary.LENGTH_HEADER]) - 1)


def test_a_size_without_the_header_is_refused_with_the_header_s_name() -> None:
    body, _ = binary_body((WHOLE, b""))
    with pytest.raises(InvalidRequest, match="expected the header Inference-Header-Content-Length"):
        parse(body, None)


@pytest.mark.parametrize("body", [b"", WHOLE_DATA[:-1]])
def test_a_body_without_json_must_be_whole_rows(body: bytes) -> None:
    with pytest.raises(InvalidRequest, match=f"rows of 24 bytes, 3 FP64 each, given {len(body)}"):
        parse(body, 0)


def test_a_model_of_several_datatypes_needs_the_json() -> None:
    mixed = Features(
        tensors=[TensorSpec(name=name, datatype=kind, shape=[-1]) for name, kind in (("a", "FP64"), ("b", "INT64"))]
    )
    with pytest.raises(InvalidRequest, match="expected the length of a JSON header"):
        parse(WHOLE_DATA, 0, features=mixed)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, set(), id="none unless asked for"),
        pytest.param({"parameters": {"binary_data_output": True}}, {"label", "probabilities"}, id="all"),
        pytest.param({"outputs": [{"name": "label", "parameters": {"binary_data": True}}]}, {"label"}, id="one"),
        pytest.param(
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}],
            },
            {"probabilities"},
            id="all but one",
        ),
    ],
)
def test_outputs_come_as_bytes_when_asked_for(fields: dict[str, Any], expected: set[str]) -> None:
    assert request_of((WHOLE, WHOLE_DATA), **fields).binary == expected


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        pytest.param(
            {"parameters": {"binary_data_output": "yes"}}, "parameters.binary_data_output: .* 'yes'", id="all"
        ),
        pytest.param(
            {"outputs": [{"name": "label", "parameters": {"binary_data": 1}}]},
            "output 'label': parameters.binary_data: .* 1",
            id="one",
        ),
    ],
)
def test_a_wish_that_is_no_boolean_is_refused(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=named):
        request_of((WHOLE, WHOLE_DATA), **fields)


def test_labels_and_probabilities_arrive_as_they_were() -> None:
    request = request_of((WHOLE, WHOLE_DATA), id="7", parameters={"binary_data_output": True})
    answers: dict[str, NDArray[Any]] = {
        "label": np.array(["cat", "dög", "", "cat"]),
        "probabilities": np.array([[0.1, 0.9]] * 4),
    }
    body, length = render_binary_response(request, answers, model="species", version="1")
    response, found = read_binary(body, length)
    assert {name: response[name] for name in ("model_name", "model_version", "id")} == {
        "model_name": "species",
        "model_version": "1",
        "id": "7",
    }
    assert response["outputs"][0] == {
        "name": "label",
        "shape": [4],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": 26},
    }
    assert found["label"] == b"\3\0\0\0cat\4\0\0\0d\xc3\xb6g\0\0\0\0\3\0\0\0cat"
    assert np.frombuffer(found["probabilities"], "<f8").tolist() == [0.1, 0.9] * 4


def test_an_output_in_json_stands_beside_one_in_bytes() -> None:
    request = request_of(
        (WHOLE, WHOLE_DATA),
        outputs=[{"name": "probabilities"}, {"name": "label", "parameters": {"binary_data": True}}],
    )
    answers = {"label": np.array(["a"] * 4), "probabilities": np.array([[0.1, 0.9]] * 4)}
    response, found = read_binary(*render_binary_response(request, answers, model="species", version="1"))
    assert response["outputs"][0]["data"] == [0.1, 0.9] * 4
    assert found == {"label": b"\1\0\0\0a" * 4}


@pytest.mark.parametrize("dtype", [np.bool_, np.int64, np.float32, ">f8"])
def test_numbers_are_little_endian_whatever_they_were(dtype: Any) -> None:
    array = np.array([1, 0, 1]).astype(dtype)
    data = binary.to_bytes(array, datatype="FP64")
    assert np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).tolist() == array.tolist()
    assert len(data) == array.nbytes


@pytest.mark.parametrize("estimator", [a_regressor(), a_classifier(), HistGradientBoostingRegressor()], ids=repr)
def test_estimators_predict_from_a_view_of_the_body(estimator: Any) -> None:
    if isinstance(estimator, HistGradientBoostingRegressor):
        estimator.fit(some_rows(80), some_rows(80)[:, 0])
    for matrix, _ in padded_bodies():
        assert estimator.predict(matrix).tolist() == estimator.predict(ROWS).tolist()


def test_json_in_and_out_is_untouched_by_the_extension(model: LoadedModel) -> None:
    request = parse_request(orjson.dumps({"inputs": [a_tensor()]}), features=model.features, outputs=model.outputs)
    rendered = render_response(request, {PREDICTION.name: np.array([1.5])}, model="housing", version="1")
    assert orjson.loads(rendered)["outputs"] == [
        {"name": "prediction", "shape": [1], "datatype": "FP64", "data": [1.5]}
    ]
