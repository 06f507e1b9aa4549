"""ONNX graphs, answered by ONNX Runtime. A graph is data: loading one executes nothing that it brings along."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store.descriptor import INPUT_TENSOR

# Its packages keep an identifier of the machine and send usage data to their maker, unless they are told before they
# are loaded: the switch in their API comes too late for the first event.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime


class OnnxEngine:
    """A graph whose input and outputs carry the names and types of the signature."""

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # its warnings are not JSON and nothing can be done about them
        # The arena would keep the memory of the largest request for ever, and small requests gain nothing from it.
        options.enable_cpu_mem_arena = False
        source = model if isinstance(model, bytes) else str(model)
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """As Engine.predict."""
        return dict(zip(self._outputs, self._session.run(None, {INPUT_TENSOR: features}), strict=True))
