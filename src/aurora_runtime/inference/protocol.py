"""Open Inference Protocol v2 messages: request bytes → features and wishes, answers → response bytes. Pure.

No models are built per request: the few fields are checked by hand, which is what keeps a single row cheap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from aurora_runtime.inference.errors import InvalidRequest
from aurora_runtime.inference.tensors import Features
from aurora_runtime.store.descriptor import TensorSpec

_SMALL: Final = 64
"""Up to this many elements a list is rendered faster than an array."""


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A request that fits the signature."""

    id: str | None
    features: NDArray[np.float64]
    """(rows, features), finite."""
    outputs: Sequence[TensorSpec]
    """What the response holds, in this order."""
    out_of_range: Mapping[str, int]
    """Feature → rows in which it lies outside of its range in training."""


def parse_request(body: bytes, *, features: Features, outputs: Mapping[str, TensorSpec]) -> InferRequest:
    """Raises InvalidRequest naming the field, what was expected and what was given."""
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # orjson also says no to NaN, infinity, and nesting that would exhaust the stack.
        raise InvalidRequest(f"body: expected JSON: {error}") from None
    if not isinstance(request, dict):
        raise InvalidRequest("body: expected an object with 'inputs'")
    request_id = request.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise InvalidRequest(f"id: expected a string, given {_kind(request_id)}")
    if "parameters" in request:
        _check_parameters("parameters", request["parameters"])
    matrix = features.matrix(request.get("inputs"))
    for tensor in request["inputs"]:
        if "parameters" in tensor:
            _check_parameters(f"input '{tensor['name']}': parameters", tensor["parameters"])
    selected = _selected(request.get("outputs"), outputs)
    return InferRequest(request_id, matrix, selected, features.out_of_range(matrix))


def render_response(request: InferRequest, answers: Mapping[str, NDArray[Any]], *, model: str, version: str) -> bytes:
    """The response's body. Floats are printed so that reading them gives the same bits."""
    response: dict[str, Any] = {"model_name": model, "model_version": version}
    if request.id is not None:
        response["id"] = request.id
    if request.out_of_range:
        response["parameters"] = {f"out_of_range.{name}": rows for name, rows in request.out_of_range.items()}
    response["outputs"] = [_tensor(spec, answers[spec.name]) for spec in request.outputs]
    return orjson.dumps(response, option=orjson.OPT_SERIALIZE_NUMPY)


def error_body(message: str) -> bytes:
    """The only form of an error."""
    # A lone surrogate, as a path may hold one, is no UTF-8.
    return orjson.dumps({"error": message.encode(errors="replace").decode()})


def _check_parameters(where: str, parameters: object) -> None:
    """Unknown parameters are ignored, but they must be what the protocol allows."""
    if not isinstance(parameters, dict):
        raise InvalidRequest(f"{where}: expected an object, given {_kind(parameters)}")
    for name, value in parameters.items():
        if not isinstance(value, str | int | float | bool):
            raise InvalidRequest(f"{where}.{name[:100]}: expected a string, number or boolean, given {_kind(value)}")


def _selected(asked: object, known: Mapping[str, TensorSpec]) -> Sequence[TensorSpec]:
    """The outputs asked for; all of them when none is."""
    if asked is None or asked == []:
        return list(known.values())
    if not isinstance(asked, list):
        raise InvalidRequest(f"outputs: expected a list, given {_kind(asked)}")
    selected: dict[str, TensorSpec] = {}
    for output in asked:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in known:
            raise InvalidRequest(f"outputs: expected names out of {', '.join(known)}, given {str(name)[:100]!r}")
        if name in selected:
            raise InvalidRequest(f"outputs: '{name}' is asked for twice")
        if "parameters" in output:
            _check_parameters(f"output '{name}': parameters", output["parameters"])
        selected[name] = known[name]
    return list(selected.values())


def _tensor(spec: TensorSpec, array: NDArray[Any]) -> dict[str, Any]:
    data: Any = array.reshape(-1)
    if spec.datatype == "BYTES" or array.size <= _SMALL:
        data = data.tolist()
    return {"name": spec.name, "shape": list(array.shape), "datatype": spec.datatype, "data": data}


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
