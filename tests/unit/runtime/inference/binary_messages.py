"""Requests and responses of the binary tensor extension, as a client makes and reads them."""

from typing import Any

import orjson
from numpy.typing import NDArray

from aurora_runtime.inference.binary import LENGTH_HEADER, MEDIA_TYPE


def binary_tensor(array: NDArray[Any], *, datatype: str, name: str = "input") -> tuple[dict[str, Any], bytes]:
    """A tensor without its data, and its data."""
    data = array.astype(array.dtype.newbyteorder("<")).tobytes()
    parameters = {"binary_data_size": len(data)}
    return {"name": name, "shape": list(array.shape), "datatype": datatype, "parameters": parameters}, data


def binary_body(*tensors: tuple[dict[str, Any], bytes], **fields: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request; a tensor whose data are in its JSON comes with no bytes."""
    header = orjson.dumps({"inputs": [tensor for tensor, _ in tensors], **fields})
    return b"".join((header, *(data for _, data in tensors))), binary_headers(len(header))


def binary_headers(length: int | str) -> dict[str, str]:
    return {"Content-Type": MEDIA_TYPE, LENGTH_HEADER: str(length)}


def read_binary(body: bytes, length: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The JSON of a response, and the bytes of each output that came as bytes. All bytes must belong to one."""
    response = orjson.loads(body[:length])
    tail, found = body[length:], {}
    for output in response["outputs"]:
        if "data" not in output:
            size = output["parameters"]["binary_data_size"]
            found[output["name"]], tail = tail[:size], tail[size:]
    assert tail == b""
    return response, found
