"""A fitted model → the bytes that are stored: an ONNX graph when it answers as the model does, else a pickle."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store import pickled_model
from aurora_runtime.store.descriptor import Format, Parity, Task
from aurora_runtime.store.onnx_engine import OnnxEngine
from aurora_runtime.store.pickled_model import EstimatorEngine
from aurora_runtime.trainer.answers import TOLERANCES, answers_of_engine, compare
from aurora_runtime.trainer.conversion.convert import to_onnx
from aurora_runtime.trainer.errors import NotConvertible
from aurora_runtime.trainer.evaluation import Answers

_FILE_NAMES: Final[dict[Format, str]] = {"onnx": "model.onnx", "joblib": "model.joblib"}


@dataclass(frozen=True, kw_only=True)
class SerializedModel:
    """Bytes of a model that were loaded once and answered as the model itself does."""

    format: Format
    data: bytes
    parity: Parity
    joblib_reason: str | None = None

    @property
    def file_name(self) -> str:
        return _FILE_NAMES[self.format]


def serialize(model: Any, task: Task, features: NDArray[np.float64], expected: Answers) -> SerializedModel:
    """``expected`` are the model's answers for ``features``, (rows, features): rows that it was not fitted on."""
    try:
        data = to_onnx(model)
        parity = compare(expected, answers_of_engine(OnnxEngine(data), features), TOLERANCES[task])
    except NotConvertible as reason:
        return _pickled(model, task, features, expected, reason=str(reason))
    return SerializedModel(format="onnx", data=data, parity=parity)


def _pickled(
    model: Any, task: Task, features: NDArray[np.float64], expected: Answers, *, reason: str
) -> SerializedModel:
    data = pickled_model.dump(model)
    loaded = pickled_model.load(io.BytesIO(data), path=Path(_FILE_NAMES["joblib"]))
    parity = compare(expected, answers_of_engine(EstimatorEngine(loaded, task=task), features), TOLERANCES[task])
    return SerializedModel(format="joblib", data=data, parity=parity, joblib_reason=reason)
