"""Writes ONNX graphs: values are names, an operation takes names and gives a name.

Everything is float64, as scikit-learn computes, so that answers agree to the last few bits; ``shape`` comments
use N for rows, F for features, C for classes.
"""

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from aurora_runtime.store.descriptor import INPUT_TENSOR

_OPSET: Final = 18
_IR_VERSION: Final = 9
_TYPES: Final = {"FP64": TensorProto.DOUBLE, "INT64": TensorProto.INT64}


class Graph:
    """A graph under construction, with one input of shape (N, F)."""

    input = INPUT_TENSOR

    def __init__(self, *, features: int) -> None:
        self.features = features
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: NDArray[Any] | float | list[int]) -> str:
        """A value known now. Lists of int are int64, as shapes and axes are."""
        array = np.asarray(value, dtype=np.int64 if isinstance(value, list) else None)
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def add(self, operation: str, *inputs: str, **attributes: Any) -> str:
        """One operation of the standard operators; its only output."""
        output = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, list(inputs), [output], **attributes))
        return output

    def indices_of_smallest(self, values: str, count: int) -> str:
        """Columns of the ``count`` smallest of each row of (N, M) values, int64 (N, count)."""
        names = [f"v{len(self._nodes)}_values", f"v{len(self._nodes)}"]
        inputs = [values, self.constant([count])]
        self._nodes.append(helper.make_node("TopK", inputs, names, axis=1, largest=0, sorted=1))
        return names[1]

    def cast(self, value: str, dtype: int) -> str:
        return self.add("Cast", value, to=dtype)

    def to_bytes(self, outputs: dict[str, tuple[str, str, list[int]]]) -> bytes:
        """The finished model. ``outputs`` maps a name to its value, datatype and shape; -1 stands for N."""
        for name, (value, _, _) in outputs.items():
            self._nodes.append(helper.make_node("Identity", [value], [name]))
        graph = helper.make_graph(
            self._nodes,
            "aurora",
            [helper.make_tensor_value_info(INPUT_TENSOR, TensorProto.DOUBLE, ["N", self.features])],
            [
                helper.make_tensor_value_info(name, _TYPES[datatype], ["N" if size == -1 else size for size in shape])
                for name, (_, datatype, shape) in outputs.items()
            ],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR_VERSION,
            producer_name="aurora",
        )
        return bytes(model.SerializeToString())
