"""Every request that cannot be answered gets the status that fits it and exactly ``{"error": "<text>"}``."""

from typing import Any

import pytest

from aurora_runtime.inference.errors import InvalidTensor
from aurora_runtime.inference.tensors import LARGEST, Features
from aurora_runtime.store.descriptor import TensorSpec
from tests.unit.runtime.inference.conftest import MAX_BODY_BYTES
from tests.unit.runtime.inference.models import FEATURES, MODEL, Serving, a_body, a_column, a_tensor

DEEP: Any = 1
for _ in range(900):  # as deep as a parser lets pass
    DEEP = [DEEP]
COLUMNS = [a_column(name) for name in FEATURES]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        pytest.param(b"", ["JSON"], id="empty"),
        pytest.param(b"{", ["JSON"], id="not JSON"),
        pytest.param(b"\xff\xfe", ["JSON"], id="not UTF-8"),
        pytest.param(b"[1]", ["object", "given a list"], id="no object"),
        pytest.param(b"[" * 3000, ["JSON"], id="a depth bomb"),
        pytest.param(a_body(a_tensor(datatype=DEEP)), ["datatype"], id="deep datatype"),
        pytest.param(a_body(a_tensor(shape=[DEEP])), ["shape"], id="deep shape"),
        pytest.param(a_body(a_tensor(data=[1, 2, DEEP])), ["data[2]"], id="a deep element"),
        pytest.param(a_body(a_tensor(data=DEEP)), ["data"], id="deep data"),
        pytest.param(a_body(a_tensor(name=DEEP)), ["name"], id="deep name"),
        pytest.param(a_body(id=DEEP), ["id"], id="deep id"),
        pytest.param(a_body(parameters={"a": DEEP}), ["parameters.a"], id="deep parameter"),
        pytest.param(a_body(outputs=[{"name": DEEP}]), ["outputs"], id="deep output"),
        pytest.param(a_body(a_tensor(parameters={"binary_data_size": DEEP})), ["binary_data_size"], id="deep size"),
        pytest.param(a_body(a_tensor(datatype="x" * 2000)), ["datatype", "..."], id="a long datatype"),
        pytest.param(b'{"inputs":' + b"[" * 1000 + b"]" * 1000 + b"}", ["name"], id="deep inputs"),
        pytest.param(
            b'{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":[NaN,1,2]}]}', ["JSON"], id="NaN"
        ),
        pytest.param(
            b'{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":[Infinity,1,2]}]}', ["JSON"], id="inf"
        ),
        pytest.param(
            b'{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":[1e999,1,2]}]}', ["JSON"], id="1e999"
        ),
        pytest.param({}, ["inputs", "given null"], id="no inputs"),
        pytest.param({"inputs": []}, ["inputs", "given []"], id="empty inputs"),
        pytest.param({"inputs": {"name": "input"}}, ["inputs", "list"], id="inputs is an object"),
        pytest.param({"inputs": [7]}, ["name", "given 7"], id="a tensor that is a number"),
        pytest.param(a_body(a_tensor(name=None)), ["name"], id="no name"),
        pytest.param(a_body(a_tensor(name=7)), ["name"], id="a number as name"),
        pytest.param(a_body(a_tensor(name="anything")), ["anything", "input", "rooms"], id="another name"),
        pytest.param(a_body(a_tensor(shape=None)), ["shape"], id="no shape"),
        pytest.param(a_body(a_tensor(shape="1,3")), ["shape", "1,3"], id="a string as shape"),
        pytest.param(a_body(a_tensor(shape=[])), ["shape"], id="no dimensions"),
        pytest.param(a_body(a_tensor(shape=[1] * 9, data=[1])), ["shape"], id="too many dimensions"),
        pytest.param(a_body(a_tensor(shape=[-1, 3])), ["shape", "-1"], id="a free dimension"),
        pytest.param(a_body(a_tensor(shape=[True, 3])), ["shape", "True"], id="a boolean in the shape"),
        pytest.param(a_body(a_tensor(shape=[1.0, 3])), ["shape", "1.0"], id="a fraction in the shape"),
        pytest.param(a_body(a_tensor(shape=[0, 3], data=[])), ["shape", "at least 1"], id="no rows"),
        pytest.param(a_body(a_tensor(shape=[10**15, 3])), ["data", "3000000000000000"], id="a huge shape"),
        pytest.param(a_body(a_tensor(shape=[2, 3])), ["data", "6 elements", "given 3"], id="too few elements"),
        pytest.param(a_body(a_tensor(shape=[1, 2], data=[1, 2])), ["[rows, 3]", "[1, 2]"], id="too few features"),
        pytest.param(a_body(a_tensor(shape=[3], data=[1, 2, 3])), ["[rows, 3]", "[3]"], id="a row without a batch"),
        pytest.param(a_body(a_tensor(datatype=None)), ["datatype", "FP64"], id="no datatype"),
        pytest.param(a_body(a_tensor(datatype="FP8")), ["datatype", "FP64", "FP8"], id="unknown datatype"),
        pytest.param(a_body(a_tensor(datatype="BYTES", data=["a", "b", "c"])), ["datatype", "BYTES"], id="bytes"),
        pytest.param(a_body(a_tensor(datatype=["FP64"])), ["datatype"], id="a list as datatype"),
        pytest.param(a_body(a_tensor(data=None)), ["data", "null"], id="no data"),
        pytest.param(a_body(a_tensor(data={"0": 1})), ["data", "list"], id="an object as data"),
        pytest.param(a_body(a_tensor(data="abc")), ["data", "abc"], id="a string as data"),
        pytest.param(a_body(a_tensor(data=[1, 2, "3"])), ["data[2]", "numbers", "'3'"], id="a string among numbers"),
        pytest.param(a_body(a_tensor(data=[1, None, 3])), ["data[1]", "null"], id="null among numbers"),
        pytest.param(a_body(a_tensor(data=[1, True, 3])), ["data[1]", "true"], id="a boolean among numbers"),
        pytest.param(a_body(a_tensor(data=[1, 2, [3]])), ["data[2]", "numbers"], id="a list among numbers"),
        pytest.param(a_body(a_tensor(data=[[1, 2], [3]])), ["data", "[1, 3]"], id="ragged"),
        pytest.param(a_body(a_tensor(data=[[1, 2]])), ["data", "[1, 3]", "axis 1"], id="rows too short"),
        pytest.param(a_body(a_tensor(data=[[[1], [2], [3]]])), ["data[0]", "numbers"], id="nested too deep"),
        pytest.param(a_body(a_tensor(datatype="UINT8", data=[1, 2, 300])), ["255", "300"], id="above the datatype"),
        pytest.param(a_body(a_tensor(datatype="UINT64", data=[1, 2, -1])), ["-1"], id="below the datatype"),
        pytest.param(a_body(a_tensor(datatype="INT64", data=[1, 2, 2**64 - 1])), ["whole"], id="beyond 64 bits signed"),
        pytest.param(a_body(a_tensor(datatype="INT64", data=[1, 2, 1e300])), ["whole"], id="far beyond 64 bits"),
        pytest.param(
            a_body(a_tensor(datatype="INT64", data=[1, 2, 0.5])), ["whole", "0.5"], id="a fraction as integer"
        ),
        pytest.param(a_body(a_tensor(datatype="BOOL", data=[1, 0, 1])), ["true or false"], id="numbers as booleans"),
        pytest.param(a_body(a_tensor(datatype="FP32", data=[1, 2, 1e39])), ["income", "finite"], id="infinite as FP32"),
        pytest.param(a_body(a_tensor(datatype="FP16", data=[1, 1e5, 2])), ["age", "finite"], id="infinite as FP16"),
        pytest.param(a_body(a_tensor(data=[1, -2 * LARGEST, 3])), ["age", "row 0", "3.4e+38"], id="beyond the trees"),
        pytest.param(a_body(*COLUMNS[:2]), ["missing 'income'"], id="a missing feature"),
        pytest.param(a_body(*COLUMNS, a_column("age")), ["'age'", "twice"], id="a feature given twice"),
        pytest.param(a_body(*COLUMNS, a_tensor(name="other")), ["'other'", "not an input"], id="a feature too many"),
        pytest.param(a_body(a_tensor(), a_tensor()), ["'input'"], id="two whole matrices"),
        pytest.param(
            a_body(*COLUMNS[:2], a_column("income", shape=[2], data=[1, 2])), ["'income'", "[1]", "[2]"], id="more rows"
        ),
        pytest.param(
            a_body(*COLUMNS[:2], a_column("income", shape=[1, 2], data=[1, 2])),
            ["'income'", "[1, 2]"],
            id="wide column",
        ),
        pytest.param(a_body(id=7), ["id", "string"], id="a number as id"),
        pytest.param(a_body(parameters=[1]), ["parameters", "object"], id="parameters is a list"),
        pytest.param(a_body(parameters={"a": [1]}), ["parameters.a", "list"], id="a list as parameter"),
        pytest.param(a_body(a_tensor(parameters={"a": {}})), ["'input'", "parameters.a"], id="of a tensor"),
        pytest.param(a_body(outputs={"name": "prediction"}), ["outputs", "list"], id="outputs is an object"),
        pytest.param(a_body(outputs=[{"name": "label"}]), ["outputs", "prediction", "label"], id="unknown output"),
        pytest.param(a_body(outputs=[{"name": "prediction"}] * 2), ["prediction", "twice"], id="an output twice"),
        pytest.param(a_body(outputs=["prediction"]), ["outputs", "prediction"], id="a string as output"),
    ],
)
async def test_a_bad_body_is_400_and_names_field_expected_and_given(
    serving: Serving, body: Any, named: list[str]
) -> None:
    reply = await serving.infer(body)
    assert reply.status == 400
    assert [word for word in named if word not in reply.error] == []
    assert len(reply.error) < 400


@pytest.mark.parametrize(
    ("method", "path", "status", "named"),
    [
        ("GET", "/", 404, "no such path"),
        ("GET", "/metrics", 404, "no such path"),
        ("GET", "/counters", 404, "no such path"),
        ("GET", "/v2/models/", 404, "no such path"),
        ("GET", "/v2/models/other", 404, "'other'"),
        ("GET", "/v2/models/other/ready", 404, "'other'"),
        ("POST", "/v2/models/other/infer", 404, "'other'"),
        ("POST", "/v2/models/%ff%00/infer", 404, "not served"),
        ("POST", f"/v2/models/{MODEL}/versions/2/infer", 404, "'2'"),
        ("GET", f"/v2/models/{MODEL}/versions/01", 404, "'01'"),
        ("GET", f"/v2/models/{MODEL}/versions/2/ready", 404, "'2'"),
        ("GET", f"/v2/models/{MODEL}/infer", 405, "POST"),
        ("DELETE", f"/v2/models/{MODEL}", 405, "GET"),
        ("POST", "/v2/health/ready", 405, "GET"),
    ],
)
async def test_a_wrong_path_or_method_is_told_in_the_same_form(
    serving: Serving, method: str, path: str, status: int, named: str
) -> None:
    reply = await serving.request(method, path)
    assert reply.status == status
    assert named in reply.error
    assert (status == 405) == ("Allow" in reply.headers)


@pytest.mark.parametrize("given", ["text/csv", "application/octet-stream", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_415_and_names_the_right_one(serving: Serving, given: str) -> None:
    reply = await serving.infer(b"1,2,3", headers={"Content-Type": given})
    assert reply.status == 415
    assert reply.error == f"Content-Type: expected application/json, given {given}"
    # Where bytes are announced, bytes are expected.
    reply = await serving.infer(b"1,2,3", headers={"Content-Type": "text/csv", "Inference-Header-Content-Length": "0"})
    assert reply.status == 415
    assert "expected application/octet-stream" in reply.error


async def test_json_with_a_charset_is_json(serving: Serving) -> None:
    reply = await serving.infer(headers={"Content-Type": "application/json; charset=utf-8"})
    assert reply.status == 200


async def test_a_body_that_is_too_large_is_413(serving: Serving) -> None:
    reply = await serving.infer(b" " * (MAX_BODY_BYTES + 1))
    assert reply.status == 413
    assert str(MAX_BODY_BYTES) in reply.error


async def test_a_body_that_is_not_encoded_as_it_says_is_400(serving: Serving) -> None:
    reply = await serving.infer(b"not gzip at all", headers={"Content-Encoding": "gzip"})
    assert reply.status == 400
    assert "expected gzip, as Content-Encoding says" in reply.error


async def test_an_unknown_encoding_is_415_and_names_those_that_are_known(serving: Serving) -> None:
    reply = await serving.infer(b"{}", headers={"Content-Encoding": "br"})
    assert reply.status == 415
    assert reply.error == "Content-Encoding: expected one of gzip, deflate, given br"
    assert reply.headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize(
    ("expected", "given", "fits"),
    [
        ("INT64", "INT8", True),
        ("INT64", "UINT8", True),
        ("FP32", "FP64", True),
        ("FP32", "INT64", True),
        ("INT64", "FP64", False),
        ("UINT8", "INT8", False),
        ("BOOL", "INT8", False),
    ],
)
def test_a_datatype_of_a_kind_that_would_lose_its_sense_is_refused(expected: str, given: str, fits: bool) -> None:
    features = Features(tensors=[TensorSpec(name="a", datatype=expected, shape=[-1])])
    whole = {"name": "input", "shape": [1, 1], "datatype": given, "data": [1]}
    for tensor in (whole, {**whole, "name": "a"}):
        if fits:
            assert features.matrix([tensor]).tolist() == [[1.0]]
        else:
            with pytest.raises(InvalidTensor, match=f"expected {expected}, given {given}"):
                features.matrix([tensor])
