"""Pickled estimators, read through an allow-list.

A pickle is a program. Only bytes whose digest was checked come here, and even those may name nothing but
classes of estimators and the few functions that rebuild arrays and random states: no other code is reached,
whoever wrote the pickle. ``joblib.load`` reads these files too. They are plain pickles because the format that
``joblib.dump`` writes unpickles arrays of objects without asking ``find_class``.
"""

import importlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from aurora_runtime.store.descriptor import LABEL, PREDICTION, PROBABILITIES, Task
from aurora_runtime.store.errors import UnsafeModel

_PROTOCOL: Final = 5

_PACKAGES_OF_CLASSES: Final = (
    "sklearn._loss",
    "sklearn.compose",
    "sklearn.dummy",
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
        "builtins.slice",
        "numpy.dtype",
        "numpy.float64",
        "numpy.ndarray",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
        "numpy.random._mt19937.MT19937",
        "numpy.random._pcg64.PCG64",
        "numpy.random._pickle.__bit_generator_ctor",
        "numpy.random._pickle.__generator_ctor",
        "numpy.random._pickle.__randomstate_ctor",
        "numpy.random.bit_generator.SeedSequence",
        "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
        "sklearn.metrics._dist_metrics.newObj",
        "sklearn.neighbors._ball_tree.newObj",
        "sklearn.neighbors._kd_tree.newObj",
    }
)
_REBUILDERS_OF_LOSSES: Final = ("sklearn._loss._loss", "__pyx_unpickle_Cy")
"""Module, and beginning of the names, of functions that Cython makes, one per class of loss."""


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


def dump(estimator: Any) -> bytes:
    """The estimator as a pickle."""
    return pickle.dumps(estimator, protocol=_PROTOCOL)


def load(file: BinaryIO, *, path: Path) -> Any:
    """The estimator in ``file``, whose digest the caller has checked; ``path`` is named in errors.

    Raises UnsafeModel when the pickle names anything outside the allow-list.
    """
    return _AllowListUnpickler(file, path).load()


def use_one_core(model: Any) -> None:
    """For good: several jobs add up trees in any order, and cost a server milliseconds per request."""
    for part in _parts(model):
        if part.get_params(deep=False).get("n_jobs") not in {None, 1}:
            part.set_params(n_jobs=1)


def _parts(model: Any) -> Iterator[Any]:
    """The estimators that a model is made of, fitted when the model is."""
    if isinstance(model, TransformedTargetRegressor):
        yield from _parts(getattr(model, "regressor_", model.regressor))
    elif isinstance(model, Pipeline):
        for _, step in model.steps:
            yield from _parts(step)
    elif isinstance(model, BaseEstimator):  # not a "passthrough"
        yield model


class _AllowListUnpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO, path: Path) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        full_name = f"{module}.{name}"
        loss_module, rebuilder = _REBUILDERS_OF_LOSSES
        if full_name in _NAMES or (module == loss_module and name.startswith(rebuilder)):
            return getattr(importlib.import_module(module), name)
        # Tests hold classes of any kind.
        if ".tests" not in module and _is_listed(module):
            found = getattr(importlib.import_module(module), name, None)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise UnsafeModel(path=self._path, name=full_name)


def _is_listed(module: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in _PACKAGES_OF_CLASSES)
