"""The binary tensor data extension, for servers whose metadata list it and for those that should."""

import json
import struct
from collections.abc import Mapping
from typing import Any, Final

from tests.conformance.checks import Group, check, that
from tests.conformance.inference import close_to, expect, predictions
from tests.conformance.target import Failed, NotApplicable, Reply, Target

LENGTH: Final = "Inference-Header-Content-Length"
OCTETS: Final = "application/octet-stream"
LETTERS: Final = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip


def pack(datatype: str, values: list[Any]) -> bytes:
    return struct.pack(f"<{len(values)}{LETTERS[datatype]}", *values)


def as_bytes(tensor: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """A tensor without its data, and its data."""
    data = pack(tensor["datatype"], tensor["data"])
    return {**{k: v for k, v in tensor.items() if k != "data"}, "parameters": {"binary_data_size": len(data)}}, data


def post(target: Target, inputs: list[dict[str, Any]], tail: bytes, *, length: str = "", **fields: Any) -> Reply:
    text = json.dumps({"inputs": inputs, **fields}).encode()
    return target.infer(text + tail, headers={"Content-Type": OCTETS, LENGTH: length or str(len(text))})


def outputs_of(reply: Reply) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The JSON of a response, and the numbers of its outputs that came as bytes. Raises Failed."""
    if reply.status != 200:
        raise Failed(f"status {reply.status}: {reply.body[:160]!r}")
    that(LENGTH.lower() in reply.headers, f"no {LENGTH} in the response")
    that(reply.headers.get("content-type") == OCTETS, f"Content-Type {reply.headers.get('content-type')!r}")
    length = int(reply.headers[LENGTH.lower()])
    response, tail, found = json.loads(reply.body[:length]), reply.body[length:], {}
    for output in response["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            that("data" not in output, "an output with data and bytes")
            letter = LETTERS[output["datatype"]]
            found[output["name"]] = [value for (value,) in struct.iter_unpack(f"<{letter}", tail[:size])]
            tail = tail[size:]
    that(not tail, f"{len(tail)} bytes that belong to no output")
    return response, found


@check(Group.DISCOVERY, "the server's metadata list binary_tensor_data")
def _(target: Target) -> None:
    extensions = target.get("/v2").ok().get("extensions")
    that("binary_tensor_data" in extensions, f"extensions {extensions}")


@check(Group.BINARY, "an input of bytes is answered, and in JSON unless asked otherwise")
def _(target: Target) -> None:
    tensor, data = as_bytes(target.example.input())
    expect(target, post(target, [tensor], data).ok())


@check(Group.BINARY, "rows of bytes are answered in their order")
def _(target: Target) -> None:
    tensor, data = as_bytes(target.example.input(2, 0, 1))
    expect(target, post(target, [tensor], data).ok(), 2, 0, 1)


@check(Group.BINARY, "every numeric datatype is taken as bytes")
def _(target: Target) -> None:
    width = len(target.example.rows[0])
    for datatype in LETTERS:
        row = [bool(column % 2) if datatype == "BOOL" else 1 + column % 3 for column in range(width)]
        tensor, data = as_bytes(target.example.input(datatype=datatype, data=row))
        plain = target.infer({"inputs": [target.example.input(datatype="FP64", data=[float(value) for value in row])]})
        close_to(predictions(post(target, [tensor], data).ok()), predictions(plain.ok()), target)


@check(Group.BINARY, "inputs in JSON and in bytes mix")
def _(target: Target) -> None:
    described = target.get(target.path).ok().get("inputs") or []
    if len(described) != len(target.example.rows[0]) or len(described) < 2:
        raise NotApplicable("the model's metadata do not describe one input for each feature")
    inputs, tail = [], b""
    for column, tensor in enumerate(described):
        one = {"name": tensor["name"], "shape": [1], "datatype": tensor["datatype"]}
        one["data"] = [target.example.rows[0][column]]
        if column % 2:
            one, data = as_bytes(one)
            tail += data
        inputs.append(one)
    expect(target, post(target, inputs, tail).ok())


@check(Group.BINARY, "binary_data_output gives all outputs as bytes")
def _(target: Target) -> None:
    tensor, data = as_bytes(target.example.input(0, 1))
    response, found = outputs_of(post(target, [tensor], data, parameters={"binary_data_output": True}))
    that(set(found) == {output["name"] for output in response["outputs"]}, f"as bytes: {sorted(found)}")
    close_to(found[response["outputs"][0]["name"]], target.example.predictions[:2], target)


@check(Group.BINARY, "a request in JSON may ask for bytes")
def _(target: Target) -> None:
    _, found = outputs_of(target.infer(target.example.request(parameters={"binary_data_output": True})))
    close_to(next(iter(found.values())), target.example.predictions[:1], target)


@check(Group.BINARY, "binary_data of one output is obeyed, also against binary_data_output")
def _(target: Target) -> None:
    name = target.infer(target.example.request()).ok()["outputs"][0]["name"]
    asked = [{"name": name, "parameters": {"binary_data": True}}]
    _, found = outputs_of(target.infer(target.example.request(outputs=asked)))
    close_to(found[name], target.example.predictions[:1], target)
    asked = [{"name": name, "parameters": {"binary_data": False}}]
    expect(target, target.infer(target.example.request(outputs=asked, parameters={"binary_data_output": True})).ok())


@check(Group.BINARY, "a body without JSON is the model's one input, answered in bytes")
def _(target: Target) -> None:
    body = pack(target.example.datatype, target.example.rows[0])
    reply = target.infer(body, headers={"Content-Type": OCTETS, LENGTH: "0"})
    _, found = outputs_of(reply)
    close_to(next(iter(found.values())), target.example.predictions[:1], target)


@check(Group.BINARY, f"a {LENGTH} that cannot be is refused")
def _(target: Target) -> None:
    tensor, data = as_bytes(target.example.input())
    for length in ("-1", "many", "1.5", "999999"):
        post(target, [tensor], data, length=length).refused()


@check(Group.BINARY, "fewer or more bytes than announced are refused")
def _(target: Target) -> None:
    tensor, data = as_bytes(target.example.input())
    for tail in (b"", data[:-1], data + b"x"):
        post(target, [tensor], tail).refused()


@check(Group.BINARY, "a binary_data_size that does not fit the shape is refused")
def _(target: Target) -> None:
    tensor, data = as_bytes(target.example.input())
    less = {**tensor, "parameters": {"binary_data_size": len(data) - 8}}
    post(target, [less], data[:-8]).refused()


@check(Group.BINARY, "a BOOL of another byte than 0 and 1 is refused")
def _(target: Target) -> None:
    width = len(target.example.rows[0])
    tensor = target.example.input(datatype="BOOL", data=None, parameters={"binary_data_size": width})
    post(target, [tensor], b"\2" * width).refused()


@check(Group.BINARY, "NaN as bytes is refused")
def _(target: Target) -> None:
    width = len(target.example.rows[0])
    tensor, data = as_bytes(target.example.input(data=[float("nan")] * width))
    post(target, [tensor], data).refused()
