"""Rows to train on and rows held out."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from aurora_runtime.contract import DataOptions
from aurora_runtime.trainer.dataset import Dataset
from aurora_runtime.trainer.errors import InvalidInput

MIN_HELD_OUT_ROWS: Final = 8
"""Fewer neither score a model nor give it golden rows."""
MAX_SEED: Final = 2**32 - 1


@dataclass(frozen=True, kw_only=True)
class Split:
    """(rows, features) float64 and (rows,) of both parts."""

    train_features: NDArray[np.float64]
    train_target: NDArray[Any]
    test_features: NDArray[np.float64]
    test_target: NDArray[Any]


def split_rows(dataset: Dataset, options: DataOptions) -> Split:
    """The same split for the same seed; classes keep their shares. Raises InvalidInput when there are too few rows."""
    _check(dataset, options)
    train_features, test_features, train_target, test_target = train_test_split(
        dataset.features,
        dataset.target,
        test_size=options.test_fraction,
        random_state=options.seed,
        stratify=dataset.target if dataset.task == "classification" else None,
    )
    return Split(
        train_features=np.ascontiguousarray(train_features),
        train_target=train_target,
        test_features=np.ascontiguousarray(test_features),
        test_target=test_target,
    )


def _check(dataset: Dataset, options: DataOptions) -> None:
    rows = len(dataset.target)
    if not 0 < options.test_fraction < 1:
        raise InvalidInput(f"data.testFraction {options.test_fraction} is not between 0 and 1")
    if not 0 <= options.seed <= MAX_SEED:
        raise InvalidInput(f"data.seed {options.seed} is not between 0 and {MAX_SEED}")
    held_out = int(rows * options.test_fraction)
    if held_out < MIN_HELD_OUT_ROWS or rows - held_out < MIN_HELD_OUT_ROWS:
        raise InvalidInput(
            f"data.testFraction {options.test_fraction} of the {rows} rows of {dataset.name!r} leaves fewer than "
            f"{MIN_HELD_OUT_ROWS} rows to train on or to hold out"
        )
    if dataset.task == "classification":
        _check_classes(dataset, min(held_out, rows - held_out))


def _check_classes(dataset: Dataset, smaller_part: int) -> None:
    classes, counts = np.unique(dataset.target, return_counts=True)
    if len(classes) < 2:
        raise InvalidInput(f"target {dataset.target_name!r} of {dataset.name!r} has one class only")
    if counts.min() < 2:
        rare = classes[int(np.argmin(counts))]
        raise InvalidInput(f"class {rare} of target {dataset.target_name!r} has one row only; at least 2 are needed")
    if smaller_part < len(classes):
        raise InvalidInput(
            f"data.testFraction leaves {smaller_part} rows for {len(classes)} classes; at least one each is needed"
        )
