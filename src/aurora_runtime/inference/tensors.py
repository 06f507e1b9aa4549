"""Open Inference Protocol tensors ↔ NumPy arrays. Pure.

Source: Open Inference Protocol v2, "Tensor Data": row-major, flat or nested; datatypes as listed there.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.inference.errors import InvalidRequest, InvalidTensor

NUMPY_TYPES: Final[Mapping[str, str]] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
"""Datatypes that a numeric feature may come in; BYTES is none of them."""
WHOLE_MATRIX: Final = "input"
MAX_DIMENSIONS: Final = 8


def features_of(inputs: Any, names: Sequence[str]) -> NDArray[np.float64]:
    """Finite matrix (rows, features), C-contiguous, columns in the order of ``names``.

    ``inputs`` is one tensor ``[rows, features]``, or one tensor ``[rows]`` or ``[rows, 1]`` per feature, in any order.
    Raises InvalidRequest and InvalidTensor.
    """
    if not isinstance(inputs, list) or not inputs:
        raise InvalidRequest("inputs: expected a list of at least one tensor")
    if len(inputs) == 1 and _name(inputs[0]) not in names:
        matrix = _whole(inputs[0], len(names))
    else:
        matrix = _by_feature(inputs, names)
    if not np.isfinite(matrix).all():
        row, column = (int(index) for index in np.argwhere(~np.isfinite(matrix))[0])
        raise InvalidTensor(
            tensor=names[column], field=f"data, row {row}", expected="a finite number", given="NaN or infinity"
        )
    return matrix


def _name(tensor: Any) -> str:
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str) or not name:
        raise InvalidRequest("inputs: every tensor needs a name")
    return name


def _whole(tensor: dict[str, Any], features: int) -> NDArray[np.float64]:
    array = decode(tensor)
    if array.ndim == 1 and features == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] != features:
        raise InvalidTensor(
            tensor=_name(tensor), field="shape", expected=f"[rows, {features}]", given=str(list(array.shape))
        )
    return np.ascontiguousarray(array, dtype=np.float64)


def _by_feature(inputs: list[Any], names: Sequence[str]) -> NDArray[np.float64]:
    columns: dict[str, NDArray[Any]] = {}
    for tensor in inputs:
        name = _name(tensor)
        if name in columns:
            raise InvalidRequest(f"input '{name}': given twice")
        if name not in names:
            raise InvalidRequest(f"input '{name}': not an input of this model; expected {_listing(names)}")
        columns[name] = _column(tensor)
    if missing := [name for name in names if name not in columns]:
        raise InvalidRequest(f"inputs: missing {_listing(missing)}; or send one tensor of shape [rows, {len(names)}]")
    rows = {name: len(column) for name, column in columns.items()}
    first = rows[names[0]]
    for name, count in rows.items():
        if count != first:
            raise InvalidTensor(
                tensor=name, field="shape", expected=f"[{first}], as of '{names[0]}'", given=f"[{count}]"
            )
    return np.stack([columns[name] for name in names], axis=1, dtype=np.float64, casting="unsafe")


def _column(tensor: dict[str, Any]) -> NDArray[Any]:
    array = decode(tensor)
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 1:
        raise InvalidTensor(
            tensor=_name(tensor), field="shape", expected="[rows] or [rows, 1]", given=str(list(array.shape))
        )
    return array


def decode(tensor: dict[str, Any]) -> NDArray[Any]:
    """Array of the tensor's shape in the NumPy type of its datatype. Raises InvalidTensor."""
    name, shape = _name(tensor), _shape(tensor)
    datatype = tensor.get("datatype")
    numpy_type = NUMPY_TYPES.get(datatype) if isinstance(datatype, str) else None
    if numpy_type is None:
        raise InvalidTensor(
            tensor=name, field="datatype", expected="one of " + ", ".join(NUMPY_TYPES), given=repr(datatype)
        )
    data = tensor.get("data")
    if not isinstance(data, list):
        raise InvalidTensor(tensor=name, field="data", expected="a list", given=type(data).__name__)
    array = _numbers(name, data, numpy_type)
    if array.size != prod(shape):
        raise InvalidTensor(
            tensor=name, field="data", expected=f"{prod(shape)} elements for shape {shape}", given=f"{array.size}"
        )
    if array.ndim > 1 and list(array.shape) != shape:
        raise InvalidTensor(
            tensor=name, field="data", expected=f"nested as {shape}, or flat", given=f"nested as {list(array.shape)}"
        )
    return array.reshape(shape)


def _shape(tensor: dict[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    valid = isinstance(shape, list) and 0 < len(shape) <= MAX_DIMENSIONS
    if not valid or any(type(size) is not int or size < 0 for size in shape):  # type: ignore[union-attr]
        raise InvalidTensor(
            tensor=_name(tensor), field="shape", expected="a list of sizes, such as [1, 8]", given=repr(shape)[:80]
        )
    if 0 in shape:  # type: ignore[operator]
        raise InvalidTensor(tensor=_name(tensor), field="shape", expected="at least one row", given=str(shape))
    return shape  # type: ignore[return-value]


def _numbers(name: str, data: list[Any], numpy_type: str) -> NDArray[Any]:
    """JSON numbers (or booleans for BOOL) as an array; refuses what NumPy would quietly turn into something else."""
    try:
        array = np.asarray(data)
    except (ValueError, OverflowError, RecursionError):
        raise InvalidTensor(
            tensor=name, field="data", expected="numbers, evenly nested", given="a ragged or too deep list"
        ) from None
    if array.dtype.kind not in "iufb":
        raise InvalidTensor(
            tensor=name, field="data", expected="numbers", given="something else, or a number out of range"
        )
    target = np.dtype(numpy_type)
    if target.kind == "f":
        # 1e400 does not fit: it must become infinity here, to be refused for that, and not a warning.
        with np.errstate(over="ignore"):
            return array.astype(target)
    if target.kind == "b":
        if not np.isin(array, (0, 1)).all():
            raise InvalidTensor(tensor=name, field="data", expected="true or false", given="other values")
        return array.astype(target)
    return _whole_numbers(name, array, target)


def _whole_numbers(name: str, array: NDArray[Any], target: "np.dtype[Any]") -> NDArray[Any]:
    if array.dtype.kind == "f" and not (np.isfinite(array).all() and (array == np.floor(array)).all()):
        raise InvalidTensor(tensor=name, field="data", expected=f"whole numbers for {target.name}", given="fractions")
    bounds = np.iinfo(target)
    if array.size and not (int(array.min()) >= bounds.min and int(array.max()) <= bounds.max):
        raise InvalidTensor(
            tensor=name,
            field="data",
            expected=f"{bounds.min} to {bounds.max} for {target.name}",
            given="a number out of range",
        )
    return array.astype(target)


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:20])
    return shown + (f" and {len(names) - 20} more" if len(names) > 20 else "")
