"""Pickled estimators, read through an allow-list.

A pickle is a program. Only bytes whose digest was checked come here, and even those may name nothing but
classes of estimators and the few functions that rebuild arrays and random states: no other code is reached,
whoever wrote the pickle.
"""

import importlib
import io
from pathlib import Path
from typing import Any, Final

import joblib
import numpy as np
from joblib.numpy_pickle import NumpyUnpickler
from numpy.typing import NDArray

from aurora_runtime.store.descriptor import LABEL, PREDICTION, PROBABILITIES, Task
from aurora_runtime.store.errors import UnsafeModel

_PACKAGES_OF_CLASSES: Final = (
    "sklearn._loss",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.metrics._dist_metrics",
    "sklearn.neighbors",
    "sklearn.neural_network",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "sklearn.svm",
    "sklearn.tree",
)
"""Packages whose classes, but not functions, may be named: constructing one stores values and does nothing else."""

_NAMES: Final = frozenset(
    {
        "joblib.numpy_pickle.NumpyArrayWrapper",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.random._mt19937.MT19937",
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
        "sklearn.neighbors._ball_tree.newObj",
        "sklearn.neighbors._kd_tree.newObj",
    }
)


def dump(estimator: Any) -> bytes:
    """The estimator as an uncompressed joblib pickle."""
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    return buffer.getvalue()


def load(data: bytes, *, path: Path) -> Any:
    """The estimator in ``data``, whose digest the caller has checked; ``path`` is named in errors.

    Raises UnsafeModel when the pickle names anything outside the allow-list.
    """
    return _AllowListUnpickler(data, path).load()


class EstimatorEngine:
    """A fitted scikit-learn estimator."""

    def __init__(self, estimator: Any, *, task: Task) -> None:
        self._estimator = estimator
        self._task = task

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """As Engine.predict."""
        if self._task == "regression":
            return {PREDICTION: np.asarray(self._estimator.predict(features), dtype=np.float64)}
        answers = {LABEL: np.asarray(self._estimator.predict(features))}
        if hasattr(self._estimator, "predict_proba"):
            answers[PROBABILITIES] = np.asarray(self._estimator.predict_proba(features), dtype=np.float64)
        return answers


class _AllowListUnpickler(NumpyUnpickler):  # type: ignore[misc]  # joblib has no types
    def __init__(self, data: bytes, path: Path) -> None:
        super().__init__(str(path), io.BytesIO(data), ensure_native_byte_order=True)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        if full_name in _NAMES:
            return getattr(importlib.import_module(module), name)
        if "." not in name and any(
            module == package or module.startswith(package + ".") for package in _PACKAGES_OF_CLASSES
        ):
            found = getattr(importlib.import_module(module), name, None)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise UnsafeModel(path=self._path, name=full_name)
