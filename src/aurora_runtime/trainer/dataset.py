"""Sources → X (rows, features) float64 and y (rows,), by name."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets

from aurora_runtime.store.descriptor import Task
from aurora_runtime.store.digest import Digest
from aurora_runtime.trainer import synthetic
from aurora_runtime.trainer.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """All rows of a data set. ``target`` is float64 for regression, int64 class labels for classification."""

    name: str
    task: Task
    feature_names: tuple[str, ...]
    target_name: str
    features: NDArray[np.float64]
    """Shape (rows, features), finite."""
    target: NDArray[Any]
    """Shape (rows,)."""

    @property
    def fingerprint(self) -> Digest:
        """Over names, shapes and all values: the same rows in the same order have the same fingerprint anywhere."""
        sha256 = hashlib.sha256()
        header = [self.task, self.target_name, *self.feature_names, *map(str, self.features.shape)]
        sha256.update("\0".join(header).encode())
        sha256.update(np.ascontiguousarray(self.features, dtype="<f8").tobytes())
        sha256.update(np.ascontiguousarray(self.target, dtype="<f8").tobytes())
        return f"sha256:{sha256.hexdigest()}"


def load_dataset(name: str, *, task: str = "auto") -> Dataset:
    """The rows of a built-in data set.

    Raises InvalidInput for an unknown name, a task that the data set is not made for, or rows that are not finite.
    """
    source = _SOURCES.get(name)
    if source is None:
        raise InvalidInput(f"unknown dataset {name!r}; known: {', '.join(_SOURCES)}")
    if task not in ("auto", source.task):
        raise InvalidInput(f"dataset {name!r} is made for {source.task}, not for {task!r}; set task to auto")
    dataset = source.load(name, source.task)
    check_rows(dataset)
    return dataset


def check_rows(dataset: Dataset) -> None:
    """Raises InvalidInput naming the first column and row with a value that is not finite."""
    bad = np.argwhere(~np.isfinite(dataset.features))
    if len(bad):
        row, column = (int(index) for index in bad[0])
        feature = dataset.feature_names[column]
        raise InvalidInput(f"dataset {dataset.name!r}: {feature!r} is not a finite number in row {row}")
    if dataset.task == "regression" and not np.isfinite(dataset.target).all():
        row = int(np.argmin(np.isfinite(dataset.target)))
        raise InvalidInput(
            f"dataset {dataset.name!r}: target {dataset.target_name!r} is not a finite number in row {row}"
        )


@dataclass(frozen=True, kw_only=True)
class _Source:
    task: Task
    load: Callable[[str, Task], Dataset]


def _synthetic(name: str, task: Task) -> Dataset:
    features, target = synthetic.california_like()
    return Dataset(
        name=name,
        task=task,
        feature_names=synthetic.FEATURES,
        target_name=synthetic.TARGET,
        features=features,
        target=target,
    )


def _bundled(loader: Callable[[], Any]) -> Callable[[str, Task], Dataset]:
    """One of the data sets that scikit-learn carries with it."""

    def load(name: str, task: Task) -> Dataset:
        bunch = loader()
        return Dataset(
            name=name,
            task=task,
            feature_names=tuple(str(feature) for feature in bunch.feature_names),
            target_name="target",
            features=np.ascontiguousarray(bunch.data, dtype=np.float64),
            target=np.asarray(bunch.target, dtype=np.float64 if task == "regression" else np.int64),
        )

    return load


_SOURCES: Final[dict[str, _Source]] = {
    "synthetic": _Source(task="regression", load=_synthetic),
    "california-housing": _Source(task="regression", load=_synthetic),
    "diabetes": _Source(task="regression", load=_bundled(datasets.load_diabetes)),
    "iris": _Source(task="classification", load=_bundled(datasets.load_iris)),
    "wine": _Source(task="classification", load=_bundled(datasets.load_wine)),
    "breast_cancer": _Source(task="classification", load=_bundled(datasets.load_breast_cancer)),
    "digits": _Source(task="classification", load=_bundled(datasets.load_digits)),
}
DATASETS: Final = tuple(_SOURCES)
"""Names of the built-in data sets."""
