"""Predictions: every form of a request that the protocol allows."""

import json
import math
from collections.abc import Sequence
from typing import Any

from tests.conformance.checks import Group, check, that
from tests.conformance.discovery import DATATYPES, tensors_of, version_of
from tests.conformance.target import JSON, Target

WHOLE_NUMBERS = ("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64")
MANY = 1000


def predictions(response: Any) -> list[float]:
    """Data of the first output. Raises Failed unless they are flat and as many as the shape says."""
    output = response["outputs"][0]
    count = math.prod(output["shape"])
    that(len(output["data"]) == count, f"shape {output['shape']} and {len(output['data'])} elements")
    that(output["datatype"] in DATATYPES, f"datatype {output['datatype']!r}")
    return list(output["data"])


def expect(target: Target, response: Any, *indices: int) -> None:
    """Raises Failed unless the response holds the example's predictions for these rows."""
    close_to(predictions(response), [target.example.predictions[index] for index in indices or (0,)], target)


def close_to(given: Sequence[float], expected: Sequence[float], target: Target) -> None:
    limit = target.example.tolerance
    equal = len(given) == len(expected) and all(
        math.isclose(one, other, rel_tol=limit, abs_tol=limit) for one, other in zip(given, expected, strict=True)
    )
    that(equal, f"expected {list(expected)[:4]}, given {list(given)[:4]}")


@check(Group.INFERENCE, "flat data are answered with the right prediction")
def _(target: Target) -> None:
    expect(target, target.infer(target.example.request()).ok())


@check(Group.INFERENCE, "nested data are answered alike")
def _(target: Target) -> None:
    expect(target, target.infer({"inputs": [target.example.input(data=[target.example.rows[0]])]}).ok())


@check(Group.INFERENCE, "several rows are answered in their order")
def _(target: Target) -> None:
    expect(target, target.infer(target.example.request(2, 0, 1)).ok(), 2, 0, 1)


@check(Group.INFERENCE, f"{MANY} rows are answered in their order")
def _(target: Target) -> None:
    indices = [index % len(target.example.rows) for index in range(MANY)]
    expect(target, target.infer(target.example.request(*indices)).ok(), *indices)


@check(Group.INFERENCE, "the versioned path answers alike")
def _(target: Target) -> None:
    path = f"{target.path}/versions/{version_of(target)}/infer"
    expect(target, target.infer(target.example.request(), path=path).ok())


@check(Group.INFERENCE, "exactly the inputs that the metadata describe are taken")
def _(target: Target) -> None:
    described = tensors_of(target, "inputs")
    row, inputs = list(target.example.rows[0]), []
    for tensor in described:
        shape = [1 if size < 0 and axis == 0 else size for axis, size in enumerate(tensor["shape"])]
        shape = [len(row) if size < 0 else size for size in shape]
        count = math.prod(shape)
        data, row = row[:count], row[count:]
        inputs.append({"name": tensor["name"], "shape": shape, "datatype": tensor["datatype"], "data": data})
    that(not row, f"the metadata describe {len(row)} elements of a row less than the model takes")
    expect(target, target.infer({"inputs": inputs}).ok())


@check(Group.INFERENCE, "model_name is the model's, model_version a version it has")
def _(target: Target) -> None:
    response = target.infer(target.example.request()).ok()
    that(response.get("model_name") == target.model, f"model_name {response.get('model_name')!r}")
    that(response.get("model_version") == version_of(target), f"model_version {response.get('model_version')!r}")


@check(Group.INFERENCE, "id comes back as it was sent")
def _(target: Target) -> None:
    for sent in ("42", "ä-1"):
        given = target.infer(target.example.request(id=sent)).ok().get("id")
        that(given == sent, f"sent {sent!r}, given {given!r}")


@check(Group.INFERENCE, "a response to a request without id has none")
def _(target: Target) -> None:
    response = target.infer(target.example.request()).ok()
    that("id" not in response, f"given {response.get('id')!r}")


@check(Group.INFERENCE, "unknown parameters of requests and tensors are ignored")
def _(target: Target) -> None:
    any_kind = {"text": "a", "number": 1.5, "flag": True}
    expect(target, target.infer({"inputs": [target.example.input(parameters=any_kind)], "parameters": any_kind}).ok())


@check(Group.INFERENCE, "outputs that are asked for come back, and no others")
def _(target: Target) -> None:
    name = target.infer(target.example.request()).ok()["outputs"][0]["name"]
    outputs = target.infer(target.example.request(outputs=[{"name": name}])).ok()["outputs"]
    that([output["name"] for output in outputs] == [name], f"asked for {name!r}, given {outputs}")


@check(Group.INFERENCE, "an empty list of outputs means all of them")
def _(target: Target) -> None:
    expect(target, target.infer(target.example.request(outputs=[])).ok())


def _in_datatype(target: Target, datatype: str, values: list[Any]) -> None:
    """The answer to values of a datatype is that to the same values as FP64."""
    width = len(target.example.rows[0])
    row = [values[column % len(values)] for column in range(width)]
    given = target.infer({"inputs": [target.example.input(data=row, datatype=datatype)]}).ok()
    plain = target.infer({"inputs": [target.example.input(data=[float(value) for value in row], datatype="FP64")]}).ok()
    close_to(predictions(given), predictions(plain), target)


@check(Group.INFERENCE, "FP16 is taken")
def _(target: Target) -> None:
    _in_datatype(target, "FP16", [1.5, -2.0, 0.25])


@check(Group.INFERENCE, "FP32 and FP64 are taken")
def _(target: Target) -> None:
    for datatype in ("FP32", "FP64"):
        _in_datatype(target, datatype, [1.5, -2.0, 0.25])


@check(Group.INFERENCE, "whole numbers of all eight datatypes are taken")
def _(target: Target) -> None:
    for datatype in WHOLE_NUMBERS:
        _in_datatype(target, datatype, [3, 1, 2])


@check(Group.INFERENCE, "BOOL is taken")
def _(target: Target) -> None:
    _in_datatype(target, "BOOL", [True, False])


@check(Group.INFERENCE, "single precision is rounded as its name says")
def _(target: Target) -> None:
    given = target.infer({"inputs": [target.example.input(datatype="FP32", data=[0.1] * len(target.example.rows[0]))]})
    rounded = [0.10000000149011612] * len(target.example.rows[0])
    plain = target.infer({"inputs": [target.example.input(datatype="FP64", data=rounded)]})
    close_to(predictions(given.ok()), predictions(plain.ok()), target)


@check(Group.INFERENCE, "a response is sent as application/json")
def _(target: Target) -> None:
    given = target.infer(target.example.request()).headers.get("content-type", "")
    that(given.partition(";")[0].strip() == JSON, f"Content-Type {given!r}")


@check(Group.INFERENCE, "application/json with a charset is JSON")
def _(target: Target) -> None:
    expect(
        target, target.infer(target.example.request(), headers={"Content-Type": "application/json; charset=utf-8"}).ok()
    )


@check(Group.INFERENCE, "a body in chunks is read")
def _(target: Target) -> None:
    body = json.dumps(target.example.request()).encode()
    half = len(body) // 2
    chunks = [f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:half], body[half:], b"")]
    head = target.head("POST", f"{target.path}/infer", Content_Type=JSON, Transfer_Encoding="chunked")
    expect(target, target.send(head, *chunks).ok())
