"""Fitted scikit-learn estimators → the trees that they are made of.

Whoever adds up the same numbers in the same order gets the same bits. The caller knows the exact type of an estimator:
a subclass may compute anything. Nothing here imports scikit-learn, which whoever holds an estimator has done.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store.trees.forest import Forest
from aurora_runtime.store.trees.layout import Tree


@dataclass(frozen=True, kw_only=True)
class TreeSum:
    """What trees add to a start, divided by how many there are where the mean is meant."""

    forest: Forest
    start: NDArray[np.float64]
    """(targets,)"""
    divisor: float = 1.0

    def __call__(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """(rows, targets) of finite ``rows`` (rows, features)."""
        sums = self.forest.sums(rows, self.start)
        if self.divisor != 1:
            sums /= self.divisor
        return sums


def mean_of_trees(forest: Any) -> TreeSum | None:
    """Of a random forest or extra trees: the target, or a share for each class. None with several outputs."""
    if forest.n_outputs_ != 1:
        return None
    trees = [_tree(fitted.tree_, fitted.tree_.value[:, 0, :]) for fitted in forest.estimators_]
    targets = trees[0].values.shape[1]
    return TreeSum(
        forest=Forest.of(trees, features=forest.n_features_in_, targets=targets, rounds=True),
        start=np.zeros(targets),
        divisor=len(trees),
    )


def boosted_sum(boosted: Any) -> TreeSum | None:
    """Raw scores of gradient boosting, one, or one for each class. None where the start differs by row."""
    if boosted.init not in {None, "zero"}:
        return None
    trees = [
        _tree(fitted.tree_, fitted.tree_.value[:, 0, :] * boosted.learning_rate, first_target=target)
        for of_round in boosted.estimators_
        for target, fitted in enumerate(of_round)
    ]
    any_row = np.zeros((1, boosted.n_features_in_), dtype=np.float32)
    start = np.asarray(boosted._raw_predict_init(any_row), dtype=np.float64)  # noqa: SLF001  public nowhere
    targets = boosted.estimators_.shape[1]
    return TreeSum(
        forest=Forest.of(trees, features=boosted.n_features_in_, targets=targets, rounds=True), start=start.reshape(-1)
    )


def hist_boosted_sum(boosted: Any) -> TreeSum | None:
    """Raw scores of histogram boosting, which compares float64 rows as they are. None with categories."""
    if boosted.is_categorical_ is not None:
        return None
    trees = [
        _hist_tree(predictor.nodes, first_target=target)
        for of_round in boosted._predictors  # noqa: SLF001  the trees are public nowhere
        for target, predictor in enumerate(of_round)
    ]
    targets = boosted.n_trees_per_iteration_
    start = np.asarray(boosted._baseline_prediction, dtype=np.float64)  # noqa: SLF001  as above
    return TreeSum(
        forest=Forest.of(trees, features=boosted.n_features_in_, targets=targets, rounds=False), start=start.reshape(-1)
    )


def _tree(tree: Any, values: Any, *, first_target: int = 0) -> Tree:
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        feature=tree.feature,
        threshold=tree.threshold,
        rows=tree.weighted_n_node_samples,
        values=values,
        first_target=first_target,
    )


def _hist_tree(nodes: Any, *, first_target: int) -> Tree:
    """Leaves hold the learning rate already."""
    leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"],
        rows=nodes["count"].astype(np.float64),
        values=nodes["value"][:, None],
        first_target=first_target,
    )
