"""Whatever bytes and headers say, the answer is the estimator's or a 4xx that names what is wrong."""

import http.client
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aurora_runtime.inference.errors import InvalidRequest
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.protocol import parse_request, render_binary_response
from aurora_runtime.inference.tensors import LARGEST, NUMPY_TYPES
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.binary_messages import binary_body, binary_tensor, read_binary
from tests.unit.runtime.inference.live import LiveServer, a_live_server
from tests.unit.runtime.inference.models import FEATURES, MODEL, a_column, a_regressor
from tests.unit.runtime.inference.test_fuzz import BODIES, JSON_VALUES, regressor

LENGTH = "Inference-Header-Content-Length"
HEADER_VALUES = st.integers(-3, 400).map(str) | st.text("0123456789abcxyz-+. ", max_size=6)
FITTING = [name for name, dtype in NUMPY_TYPES.items() if np.can_cast(dtype, np.float64, "same_kind")]


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, Any]:
    """A datatype and a matrix of it whose values a model takes."""
    datatype = draw(st.sampled_from(FITTING))
    dtype = NUMPY_TYPES[datatype]
    limit = min(LARGEST, float(np.finfo(dtype).max)) if dtype.kind == "f" else None
    elements = None if limit is None else st.floats(-limit, limit, width=8 * dtype.itemsize)  # type: ignore[arg-type]
    rows = draw(st.integers(1, 5))
    return datatype, draw(arrays.arrays(dtype, (rows, len(FEATURES)), elements=elements))


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")  # scikit-learn's own check overflows
@settings(max_examples=300, deadline=None)
@given(drawn=numbers(), as_bytes=st.lists(st.booleans(), min_size=3, max_size=3), whole=st.booleans())
def test_any_numbers_as_bytes_are_answered_as_scikit_learn_answers_them(
    model: LoadedModel, drawn: tuple[str, Any], as_bytes: list[bool], whole: bool
) -> None:
    datatype, matrix = drawn
    if whole:
        tensors = [binary_tensor(matrix, datatype=datatype)]
    else:
        tensors = [
            binary_tensor(column, datatype=datatype, name=name)
            if binary
            else (a_column(name, shape=[len(column)], datatype=datatype, data=column.tolist()), b"")
            for name, column, binary in zip(FEATURES, matrix.T, as_bytes, strict=True)
        ]
    body, headers = binary_body(*tensors, parameters={"binary_data_output": True})
    request = parse_request(body, features=model.features, outputs=model.outputs, header_length=headers[LENGTH])
    answers = model.predict(request.features)
    _, found = read_binary(*render_binary_response(request, answers, model="housing", version="1"))
    assert found["prediction"] == regressor().predict(matrix.astype(np.float64)).tobytes()


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")
@settings(max_examples=500, deadline=None)
@given(body=BODIES | JSON_VALUES, tail=st.binary(max_size=60), header=HEADER_VALUES | st.just("right"))
def test_any_json_before_any_bytes_is_answered_or_refused_by_name(
    model: LoadedModel, body: Any, tail: bytes, header: str
) -> None:
    text = orjson.dumps(body)
    length = str(len(text)) if header == "right" else header
    try:
        request = parse_request(text + tail, features=model.features, outputs=model.outputs, header_length=length)
        model.predict(request.features)
    except InvalidRequest:
        return


@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")
@settings(max_examples=500, deadline=None)
@given(
    place=st.integers(0, 400),
    cut=st.integers(0, 8),
    put=st.binary(max_size=8),
    shift=st.sampled_from([0, 0, 0, -1, 1, 8]),
)
def test_a_damaged_body_is_refused_or_answered_for_the_numbers_that_it_holds(
    model: LoadedModel, place: int, cut: int, put: bytes, shift: int
) -> None:
    rows = np.arange(12, dtype=np.float64).reshape(4, 3)
    body, headers = binary_body(binary_tensor(rows, datatype="FP64"))
    length = int(headers[LENGTH])
    place %= len(body)
    damaged = body[:place] + put + body[place + cut :]
    try:
        request = parse_request(
            damaged, features=model.features, outputs=model.outputs, header_length=str(length + shift)
        )
        answers = model.predict(request.features)
    except InvalidRequest:
        return
    # What was taken is a whole number of rows of what follows the JSON, and nothing else.
    text_end = len(damaged) - request.features.nbytes
    if orjson.loads(damaged[: length + shift])["inputs"][0]["datatype"] == "FP64":
        assert damaged[text_end:] == request.features.tobytes()
    assert answers["prediction"].tolist() == a_regressor().predict(request.features).tolist()


@pytest.fixture(scope="module")
def server(store: ModelStore) -> Iterator[LiveServer]:
    with a_live_server(store.root, "--max-body-bytes", "4096") as running:
        yield running


@settings(max_examples=400, deadline=None)
@given(
    body=st.binary(max_size=200) | BODIES.map(orjson.dumps) | JSON_VALUES.map(orjson.dumps),
    tail=st.binary(max_size=30),
    length=st.none() | HEADER_VALUES | st.just("right"),
    coding=st.none() | st.sampled_from(["gzip", "deflate", "identity", "br", "", "gzip, gzip"]),
    kind=st.sampled_from(
        ["application/json", "application/octet-stream", "text/csv", "application/json;charset=x", "/"]
    ),
    accepted=st.sampled_from(["gzip", "*;q=0", "identity", "deflate;q=x"]),
    path=st.sampled_from([f"/v2/models/{MODEL}/infer", f"/v2/models/{MODEL}/versions/1/infer"]),
)
def test_any_request_over_http_is_answered_or_refused_and_never_fails(
    *,
    server: LiveServer,
    body: bytes,
    tail: bytes,
    length: str | None,
    coding: str | None,
    kind: str,
    accepted: str,
    path: str,
) -> None:
    headers = {"Content-Type": kind, "Accept-Encoding": accepted}
    if length is not None:
        headers[LENGTH] = str(len(body)) if length == "right" else length.strip()
    if coding is not None:
        headers["Content-Encoding"] = coding
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.request("POST", path, body + tail, headers)
        response = connection.getresponse()
        answer = response.read()
    finally:
        connection.close()
    if response.status == 200:
        assert answer.startswith(b'{"model_name":"housing"')
        return
    assert response.status in (400, 413, 415)
    error = orjson.loads(answer)
    assert list(error) == ["error"]
    assert isinstance(error["error"], str)
