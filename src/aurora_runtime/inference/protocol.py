"""Open Inference Protocol v2 messages: request bytes → a matrix and wishes, answers → response bytes. Pure.

No models are built per request: the few fields are checked by hand, which is what makes a single row cheap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from aurora_runtime.inference.errors import InvalidRequest
from aurora_runtime.inference.tensors import features_of

DATATYPES: Final[Mapping[str, str]] = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "int32": "INT32",
    "uint8": "UINT8",
    "bool": "BOOL",
}


@dataclass(frozen=True, kw_only=True)
class InferRequest:
    """A request that fits the signature."""

    id: str | None
    features: NDArray[np.float64]
    """(rows, features), finite."""
    outputs: Sequence[str] | None
    """Names of the outputs asked for, in this order; None for all."""


def parse_request(body: bytes, *, inputs: Sequence[str], outputs: Sequence[str]) -> InferRequest:
    """Raises InvalidRequest naming what is wrong with the body."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequest("the body: expected an object with 'inputs'")
    request_id = request.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidRequest(f"id: expected a string, given {type(request_id).__name__}")
    _check_parameters("parameters", request)
    features = features_of(request.get("inputs"), inputs)
    for tensor in request["inputs"]:
        _check_parameters(f"input '{tensor['name']}': parameters", tensor)
    return InferRequest(id=request_id, features=features, outputs=_wanted(request.get("outputs"), outputs))


def _check_parameters(where: str, holder: Mapping[str, Any]) -> None:
    """Unknown parameters are ignored, but they must be what the protocol allows."""
    parameters = holder.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"{where}: expected an object, given {type(parameters).__name__}")
    for name, value in parameters.items():
        if not isinstance(value, str | int | float | bool):
            raise InvalidRequest(f"{where}.{name}: expected a string, number or boolean, given {type(value).__name__}")


def _wanted(asked: Any, known: Sequence[str]) -> list[str] | None:
    if asked is None or asked == []:
        return None
    if not isinstance(asked, list):
        raise InvalidRequest(f"outputs: expected a list, given {type(asked).__name__}")
    names: list[str] = []
    for output in asked:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in known:
            raise InvalidRequest(f"outputs: {name!r} is not an output of this model; expected {', '.join(known)}")
        if name in names:
            raise InvalidRequest(f"outputs: '{name}' is asked for twice")
        names.append(name)
    return names


def render_response(*, model: str, version: str, request: InferRequest, answers: Mapping[str, NDArray[Any]]) -> bytes:
    """The response's body; floats are printed so that reading them gives the same bits."""
    names = request.outputs if request.outputs is not None else list(answers)
    response: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        response["id"] = request.id
    response["outputs"] = [_output(name, answers[name]) for name in names]
    return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)


def _output(name: str, array: NDArray[Any]) -> dict[str, Any]:
    datatype = DATATYPES.get(array.dtype.name)
    data = np.ascontiguousarray(array).reshape(-1) if datatype else [str(value) for value in array.reshape(-1)]
    return {"name": name, "shape": list(array.shape), "datatype": datatype or "BYTES", "data": data}


def error_body(message: str) -> bytes:
    """The only form of an error: ``{"error": "<text>"}``."""
    return orjson.dumps({"error": message})
