"""Values that training never saw are answered, and the answer says so: feature by feature, in how many rows."""

from collections import Counter
from typing import Any

import numpy as np
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_runtime.inference.protocol import parse_request, render_response
from aurora_runtime.inference.tensors import Features
from aurora_runtime.store.descriptor import TensorSpec
from tests.unit.runtime.inference.models import PREDICTION

ROOMS = TensorSpec(name="rooms", datatype="FP64", shape=[-1], minimum=1.0, maximum=8.0)
SHARE = TensorSpec(name="share", datatype="FP64", shape=[-1], minimum=-0.1, maximum=0.1)
UNBOUNDED = TensorSpec(name="other", datatype="FP64", shape=[-1])
FEATURES = Features(tensors=[ROOMS, SHARE, UNBOUNDED])


def response_to(rows: list[list[float]], *, datatype: str = "FP64") -> Any:
    """The response of a model that predicts zeros."""
    tensor = {"name": "input", "shape": [len(rows), 3], "datatype": datatype, "data": rows}
    request = parse_request(
        orjson.dumps({"inputs": [tensor]}), features=FEATURES, outputs={PREDICTION.name: PREDICTION}
    )
    return orjson.loads(render_response(request, {PREDICTION.name: np.zeros(len(rows))}, model="housing", version="1"))


def test_a_value_outside_of_its_range_is_answered_and_flagged_with_the_number_of_rows() -> None:
    response = response_to([[0.9, 0.0, 0.0], [8.1, 0.2, 0.0], [2.0, 0.0, 0.0]])
    assert response["parameters"] == {"out_of_range.rooms": 2, "out_of_range.share": 1}
    assert response["outputs"][0]["data"] == [0.0, 0.0, 0.0]


def test_a_response_has_no_parameters_when_every_value_is_within_its_range() -> None:
    assert "parameters" not in response_to([[1.0, -0.1, 0.0], [8.0, 0.1, 0.0]])


def test_a_feature_without_a_range_is_never_flagged() -> None:
    assert "parameters" not in response_to([[2.0, 0.0, 3e38], [2.0, 0.0, -3e38]])


def test_a_bound_sent_in_single_precision_is_within_the_range() -> None:
    assert "parameters" not in response_to([[8.0, 0.1, 0.0], [1.0, -0.1, 0.0]], datatype="FP32")


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(*[st.floats(-10, 10, width=32)] * 3), min_size=1, max_size=6))
def test_any_rows_are_counted_as_a_plain_loop_counts_them(rows: list[tuple[float, ...]]) -> None:
    expected = {
        tensor.name: sum(not low <= row[column] <= high for row in rows)
        for column, (tensor, low, high) in enumerate(
            [(ROOMS, 1.0, 8.0), (SHARE, -float(np.float32(0.1)), float(np.float32(0.1)))]
        )
    }
    matrix = np.array(rows, dtype=np.float64)
    assert FEATURES.out_of_range(matrix) == {name: count for name, count in expected.items() if count}
    # A single row takes another way to the same counts.
    alone = Counter({tensor.name: 0 for tensor in FEATURES.tensors})
    for row in matrix:
        alone.update(FEATURES.out_of_range(row[np.newaxis]))
    assert +alone == {name: count for name, count in expected.items() if count}
