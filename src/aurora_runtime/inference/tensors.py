"""Open Inference Protocol tensors → the matrix that a model takes. Pure.

Source: Open Inference Protocol v2, "Tensor Data": row-major, flat or nested; datatypes as listed there. NumPy
would take "1.5", None and true for numbers: the types of all elements are checked first, and that makes one
conversion without surprises enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.inference import binary
from aurora_runtime.inference.errors import InvalidRequest, InvalidTensor, shown
from aurora_runtime.store.descriptor import INPUT_TENSOR, TensorSpec

NUMPY_TYPES: Final[Mapping[str, "np.dtype[Any]"]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}
"""Datatypes that a numeric feature may come in; BYTES is none of them."""
LARGEST: Final = float(np.finfo(np.float32).max)
"""Trees compare in single precision, so scikit-learn takes no larger number."""
MAX_DIMENSIONS: Final = 8
_SHOWN_NAMES: Final = 20
_FEW: Final = 64


@dataclass(frozen=True, kw_only=True)
class Features:
    """The inputs of a model, in the order of its columns."""

    tensors: Sequence[TensorSpec]

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """Name of a feature → its column."""
        return {tensor.name: column for column, tensor in enumerate(self.tensors)}

    @cached_property
    def _fitting_all(self) -> frozenset[str]:
        """Datatypes that every feature takes, and so the whole matrix."""
        return frozenset(fitting(self.tensors))

    def matrix(self, inputs: object) -> NDArray[np.float64]:
        """C-contiguous matrix (rows, features) of finite numbers.

        ``inputs`` is one tensor named ``input`` of shape [rows, features], or one tensor of shape [rows] or [rows, 1]
        per feature, in any order. Raises InvalidRequest and InvalidTensor.
        """
        if not isinstance(inputs, list) or not inputs:
            raise InvalidRequest(f"inputs: expected a list of at least one tensor, given {shown(inputs)}")
        if len(inputs) == 1 and _name_of(inputs[0]) == INPUT_TENSOR and INPUT_TENSOR not in self.positions:
            matrix = self._whole(inputs[0])
        else:
            matrix = self._by_feature(inputs)
        if not _surely_within(matrix) and not np.abs(matrix).max() <= LARGEST:
            self._refuse_extremes(matrix)
        return matrix

    @cached_property
    def _ranges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest value of each feature in training, infinite where none is recorded.

        Rounded outwards to single precision: a bound that a client sends as FP32 lies within.
        """
        lowest = np.array([-np.inf if tensor.minimum is None else tensor.minimum for tensor in self.tensors])
        highest = np.array([np.inf if tensor.maximum is None else tensor.maximum for tensor in self.tensors])
        with np.errstate(over="ignore"):
            return np.minimum(lowest, lowest.astype(np.float32)), np.maximum(highest, highest.astype(np.float32))

    @cached_property
    def _named_ranges(self) -> Sequence[tuple[str, float, float]]:
        lowest, highest = self._ranges
        return list(zip(self.positions, lowest.tolist(), highest.tolist(), strict=True))

    def out_of_range(self, matrix: NDArray[np.float64]) -> Mapping[str, int]:
        """Name of a feature → in how many rows it lies outside of what training saw; only those that do.

        Most requests are one row, for which NumPy costs several times what plain numbers do.
        """
        if len(matrix) == 1:
            values = zip(matrix[0].tolist(), self._named_ranges, strict=True)
            return {name: 1 for value, (name, lowest, highest) in values if not lowest <= value <= highest}
        lowest, highest = self._ranges
        outside = (matrix < lowest) | (matrix > highest)
        if not outside.any():
            return {}
        rows = outside.sum(axis=0)
        return {name: count for name, count in zip(self.positions, rows.tolist(), strict=True) if count}

    def raw(self, data: memoryview) -> Mapping[str, Any]:
        """The whole matrix as a tensor whose only description is the number of its bytes, in the signature's datatype.

        Raises InvalidRequest when the features have several datatypes, or the bytes are no whole rows.
        """
        datatypes = {tensor.datatype for tensor in self.tensors}
        if len(datatypes) != 1 or not datatypes <= NUMPY_TYPES.keys() or INPUT_TENSOR in self.positions:
            raise InvalidRequest(
                f"{binary.LENGTH_HEADER}: expected the length of a JSON header, because bytes alone do not say what "
                "they are when inputs differ in datatype or one is named 'input'; given 0"
            )
        datatype = datatypes.pop()
        row_bytes = len(self.tensors) * NUMPY_TYPES[datatype].itemsize
        if not data or len(data) % row_bytes:
            expected = f"rows of {row_bytes} bytes, {len(self.tensors)} {datatype} each"
            raise InvalidRequest(f"body: expected {expected}, given {len(data)} bytes")
        shape = [len(data) // row_bytes, len(self.tensors)]
        return {"name": INPUT_TENSOR, "shape": shape, "datatype": datatype, "data": data}

    def _whole(self, tensor: Mapping[str, Any]) -> NDArray[np.float64]:
        features = len(self.tensors)
        array = decode(INPUT_TENSOR, tensor)
        if array.ndim == 1 and features == 1:
            array = array[:, np.newaxis]
        if array.ndim != 2 or array.shape[1] != features:
            raise InvalidTensor(
                tensor=INPUT_TENSOR, field="shape", expected=f"[rows, {features}]", given=str(list(array.shape))
            )
        if tensor["datatype"] not in self._fitting_all:
            for spec in self.tensors:
                _refuse_narrowing(INPUT_TENSOR, tensor["datatype"], spec)
        return np.ascontiguousarray(array, dtype=np.float64)

    def _by_feature(self, inputs: list[Any]) -> NDArray[np.float64]:
        columns: dict[str, NDArray[Any]] = {}
        for tensor in inputs:
            name = _name_of(tensor)
            if name in columns:
                raise InvalidRequest(f"input '{name[:100]}': given twice")
            if name not in self.positions:
                raise InvalidRequest(f"input '{name[:100]}': not an input of this model; expected {self._wanted()}")
            columns[name] = _column(name, tensor)
            _refuse_narrowing(name, tensor["datatype"], self.tensors[self.positions[name]])
        if missing := [name for name in self.positions if name not in columns]:
            raise InvalidRequest(f"inputs: missing {_listing(missing)}; expected {self._wanted()}")
        first, rows = inputs[0]["name"], len(columns[inputs[0]["name"]])
        matrix = np.empty((rows, len(self.tensors)), dtype=np.float64)
        for name, column in columns.items():
            if len(column) != rows:
                raise InvalidTensor(
                    tensor=name, field="shape", expected=f"[{rows}], as of '{first}'", given=f"[{len(column)}]"
                )
            matrix[:, self.positions[name]] = column
        return matrix

    def _wanted(self) -> str:
        one_each = f"one tensor of shape [rows] for each of {_listing(list(self.positions))}"
        if INPUT_TENSOR in self.positions:
            return one_each
        return f"one tensor '{INPUT_TENSOR}' of shape [rows, {len(self.tensors)}], or {one_each}"

    def _refuse_extremes(self, matrix: NDArray[np.float64]) -> None:
        row, column = (int(index) for index in np.argwhere(~(np.abs(matrix) <= LARGEST))[0])
        raise InvalidTensor(
            tensor=self.tensors[column].name,
            field=f"data, row {row}",
            expected=f"a finite number of at most {LARGEST:.3g} in size",
            given=str(matrix[row, column]),
        )


def decode(name: str, tensor: Mapping[str, Any]) -> NDArray[Any]:
    """Array of the tensor's shape in the NumPy type of its datatype. Raises InvalidTensor."""
    shape = _shape_of(name, tensor)
    datatype = tensor.get("datatype")
    dtype = NUMPY_TYPES.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        expected = "one of " + ", ".join(NUMPY_TYPES)
        raise InvalidTensor(tensor=name, field="datatype", expected=expected, given=shown(datatype))
    data = tensor.get("data")
    if type(data) is memoryview:  # JSON has no such thing: it is what came behind the JSON
        if len(data) != prod(shape) * dtype.itemsize:
            expected = f"{prod(shape) * dtype.itemsize} for shape {shape} of {datatype}"
            raise InvalidTensor(tensor=name, field=f"parameters.{binary.SIZE}", expected=expected, given=str(len(data)))
        return binary.from_bytes(name, data, shape, dtype)
    if not isinstance(data, list):
        raise InvalidTensor(tensor=name, field="data", expected="a list", given=shown(data))
    return _array(name, _flat(name, data, shape), dtype).reshape(shape)


def _surely_within(matrix: NDArray[np.float64]) -> bool:
    """Whether it holds no NaN (it compares false), no infinity and nothing beyond single precision.

    False says nothing: many numbers, and those that only add up to an extreme, are for NumPy, which for a few costs
    several times what plain numbers do.
    """
    return matrix.size <= _FEW and sum(map(abs, matrix.ravel().tolist())) <= LARGEST


def _name_of(tensor: object) -> str:
    name = tensor.get("name") if isinstance(tensor, dict) else None
    if not isinstance(name, str):
        raise InvalidRequest(f"inputs: expected every tensor to be an object with a name, given {shown(tensor)}")
    return name


def _column(name: str, tensor: Mapping[str, Any]) -> NDArray[Any]:
    array = decode(name, tensor)
    if array.ndim == 2 and array.shape[1] == 1:
        return array[:, 0]
    if array.ndim != 1:
        raise InvalidTensor(tensor=name, field="shape", expected="[rows] or [rows, 1]", given=str(list(array.shape)))
    return array


def _shape_of(name: str, tensor: Mapping[str, Any]) -> list[int]:
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not 0 < len(shape) <= MAX_DIMENSIONS:
        raise InvalidTensor(tensor=name, field="shape", expected="a list of sizes", given=shown(shape))
    for size in shape:
        if type(size) is not int or size < 1:
            raise InvalidTensor(tensor=name, field="shape", expected="sizes of at least 1", given=shown(shape))
    return shape


def _flat(name: str, data: list[Any], shape: list[int]) -> list[Any]:
    """Elements in row-major order. Nesting is followed as deep as the shape goes, and no deeper."""
    if not data or type(data[0]) is not list:
        if len(data) != prod(shape):
            expected = f"{prod(shape)} elements for shape {shape}"
            raise InvalidTensor(tensor=name, field="data", expected=expected, given=str(len(data)))
        return data
    evenly = f"lists nested as shape {shape}, or one flat list"
    if len(data) != shape[0]:
        raise InvalidTensor(tensor=name, field="data", expected=evenly, given=f"{len(data)} lists")
    level = data
    for axis, size in enumerate(shape[1:], start=1):
        if set(map(type, level)) != {list} or set(map(len, level)) != {size}:
            raise InvalidTensor(tensor=name, field="data", expected=evenly, given=f"other lengths on axis {axis}")
        level = list(chain.from_iterable(level))
    return level


def _array(name: str, elements: list[Any], dtype: "np.dtype[Any]") -> NDArray[Any]:
    found = set(map(type, elements))
    match dtype.kind:
        case "f":
            _refuse_other(name, elements, found, {float, int}, "numbers")
            if dtype.itemsize == 8:
                return np.array(elements, dtype=dtype)
            # What is too large for FP16 or FP32 becomes infinity here and is refused for that.
            with np.errstate(over="ignore"):
                return np.array(elements, dtype=dtype)
        case "b":
            _refuse_other(name, elements, found, {bool}, "true or false")
            return np.array(elements, dtype=dtype)
    _refuse_other(name, elements, found, {float, int}, "whole numbers")
    if float in found:
        elements = _whole_numbers(name, elements)
    try:
        return np.array(elements, dtype=dtype)
    except OverflowError:
        limits = np.iinfo(dtype)
        expected = f"whole numbers from {limits.min} to {limits.max}"
        worst = next(value for value in elements if not limits.min <= value <= limits.max)
        raise InvalidTensor(tensor=name, field="data", expected=expected, given=shown(worst)) from None


def _refuse_other(name: str, elements: list[Any], found: set[type], allowed: set[type], expected: str) -> None:
    if not found <= allowed:
        index, value = next((i, value) for i, value in enumerate(elements) if type(value) not in allowed)
        raise InvalidTensor(tensor=name, field=f"data[{index}]", expected=expected, given=shown(value))


def _whole_numbers(name: str, elements: list[Any]) -> list[int]:
    """JSON does not tell 2.0 from 2, so neither do we."""
    for value in elements:
        if value != int(value):
            raise InvalidTensor(tensor=name, field="data", expected="whole numbers", given=shown(value))
    return [int(value) for value in elements]


def fitting(tensors: Sequence[TensorSpec]) -> list[str]:
    """The datatypes that all of them take, in the protocol's order."""
    return [name for name in NUMPY_TYPES if all(_fits(name, tensor) for tensor in tensors)]


def _fits(datatype: str, spec: TensorSpec) -> bool:
    """A datatype may be wider or narrower than the signature's, but of a kind that converts without a loss of sense."""
    expected = NUMPY_TYPES.get(spec.datatype)
    return expected is not None and np.can_cast(NUMPY_TYPES[datatype], expected, "same_kind")


def _refuse_narrowing(name: str, datatype: str, spec: TensorSpec) -> None:
    if not _fits(datatype, spec):
        raise InvalidTensor(tensor=name, field="datatype", expected=spec.datatype, given=datatype)


def _listing(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:_SHOWN_NAMES])
    return shown + (f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else "")
