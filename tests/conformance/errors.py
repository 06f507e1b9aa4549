"""Errors: a 4xx, and a body that is exactly ``{"error": "<text>"}``, whatever is wrong."""

import json
from typing import Any

from tests.conformance.checks import CHECKS, Check, Group, check, that
from tests.conformance.target import Target


def _body(target: Target, **changes: Any) -> dict[str, Any]:
    return {"inputs": [target.example.input(**changes)]}


def _width(target: Target) -> int:
    return len(target.example.rows[0])


def _with(target: Target, element: str) -> bytes:
    """A request whose first element is this piece of JSON, or of what is none."""
    others = ",".join(["1"] * (_width(target) - 1))
    text = json.dumps(_body(target, data=["HERE"]))
    return text.replace('["HERE"]', f"[{element},{others}]").encode()


def _deep(target: Target, field: str) -> bytes:
    """A request that is nested in one field, less than JSON parsers refuse."""
    request = target.example.request(outputs=[{"name": "HERE"}] if field == "outputs" else [])
    if field == "datatype":
        request = _body(target, datatype="HERE")
    elif field == "data":
        request = _body(target, data=[*target.example.rows[0][1:], "HERE"])
    return json.dumps(request).replace('"HERE"', "[" * 900 + "]" * 900).encode()


BAD_BODIES: dict[str, Any] = {
    "an empty body": lambda _: b"",
    "a body that is not JSON": lambda _: b"{",
    "a body that is not UTF-8": lambda _: b'{"id": "\xff"}',
    "a body that is a list": lambda _: b"[]",
    "a body of 10,000 nested lists": lambda _: b"[" * 10_000 + b"]" * 10_000,
    "a datatype of 900 nested lists": lambda target: _deep(target, "datatype"),
    "an element of 900 nested lists": lambda target: _deep(target, "data"),
    "an output's name of 900 nested lists": lambda target: _deep(target, "outputs"),
    "a request without inputs": lambda _: {},
    "an empty list of inputs": lambda _: {"inputs": []},
    "inputs that are an object": lambda target: {"inputs": target.example.input()},
    "a tensor that is a number": lambda _: {"inputs": [7]},
    "a tensor without a name": lambda target: _body(target, name=None),
    "a tensor without a shape": lambda target: _body(target, shape=None),
    "a tensor without a datatype": lambda target: _body(target, datatype=None),
    "a tensor without data": lambda target: _body(target, data=None),
    "an unknown datatype": lambda target: _body(target, datatype="FP8"),
    "BYTES where numbers are expected": lambda target: _body(target, datatype="BYTES", data=["a"] * _width(target)),
    "a shape with a free dimension": lambda target: _body(target, shape=[-1, _width(target)]),
    "a shape of text": lambda target: _body(target, shape="1"),
    "fewer elements than the shape says": lambda target: _body(target, data=target.example.rows[0][:-1]),
    "more elements than the shape says": lambda target: _body(target, data=target.example.rows[0] * 2),
    "a feature too few": lambda target: _body(target, shape=[1, _width(target) - 1], data=target.example.rows[0][:-1]),
    "a feature too many": lambda target: _body(
        target, shape=[1, _width(target) + 1], data=[*target.example.rows[0], 1.0]
    ),
    "rows of unequal length": lambda target: _body(
        target, shape=[2, _width(target)], data=[target.example.rows[0], target.example.rows[1][:-1]]
    ),
    "no rows": lambda target: _body(target, shape=[0, _width(target)], data=[]),
    "text among numbers": lambda target: _with(target, '"1"'),
    "null among numbers": lambda target: _with(target, "null"),
    "NaN, which is no JSON": lambda target: _with(target, "NaN"),
    "a number beyond double precision": lambda target: _with(target, "1e999"),
    "a whole number beyond its datatype": lambda target: _body(target, datatype="UINT8", data=[300] * _width(target)),
    "a fraction as whole number": lambda target: _body(target, datatype="INT64", data=[0.5] * _width(target)),
    "the same input twice": lambda target: {"inputs": [target.example.input()] * 2},
    "an id that is a number": lambda target: target.example.request(id=7),
    "parameters that are a list": lambda target: target.example.request(parameters=[1]),
    "a parameter that is a list": lambda target: target.example.request(parameters={"a": [1]}),
    "an output that the model has not": lambda target: target.example.request(outputs=[{"name": "no-such-output"}]),
    "outputs that are an object": lambda target: target.example.request(outputs={"name": "a"}),
}


def _refuses(make: Any) -> Any:
    return lambda target: target.infer(make(target)).refused()


CHECKS.extend(Check(Group.ERRORS, f"{name} is refused", _refuses(make)) for name, make in BAD_BODIES.items())


@check(Group.ERRORS, "an unknown path is 404")
def _(target: Target) -> None:
    for path in ("/v2/no-such-path", f"{target.path}/no-such-path", "/v2/models/"):
        target.get(path).refused(404)


@check(Group.ERRORS, "an unknown model is 404 everywhere")
def _(target: Target) -> None:
    other = "/v2/models/no-such-model"
    for reply in (target.get(other), target.get(f"{other}/ready")):
        reply.refused(404)
    target.infer(target.example.request(), path=f"{other}/infer").refused(404)


@check(Group.ERRORS, "an unknown version is 404 everywhere")
def _(target: Target) -> None:
    other = f"{target.path}/versions/999999"
    for reply in (target.get(other), target.get(f"{other}/ready")):
        reply.refused(404)
    target.infer(target.example.request(), path=f"{other}/infer").refused(404)


@check(Group.ERRORS, "a path that is not UTF-8 is 404")
def _(target: Target) -> None:
    target.get("/v2/models/%ff%00").refused(404)


@check(Group.ERRORS, "another method is 405 with Allow")
def _(target: Target) -> None:
    for method, path in (("GET", f"{target.path}/infer"), ("DELETE", target.path), ("POST", "/v2/health/live")):
        reply = target.request(method, path)
        reply.refused(405)
        that(bool(reply.headers.get("allow")), f"{method} {path}: no Allow")


@check(Group.ERRORS, "a body of another kind is refused")
def _(target: Target) -> None:
    target.infer(b"1,2,3", headers={"Content-Type": "text/csv"}).refused()
