"""A fitted model → the bytes that are stored: trees or a graph that answer as the model does, else a pickle."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store import pickled_model
from aurora_runtime.store.descriptor import Format, Parity, Task
from aurora_runtime.store.engine import Engine
from aurora_runtime.store.onnx_engine import OnnxEngine
from aurora_runtime.store.pickled_model import EstimatorEngine
from aurora_runtime.store.trees.model_file import TreesEngine
from aurora_runtime.trainer.answers import TOLERANCES, answers_of_engine, compare
from aurora_runtime.trainer.conversion.convert import to_onnx
from aurora_runtime.trainer.conversion.trees import is_made_of_trees, to_trees
from aurora_runtime.trainer.errors import NotConvertible
from aurora_runtime.trainer.evaluation import Answers

_FILE_NAMES: Final[dict[Format, str]] = {"trees": "model.npz", "onnx": "model.onnx", "joblib": "model.joblib"}


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
        stored_format, data, engine = _converted(model)
        parity = compare(expected, answers_of_engine(engine, features), TOLERANCES[task])
    except NotConvertible as reason:
        return _pickled(model, task, features, expected, reason=str(reason))
    return SerializedModel(format=stored_format, data=data, parity=parity)


def _converted(model: Any) -> tuple[Format, bytes, Engine]:
    """In a form that executes nothing when it is loaded, and loaded from it. Raises NotConvertible."""
    if is_made_of_trees(model):
        data = to_trees(model).to_bytes()
        return "trees", data, TreesEngine.load(io.BytesIO(data), path=Path(_FILE_NAMES["trees"]))
    data = to_onnx(model)
    return "onnx", data, OnnxEngine(data)


def _pickled(
    model: Any, task: Task, features: NDArray[np.float64], expected: Answers, *, reason: str
) -> SerializedModel:
    data = pickled_model.dump(model)
    loaded = pickled_model.load(io.BytesIO(data), path=Path(_FILE_NAMES["joblib"]))
    parity = compare(expected, answers_of_engine(EstimatorEngine(loaded, task=task), features), TOLERANCES[task])
    return SerializedModel(format="joblib", data=data, parity=parity, joblib_reason=reason)
