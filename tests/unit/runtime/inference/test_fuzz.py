"""Whatever a body holds, it is answered as scikit-learn answers it or refused by name: never a 5xx, never a guess."""

from functools import cache
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aurora_runtime.inference.errors import InvalidRequest
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.protocol import parse_request, render_response
from aurora_runtime.inference.tensors import LARGEST, NUMPY_TYPES
from tests.unit.runtime.inference.models import FEATURES, a_regressor

JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from(["input", *FEATURES]) | JSON_VALUES
SHAPES = st.lists(st.integers(-1, 4), max_size=3) | JSON_VALUES
DATATYPES = st.sampled_from([*NUMPY_TYPES, "BYTES"]) | JSON_VALUES
TENSORS = st.fixed_dictionaries(
    {}, optional={"name": NAMES, "shape": SHAPES, "datatype": DATATYPES, "data": JSON_VALUES, "parameters": JSON_VALUES}
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON_VALUES,
        "inputs": st.lists(TENSORS, max_size=4) | JSON_VALUES,
        "outputs": JSON_VALUES,
        "parameters": JSON_VALUES,
    },
)


@cache
def regressor() -> Any:
    return a_regressor()


def answer(model: LoadedModel, body: bytes) -> Any:
    """What the server would send. Raises InvalidRequest where it would send 400."""
    request = parse_request(body, features=model.features, outputs=model.outputs)
    answers = model.predict(request.features)
    return orjson.loads(render_response(request, answers, model=model.name, version=model.version))


@settings(max_examples=500, deadline=None)
@given(body=BODIES | JSON_VALUES)
def test_any_json_is_answered_or_refused_by_name(model: LoadedModel, body: Any) -> None:
    try:
        answered = answer(model, orjson.dumps(body))
    except InvalidRequest:
        return
    assert answered["outputs"][0]["name"] == "prediction"


@settings(max_examples=300, deadline=None)
@given(body=st.binary(max_size=60))
def test_any_bytes_are_refused_by_name(model: LoadedModel, body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        answer(model, body)


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # scikit-learn's own check overflows
@settings(max_examples=200, deadline=None)
@given(
    rows=arrays.arrays(
        np.float64, st.tuples(st.integers(1, 5), st.just(3)), elements=st.floats(-LARGEST, LARGEST, width=64)
    ),
    nested=st.booleans(),
    by_feature=st.booleans(),
)
def test_any_finite_rows_in_any_form_are_answered_as_scikit_learn_answers_them(
    model: LoadedModel, rows: Any, nested: bool, by_feature: bool
) -> None:
    count = len(rows)
    if by_feature:
        inputs = [
            {
                "name": name,
                "shape": [count, 1] if nested else [count],
                "datatype": "FP64",
                "data": rows[:, [column]].tolist() if nested else rows[:, column].tolist(),
            }
            for column, name in enumerate(FEATURES)
        ]
    else:
        data = rows.tolist() if nested else rows.reshape(-1).tolist()
        inputs = [{"name": "input", "shape": [count, 3], "datatype": "FP64", "data": data}]
    answered = answer(model, orjson.dumps({"inputs": inputs}))
    assert answered["outputs"][0]["data"] == regressor().predict(rows).tolist()


@settings(max_examples=200, deadline=None)
@given(datatype=st.sampled_from([name for name in NUMPY_TYPES if "INT" in name]), drawn=st.data())
def test_whole_numbers_arrive_exactly_or_not_at_all(model: LoadedModel, datatype: str, drawn: st.DataObject) -> None:
    values = drawn.draw(st.lists(st.integers(-(2**63), 2**64 - 1), min_size=3, max_size=3))
    limits = np.iinfo(NUMPY_TYPES[datatype])
    body = orjson.dumps({"inputs": [{"name": "input", "shape": [1, 3], "datatype": datatype, "data": values}]})
    if all(limits.min <= value <= limits.max for value in values):
        request = parse_request(body, features=model.features, outputs=model.outputs)
        assert request.features.tolist() == [[float(value) for value in values]]
    else:
        with pytest.raises(InvalidRequest, match=str(limits.max)):
            parse_request(body, features=model.features, outputs=model.outputs)
