"""Open Inference Protocol v2 messages: request bytes → features and wishes, answers → response bytes. Pure.

No models are built per request: the few fields are checked by hand, which is what keeps a single row cheap.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from aurora_runtime.inference import binary
from aurora_runtime.inference.errors import InvalidRequest, shown
from aurora_runtime.inference.tensors import Features
from aurora_runtime.store.descriptor import TensorSpec

_SMALL: Final = 64
"""Up to this many elements a list is rendered faster than an array."""


class InferRequest(NamedTuple):
    """A request that fits the signature."""

    id: str | None
    features: NDArray[np.float64]
    """(rows, features), finite."""
    outputs: Sequence[TensorSpec]
    """What the response holds, in this order."""
    out_of_range: Mapping[str, int]
    """Feature → rows in which it lies outside of its range in training."""
    binary: frozenset[str] = frozenset()
    """Names of the outputs that are to come as bytes; with any, the answer is ``render_binary_response``."""


def parse_request(
    body: bytes, *, features: Features, outputs: Mapping[str, TensorSpec], header_length: str | None = None
) -> InferRequest:
    """``header_length`` is the value of ``binary.LENGTH_HEADER``, None when there was none.

    Raises InvalidRequest naming the field, what was expected and what was given.
    """
    request = _loads(body, features, header_length)
    request_id = request.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidRequest(f"id: expected a string, given {_kind(request_id)}")
    all_binary = None
    if (parameters := request.get("parameters")) is not None:
        _check_parameters("parameters", parameters)
        all_binary = binary.boolean(parameters, binary.ALL_WANTED, where="parameters")
    matrix = features.matrix(request.get("inputs"))
    for tensor in request["inputs"]:
        if (parameters := tensor.get("parameters")) is not None:
            _check_parameters(f"input '{tensor['name']}': parameters", parameters)
    selected, as_bytes = _selected(request.get("outputs"), outputs, all_binary=bool(all_binary))
    return InferRequest(request_id, matrix, selected, features.out_of_range(matrix), as_bytes)


def render_response(request: InferRequest, answers: Mapping[str, NDArray[Any]], *, model: str, version: str) -> bytes:
    """The response's body, all JSON. Floats are printed so that reading them gives the same bits."""
    response = _response(request, model=model, version=version)
    response["outputs"] = [_tensor(spec, answers[spec.name]) for spec in request.outputs]
    return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)


def render_binary_response(
    request: InferRequest, answers: Mapping[str, NDArray[Any]], *, model: str, version: str
) -> tuple[bytes, int]:
    """The response's body, and how many bytes of it are JSON: the value of ``binary.LENGTH_HEADER``."""
    tensors, tail = [], []
    for spec in request.outputs:
        array = answers[spec.name]
        if spec.name in request.binary:
            tail.append(binary.to_bytes(array, datatype=spec.datatype))
            tensors.append(_described(spec, array, "parameters", {binary.SIZE: len(tail[-1])}))
        else:
            tensors.append(_tensor(spec, array))
    response = {**_response(request, model=model, version=version), "outputs": tensors}
    header = orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join((header, *tail)), len(header)


def error_body(message: str) -> bytes:
    """The only form of an error."""
    # A lone surrogate, as a path may hold one, is no UTF-8.
    return orjson.dumps({"error": message.encode(errors="replace").decode()})


def _loads(body: bytes, features: Features, header_length: str | None) -> dict[str, Any]:
    """The request's JSON, its tensors with the bytes that belong to them."""
    text: bytes | memoryview = body
    tail = None
    if header_length is not None:
        text, tail = binary.split(body, header_length)
        if not text:
            return {"inputs": [features.raw(tail)], "parameters": {binary.ALL_WANTED: True}}
    try:
        request = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # orjson also says no to NaN, infinity, and nesting that would exhaust the stack.
        raise InvalidRequest(f"body: expected JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequest(f"body: expected an object with 'inputs', given {_kind(request)}")
    binary.attach(request.get("inputs"), tail)
    return request


def _response(request: InferRequest, *, model: str, version: str) -> dict[str, Any]:
    """All of a response but its outputs, which come last."""
    response: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        response["id"] = request.id
    if request.out_of_range:
        response["parameters"] = {f"out_of_range.{name}": rows for name, rows in request.out_of_range.items()}
    return response


def _check_parameters(where: str, parameters: object) -> None:
    """Unknown parameters are ignored, but they must be what the protocol allows."""
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"{where}: expected an object, given {_kind(parameters)}")
    for name, value in parameters.items():
        if not isinstance(value, str | int | float | bool):
            raise InvalidRequest(f"{where}.{name[:100]}: expected a string, number or boolean, given {_kind(value)}")


def _selected(
    asked: object, known: Mapping[str, TensorSpec], *, all_binary: bool
) -> tuple[Sequence[TensorSpec], frozenset[str]]:
    """The outputs asked for, all of them when none is; and the names of those that are to come as bytes."""
    if asked is None or asked == []:
        return list(known.values()), frozenset(known) if all_binary else frozenset()
    if not isinstance(asked, list):
        raise InvalidRequest(f"outputs: expected a list, given {_kind(asked)}")
    selected: dict[str, TensorSpec] = {}
    as_bytes = set()
    for output in asked:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in known:
            raise InvalidRequest(f"outputs: expected names out of {', '.join(known)}, given {shown(name)}")
        if name in selected:
            raise InvalidRequest(f"outputs: '{name}' is asked for twice")
        selected[name] = known[name]
        wanted: bool | None = None
        if (parameters := output.get("parameters")) is not None:
            where = f"output '{name}': parameters"
            _check_parameters(where, parameters)
            wanted = binary.boolean(parameters, binary.WANTED, where=where)
        if all_binary if wanted is None else wanted:
            as_bytes.add(name)
    return list(selected.values()), frozenset(as_bytes)


def _tensor(spec: TensorSpec, array: NDArray[Any]) -> dict[str, Any]:
    data: Any = array.reshape(-1)
    if spec.datatype == "BYTES" or array.size <= _SMALL:
        data = data.tolist()
    return _described(spec, array, "data", data)


def _described(spec: TensorSpec, array: NDArray[Any], key: str, value: object) -> dict[str, Any]:
    return {"name": spec.name, "shape": list(array.shape), "datatype": spec.datatype, key: value}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
