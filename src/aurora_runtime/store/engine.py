"""What answers a prediction: one method over a matrix of features, whatever the stored format."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from aurora_runtime.store.descriptor import INPUT_TENSOR, LABEL, PREDICTION, PROBABILITIES, Task


class Engine(Protocol):
    """A loaded model. ``predict`` is blocking, safe to call from several threads at once, and changes nothing."""

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Answers for C-contiguous, finite ``features`` of shape (rows, features), columns in the signature's order.

        Keys are the names of the signature's outputs: ``prediction`` float64 (rows,), or ``label`` (rows,) and,
        where the estimator has them, ``probabilities`` float64 (rows, classes).
        """
        ...


class OnnxEngine:
    """A graph whose input and outputs carry the names and types of the signature, run by ONNX Runtime."""

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # The arena keeps the largest request's memory for ever; predictions are small and gain nothing from it.
        options.enable_cpu_mem_arena = False
        source = model if isinstance(model, bytes) else str(model)
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        return dict(zip(self._outputs, self._session.run(None, {INPUT_TENSOR: features}), strict=True))


class EstimatorEngine:
    """A fitted scikit-learn estimator."""

    def __init__(self, estimator: Any, *, task: Task) -> None:
        self._estimator = estimator
        self._task = task

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        if self._task == "regression":
            return {PREDICTION: np.asarray(self._estimator.predict(features), dtype=np.float64)}
        answers = {LABEL: np.asarray(self._estimator.predict(features))}
        if hasattr(self._estimator, "predict_proba"):
            answers[PROBABILITIES] = np.asarray(self._estimator.predict_proba(features), dtype=np.float64)
        return answers
