"""Forests and boosted trees: which trees an estimator is made of, and what it does with their sum."""

from typing import Any

import numpy as np

from aurora_runtime.trainer.conversion import scores
from aurora_runtime.trainer.conversion.answer import Answer, Choice, Prediction
from aurora_runtime.trainer.conversion.graph import Graph
from aurora_runtime.trainer.conversion.trees import Tree, as_float32, sum_of_trees


def forest_regressor(graph: Graph, value: str, estimator: Any) -> Answer:
    share = 1.0 / len(estimator.estimators_)
    trees = [_tree(fitted.tree_, fitted.tree_.value[:, 0, :] * share) for fitted in estimator.estimators_]
    return Prediction(value=sum_of_trees(graph, as_float32(graph, value), trees, targets=1))


def forest_classifier(graph: Graph, value: str, estimator: Any) -> Answer:
    """The mean of the trees' class shares. Two classes need only the second's, and so stay in float64."""
    share = 1.0 / len(estimator.estimators_)
    classes = len(estimator.classes_)
    first = 1 if classes == 2 else 0
    trees = [_tree(fitted.tree_, fitted.tree_.value[:, 0, first:] * share) for fitted in estimator.estimators_]
    shares = sum_of_trees(graph, as_float32(graph, value), trees, targets=classes - first)
    probabilities = scores.two_columns(graph, shares) if classes == 2 else shares
    return Choice(index=scores.largest(graph, probabilities), probabilities=probabilities)


def boosted_regressor(graph: Graph, value: str, estimator: Any) -> Answer:
    return Prediction(value=_boosted_scores(graph, value, estimator))


def boosted_classifier(graph: Graph, value: str, estimator: Any) -> Answer:
    raw = _boosted_scores(graph, value, estimator)
    return scores.logistic_choice(graph, raw, classes=len(estimator.classes_), second_at_zero=True)


def hist_boosted_regressor(graph: Graph, value: str, estimator: Any) -> Answer:
    return Prediction(value=_hist_boosted_scores(graph, value, estimator))


def hist_boosted_classifier(graph: Graph, value: str, estimator: Any) -> Answer:
    return scores.logistic_choice(graph, _hist_boosted_scores(graph, value, estimator), classes=len(estimator.classes_))


def _boosted_scores(graph: Graph, value: str, estimator: Any) -> str:
    """estimators_ is (rounds, targets)."""
    targets = estimator.estimators_.shape[1]
    trees = [
        _tree(fitted.tree_, fitted.tree_.value[:, 0, :] * estimator.learning_rate, first_target=target)
        for of_round in estimator.estimators_
        for target, fitted in enumerate(of_round)
    ]
    any_row = np.zeros((1, estimator.n_features_in_))
    start = estimator._raw_predict_init(any_row)  # noqa: SLF001  the same for every row, and public nowhere
    sums = sum_of_trees(graph, as_float32(graph, value), trees, targets=targets)
    return graph.add("Add", sums, graph.constant(np.asarray(start, dtype=np.float64)))


def _hist_boosted_scores(graph: Graph, value: str, estimator: Any) -> str:
    """Compares float64 rows as they are. Leaves hold the learning rate already."""
    trees = [
        _hist_tree(predictor.nodes, first_target=target)
        for of_round in estimator._predictors  # noqa: SLF001  the trees are public nowhere
        for target, predictor in enumerate(of_round)
    ]
    start = np.asarray(estimator._baseline_prediction, dtype=np.float64)  # noqa: SLF001  as above
    sums = sum_of_trees(graph, value, trees, targets=estimator.n_trees_per_iteration_)
    return graph.add("Add", sums, graph.constant(start.reshape(1, -1)))


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
