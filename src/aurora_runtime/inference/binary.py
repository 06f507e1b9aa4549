"""The binary tensor data extension: numbers as bytes behind the JSON of a message, in the order of its tensors. Pure.

Little-endian, row-major, without padding; a BOOL is one byte, a BYTES element a length of four bytes and its content.
Source: Triton, "Binary Tensor Data Extension", which KServe describes alike.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.inference.errors import InvalidRequest, InvalidTensor, shown

EXTENSION: Final = "binary_tensor_data"
"""As the server's metadata list it."""
LENGTH_HEADER: Final = "Inference-Header-Content-Length"
"""How many bytes of a body are its JSON; 0: there is none, all of the body is the one input."""
MEDIA_TYPE: Final = "application/octet-stream"
SIZE: Final = "binary_data_size"
"""Parameter of a tensor: how many bytes of the body are its data."""
WANTED: Final = "binary_data"
"""Parameter of an output that is asked for: whether it is to come as bytes."""
ALL_WANTED: Final = "binary_data_output"
"""Parameter of a request: the same for all outputs that do not say otherwise."""


def split(body: bytes, length: str) -> tuple[memoryview, memoryview]:
    """JSON and the bytes behind it; ``length`` is the value of the header. Raises InvalidRequest."""
    if not (length.isascii() and length.isdigit()) or len(length) > 18 or int(length) > len(body):
        raise InvalidRequest(
            f"{LENGTH_HEADER}: expected a whole number from 0 to {len(body)}, the length of the body, "
            f"given {shown(length)}"
        )
    view = memoryview(body)
    return view[: int(length)], view[int(length) :]


def attach(inputs: object, tail: memoryview | None) -> None:
    """Gives every tensor that announces bytes its part of ``tail`` as ``data``.

    ``tail`` is None when the request had no LENGTH_HEADER. What else is wrong with the inputs is left to their
    decoding. Raises InvalidRequest and InvalidTensor when the announced sizes are not those of the tail.
    """
    taken = 0
    for tensor in inputs if isinstance(inputs, list) else ():
        parameters = tensor.get("parameters") if isinstance(tensor, dict) else None
        if isinstance(parameters, dict) and SIZE in parameters:
            taken += _attach_one(tensor, parameters[SIZE], tail, taken)
    if tail is not None and taken != len(tail):
        raise InvalidRequest(
            f"body: expected {taken} bytes behind the JSON, the sum of all {SIZE}, given {len(tail)}; "
            f"{LENGTH_HEADER} says where the JSON ends"
        )


def from_bytes(name: str, data: memoryview, shape: list[int], dtype: "np.dtype[Any]") -> NDArray[Any]:
    """A read-only view of ``data``, of that shape; a copy when the bytes begin where compiled code wants no numbers.

    The size must fit. Raises InvalidTensor for a BOOL beside 0 and 1.
    """
    if dtype.kind != "b":
        array = np.frombuffer(data, dtype=dtype.newbyteorder("<")).reshape(shape)
        return array if array.flags.aligned else array.copy()
    numbers = np.frombuffer(data, dtype=np.uint8)
    if numbers.max() > 1:
        index = int(np.argmax(numbers > 1))
        raise InvalidTensor(tensor=name, field=f"data[{index}]", expected="a byte 0 or 1", given=str(numbers[index]))
    return numbers.view(np.bool_).reshape(shape)


def to_bytes(array: NDArray[Any], *, datatype: str) -> bytes:
    """The bytes of a tensor. Of BYTES, the elements are text or what prints as their text."""
    if datatype == "BYTES":
        elements = [str(element).encode() for element in array.reshape(-1).tolist()]
        return b"".join(len(element).to_bytes(4, "little") + element for element in elements)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def boolean(parameters: Mapping[str, Any], name: str, *, where: str) -> bool | None:
    """A parameter that must be true or false; None when it is not given. Raises InvalidRequest."""
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidRequest(f"{where}.{name}: expected true or false, given {shown(value)}")


def _attach_one(tensor: dict[str, Any], size: object, tail: memoryview | None, begin: int) -> int:
    """The number of bytes that became the data of this tensor."""
    name, field = tensor.get("name"), f"parameters.{SIZE}"
    name = name[:100] if isinstance(name, str) else shown(name)
    if tail is None:
        raise InvalidTensor(tensor=name, field=field, expected=f"the header {LENGTH_HEADER} beside it", given="none")
    if type(size) is not int or size < 0:
        raise InvalidTensor(tensor=name, field=field, expected="a number of bytes", given=shown(size))
    if "data" in tensor:
        raise InvalidTensor(tensor=name, field="data", expected=f"none beside {field}", given="both")
    if size > len(tail) - begin:
        left = f"at most {len(tail) - begin}, which is what the body still holds"
        raise InvalidTensor(tensor=name, field=field, expected=left, given=str(size))
    tensor["data"] = tail[begin : begin + size]
    return size
