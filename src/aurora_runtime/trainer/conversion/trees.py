"""A fitted tree ensemble → what walks its trees."""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from aurora_runtime.store.trees.estimators import TreeSum, boosted_sum, hist_boosted_sum, mean_of_trees
from aurora_runtime.store.trees.model_file import Link, TreesEngine
from aurora_runtime.trainer.errors import NotConvertible

_KINDS: Final[dict[type[Any], tuple[Callable[[Any], TreeSum | None], Link]]] = {
    RandomForestRegressor: (mean_of_trees, Link.IDENTITY),
    RandomForestClassifier: (mean_of_trees, Link.SHARES),
    ExtraTreesRegressor: (mean_of_trees, Link.IDENTITY),
    ExtraTreesClassifier: (mean_of_trees, Link.SHARES),
    GradientBoostingRegressor: (boosted_sum, Link.IDENTITY),
    GradientBoostingClassifier: (boosted_sum, Link.LOGISTIC_SECOND_AT_ZERO),
    HistGradientBoostingRegressor: (hist_boosted_sum, Link.IDENTITY),
    HistGradientBoostingClassifier: (hist_boosted_sum, Link.LOGISTIC),
}


def is_made_of_trees(model: Any) -> bool:
    """Whether ``to_trees`` knows the estimator. A subclass may compute anything."""
    return type(model) in _KINDS


def to_trees(model: Any) -> TreesEngine:
    """Raises NotConvertible for an option of the estimator, or labels, that have no such form."""
    total_of, link = _KINDS[type(model)]
    total = total_of(model)
    if total is None:
        raise NotConvertible(f"{type(model).__name__} with these options is more than a sum of trees")
    return TreesEngine(total, link=link, classes=None if link is Link.IDENTITY else _labels(model.classes_))


def _labels(classes: NDArray[Any]) -> NDArray[Any]:
    if np.issubdtype(classes.dtype, np.integer):
        return classes.astype(np.int64)
    if classes.dtype.kind == "U":
        return classes
    raise NotConvertible(f"class labels of type {classes.dtype} have no such form")
