"""The OpenAPI document of one served model: its real names, datatypes and ranges, and a golden row as example. Pure.

Ranges are told, not enforced: a value outside of what training saw is answered and flagged. So they stand in
descriptions, and no validator that reads this document refuses what the server takes.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import numpy as np

from aurora_runtime.inference import binary
from aurora_runtime.inference.tensors import NUMPY_TYPES, fitting
from aurora_runtime.store.descriptor import INPUT_TENSOR, Descriptor, TensorSpec

OPENAPI: Final = "3.1.0"
_JSON: Final = "application/json"
_ERROR: Final = {"$ref": "#/components/responses/Error"}
_STATUSES: Final[Mapping[str, tuple[int, ...]]] = {
    "live": (),
    "ready": (404, 503),
    "read": (404, 503),
    "infer": (400, 404, 408, 413, 415, 417, 503, 504),
}
"""What may go wrong, by kind of operation. A server with keys adds 401 and 429 where it wants one."""

JsonObject = dict[str, Any]


def example_request(descriptor: Descriptor) -> JsonObject:
    """The first golden row as the body of a request: one matrix if one datatype fits all features, else columns."""
    tensors, row = descriptor.signature.inputs, descriptor.golden_rows.inputs[0]
    datatypes = {tensor.datatype for tensor in tensors}
    if len(datatypes) == 1 and all(tensor.name != INPUT_TENSOR for tensor in tensors):
        datatype = datatypes.pop()
        data = [_element(value, datatype) for value in row]
        return {"inputs": [{"name": INPUT_TENSOR, "shape": [1, len(row)], "datatype": datatype, "data": data}]}
    return {
        "inputs": [
            {"name": tensor.name, "shape": [1], "datatype": tensor.datatype, "data": [_element(value, tensor.datatype)]}
            for tensor, value in zip(tensors, row, strict=True)
        ]
    }


def example_response(descriptor: Descriptor) -> JsonObject:
    """What the estimator answered to that row when it was trained."""
    outputs = []
    for tensor in descriptor.signature.outputs:
        first = np.array(descriptor.golden_rows.expected[tensor.name][:1])
        data = first.reshape(-1).tolist()
        outputs.append({"name": tensor.name, "shape": list(first.shape), "datatype": tensor.datatype, "data": data})
    return {"model_name": descriptor.model, "model_version": str(descriptor.version), "outputs": outputs}


def openapi(descriptor: Descriptor, *, guarded: bool) -> JsonObject:
    """The document. ``guarded``: predictions and metadata want an API key."""
    model = f"/v2/models/{descriptor.model}"
    versioned = f"{model}/versions/{descriptor.version}"
    operations = _Operations(descriptor, guarded=guarded)
    paths: JsonObject = {
        "/v2": operations.get("serverMetadata", "Name, version and extensions of the server", "live", "ServerMetadata"),
        "/v2/health/live": operations.get("serverLive", "Whether the process runs", "live", "Live"),
        "/v2/health/ready": operations.get("serverReady", "Whether the model answers", "ready", "Ready"),
    }
    for path, suffix in ((model, ""), (versioned, "OfVersion")):
        paths |= {
            path: operations.get(f"modelMetadata{suffix}", "Inputs and outputs", "read", "ModelMetadata"),
            f"{path}/ready": operations.get(f"modelReady{suffix}", "Whether the model answers", "ready", "ModelReady"),
            f"{path}/openapi.json": operations.get(f"modelDocument{suffix}", "This document", "read", None),
            f"{path}/infer": operations.infer(f"modelInfer{suffix}"),
        }
    paths["/openapi.json"] = operations.get("document", "This document", "read", None)
    components: JsonObject = {
        "schemas": {**_infer_schemas(descriptor), **_other_schemas(descriptor.model)},
        "responses": {
            "Error": {
                "description": "What is wrong: the field, what was expected and what was given",
                "content": {_JSON: {"schema": _ref("Error")}},
            }
        },
    }
    if guarded:
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
    return {
        "openapi": OPENAPI,
        "info": {
            "title": descriptor.model,
            "version": str(descriptor.version),
            "description": f"{descriptor.task.capitalize()} by {descriptor.algorithm}, trained {descriptor.created_at}",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
    }


class _Operations:
    """Path items of one model."""

    def __init__(self, descriptor: Descriptor, *, guarded: bool) -> None:
        self._descriptor = descriptor
        self._guarded = guarded

    def get(self, operation: str, summary: str, kind: str, schema: str | None) -> JsonObject:
        """``schema`` names the schema of the answer; None: any object."""
        content = {_JSON: {"schema": {"type": "object"} if schema is None else _ref(schema)}}
        return {"get": self._operation(operation, summary, kind, {"description": "OK", "content": content})}

    def infer(self, operation: str) -> JsonObject:
        described = f"{binary.LENGTH_HEADER} bytes of JSON, then the bytes of the tensors that announce them"
        as_bytes = {binary.MEDIA_TYPE: {"schema": {"description": described}}}
        example = {"golden": {"summary": "A held-out row", "value": example_request(self._descriptor)}}
        answer = {
            "golden": {"summary": "Its answer at training", "value": example_response(self._descriptor)},
        }
        request = {_JSON: {"schema": _ref("InferRequest"), "examples": example}, **as_bytes}
        response = {_JSON: {"schema": _ref("InferResponse"), "examples": answer}, **as_bytes}
        header = {"in": "header", "name": binary.LENGTH_HEADER, "schema": {"type": "integer", "minimum": 0}}
        return {
            "post": {
                **self._operation(operation, "Predictions", "infer", {"description": "OK", "content": response}),
                "parameters": [{**header, "description": "Bytes of JSON in a body that goes on after it"}],
                "requestBody": {"required": True, "content": request},
            }
        }

    def _operation(self, operation: str, summary: str, kind: str, answer: JsonObject) -> JsonObject:
        guarded = self._guarded and kind in ("read", "infer")
        statuses = sorted({*_STATUSES[kind], *((401, 429) if guarded else ())})
        errors = {str(status): _ERROR for status in statuses}
        return {
            "operationId": operation,
            "summary": summary,
            "security": [{"bearer": []}, {"apiKey": []}] if guarded else [],
            "responses": {str(HTTPStatus.OK.value): answer, **errors, "default": _ERROR},
        }


def _infer_schemas(descriptor: Descriptor) -> JsonObject:
    inputs, outputs = descriptor.signature.inputs, descriptor.signature.outputs
    count = len(inputs)
    columns = {
        "type": "array",
        "description": "One tensor for each feature, in any order",
        "minItems": count,
        "maxItems": count,
        "items": {"oneOf": [_column(tensor) for tensor in inputs]},
    }
    whole = {
        "type": "array",
        "description": f"One matrix, columns in this order: {', '.join(tensor.name for tensor in inputs)}",
        "minItems": 1,
        "maxItems": 1,
        "items": _whole(inputs),
    }
    has_input = any(tensor.name == INPUT_TENSOR for tensor in inputs)
    selected = {
        "type": "array",
        "description": "Which outputs to answer, in which order; none: all",
        "uniqueItems": True,
        "items": _object(
            {"name": {"enum": [tensor.name for tensor in outputs]}, "parameters": _ref("Parameters")}, "name"
        ),
    }
    request = {
        "id": {"type": "string", "description": "Comes back with the answer"},
        "parameters": _ref("Parameters"),
        "inputs": columns if has_input else {"oneOf": [whole, columns]},
        "outputs": selected,
    }
    response = {
        "model_name": {"const": descriptor.model},
        "model_version": {"const": str(descriptor.version)},
        "id": {"type": "string"},
        "parameters": _ref("Parameters"),
        "outputs": {"type": "array", "items": {"oneOf": [_output(tensor) for tensor in outputs]}},
    }
    return {
        "InferRequest": _object(request, "inputs"),
        "InferResponse": _object(response, "model_name", "model_version", "outputs"),
    }


def _other_schemas(model: str) -> JsonObject:
    """Health, metadata, errors: of every model alike, but for its name."""
    named, text, flag = {"const": model}, {"type": "string"}, {"type": "boolean"}
    tensors = {"type": "array", "items": _ref("TensorMetadata")}
    texts = {"type": "array", "items": text}
    return {
        "Parameters": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
        "Error": {**_object({"error": text}, "error"), "additionalProperties": False},
        "Live": _object({"live": flag}, "live"),
        "Ready": _object({"ready": flag}, "ready"),
        "ServerMetadata": _object(
            {"name": text, "version": text, "extensions": texts}, "name", "version", "extensions"
        ),
        "ModelReady": _object({"name": named, "ready": flag}, "name", "ready"),
        "TensorMetadata": _object(
            {"name": text, "datatype": text, "shape": {"type": "array", "items": {"type": "integer"}}},
            "name",
            "datatype",
            "shape",
        ),
        "ModelMetadata": _object(
            {
                "name": named,
                "versions": texts,
                "platform": text,
                "inputs": tensors,
                "outputs": tensors,
                "properties": {"type": "object", "additionalProperties": text},
            },
            "name",
            "platform",
            "inputs",
            "outputs",
        ),
    }


def _whole(inputs: list[TensorSpec]) -> JsonObject:
    flat = {"type": "array", "minItems": len(inputs), "items": _number()}
    cells = [{**_number(), "title": tensor.name, "description": _range(tensor)} for tensor in inputs]
    row = {"type": "array", "prefixItems": cells, "minItems": len(inputs), "maxItems": len(inputs)}
    return _tensor(
        {"const": INPUT_TENSOR},
        shape={
            "prefixItems": [{"type": "integer", "minimum": 1}, {"const": len(inputs)}],
            "minItems": 2,
            "maxItems": 2,
        },
        datatypes=fitting(inputs),
        data={"anyOf": [flat, {"type": "array", "minItems": 1, "items": row}]},
    )


def _column(tensor: TensorSpec) -> JsonObject:
    nested = {"type": "array", "minItems": 1, "maxItems": 1, "items": _number()}
    column = _tensor(
        {"const": tensor.name},
        shape={
            "prefixItems": [{"type": "integer", "minimum": 1}, {"const": 1}],
            "items": False,
            "minItems": 1,
        },
        datatypes=fitting([tensor]),
        data={
            "anyOf": [
                {"type": "array", "minItems": 1, "items": _number()},
                {"type": "array", "minItems": 1, "items": nested},
            ]
        },
    )
    return {**column, "title": tensor.name, "description": _range(tensor)}


def _output(tensor: TensorSpec) -> JsonObject:
    item: JsonObject = {} if tensor.categories is None or len(tensor.shape) > 1 else {"enum": tensor.categories}
    if not item:
        item = {"type": "string"} if tensor.datatype == "BYTES" else _number()
    sizes = [{"type": "integer", "minimum": 1} if size < 0 else {"const": size} for size in tensor.shape]
    described = ""
    if len(tensor.shape) > 1 and tensor.categories is not None:
        described = f"Columns: {', '.join(map(str, tensor.categories))}"
    return {
        **_tensor(
            {"const": tensor.name},
            shape={"prefixItems": sizes, "minItems": len(sizes), "maxItems": len(sizes)},
            datatypes=[tensor.datatype],
            data={"type": "array", "items": item},
        ),
        **({"description": described} if described else {}),
    }


def _tensor(name: JsonObject, *, shape: JsonObject, datatypes: list[str], data: JsonObject) -> JsonObject:
    """``data`` is not required: a tensor of a binary body has none in its JSON."""
    fields = {
        "name": name,
        "shape": {"type": "array", **shape},
        "datatype": {"enum": datatypes},
        "parameters": _ref("Parameters"),
        "data": data,
    }
    return _object(fields, "name", "shape", "datatype")


def _range(tensor: TensorSpec) -> str:
    if tensor.minimum is None or tensor.maximum is None:
        return f"{tensor.datatype}; no range is recorded"
    seen = f"{tensor.minimum:g} to {tensor.maximum:g} in training"
    return f"{tensor.datatype}, {seen}; values outside are answered and flagged"


def _number() -> JsonObject:
    # true and false are the elements of BOOL.
    return {"type": ["number", "boolean"]}


def _object(properties: JsonObject, *required: str) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(required)}


def _ref(schema: str) -> JsonObject:
    return {"$ref": f"#/components/schemas/{schema}"}


def _element(value: float, datatype: str) -> float | int | bool:
    """A value as JSON writes one of that datatype."""
    match NUMPY_TYPES[datatype].kind:
        case "b":
            return bool(value)
        case "f":
            return value
        case _:
            return int(value)
