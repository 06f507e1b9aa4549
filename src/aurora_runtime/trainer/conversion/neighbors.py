"""Nearest neighbours by comparison with every training row."""

from typing import Any, Final

import numpy as np

from aurora_runtime.trainer.conversion import scores
from aurora_runtime.trainer.conversion.answer import Answer, Choice, Prediction
from aurora_runtime.trainer.conversion.distances import squared_distances
from aurora_runtime.trainer.conversion.graph import Graph
from aurora_runtime.trainer.errors import NotConvertible

MAX_TRAINING_ROWS: Final = 50_000
"""Beyond it scikit-learn's search tree answers a row sooner than a scan."""


def knn_regressor(graph: Graph, value: str, estimator: Any) -> Answer:
    targets = graph.constant(np.asarray(_targets(estimator), dtype=np.float64))
    chosen = graph.add("Gather", targets, _neighbors(graph, value, estimator), axis=0)
    return Prediction(value=graph.add("ReduceMean", chosen, graph.constant([1]), keepdims=1))


def knn_classifier(graph: Graph, value: str, estimator: Any) -> Answer:
    """Probabilities are the neighbours' shares; of equal shares the first class is chosen."""
    classes = len(estimator.classes_)
    one_hot = graph.constant(np.eye(classes)[np.asarray(_targets(estimator))])
    chosen = graph.add("Gather", one_hot, _neighbors(graph, value, estimator), axis=0)
    shares = graph.add("ReduceMean", chosen, graph.constant([1]), keepdims=0)
    return Choice(index=scores.largest(graph, shares), probabilities=shares)


def _neighbors(graph: Graph, value: str, estimator: Any) -> str:
    """Indices of the training rows, int64 (N, neighbours)."""
    points = np.asarray(estimator._fit_X)  # noqa: SLF001  scikit-learn keeps the training rows nowhere else
    if estimator.weights != "uniform" or estimator.effective_metric_ != "euclidean":
        raise NotConvertible("only uniform weights and the euclidean metric have a graph")
    if len(points) > MAX_TRAINING_ROWS:
        raise NotConvertible(f"a scan of {len(points)} training rows is slower than scikit-learn's search tree")
    return graph.indices_of_smallest(squared_distances(graph, value, points), estimator.n_neighbors)


def _targets(estimator: Any) -> Any:
    return estimator._y  # noqa: SLF001  as above
