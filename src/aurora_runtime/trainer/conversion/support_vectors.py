"""Support vector machines: one kernel matrix against all support vectors, then a matrix product.

Source of the layout of dual_coef_ and of the pairwise votes: scikit-learn's user guide, "Support Vector Machines",
and LIBSVM's svm_predict.
"""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from aurora_runtime.trainer.conversion import scores
from aurora_runtime.trainer.conversion.answer import Answer, Choice, Prediction
from aurora_runtime.trainer.conversion.distances import squared_distances
from aurora_runtime.trainer.conversion.graph import Graph


def svr(graph: Graph, value: str, estimator: Any) -> Answer:
    return Prediction(value=_decision(graph, value, estimator, estimator.dual_coef_.T))


def svc(graph: Graph, value: str, estimator: Any) -> Answer:
    """Labels only: the estimator gives no probabilities."""
    if len(estimator.classes_) == 2:
        decision = _decision(graph, value, estimator, estimator.dual_coef_.T)
        return Choice(index=scores.above_zero(graph, decision), probabilities=None)
    decision = _decision(graph, value, estimator, _pairwise_coefficients(estimator))
    first_wins = graph.cast(graph.add("Greater", decision, graph.constant(np.float64(0))), TensorProto.DOUBLE)
    for_first, for_second = _votes(len(estimator.classes_))
    # Each pair gives one vote: to its first class when the decision is positive, else to its second.
    swing = graph.add("MatMul", first_wins, graph.constant(for_first - for_second))
    votes = graph.add("Add", swing, graph.constant(for_second.sum(axis=0)))
    return Choice(index=scores.largest(graph, votes), probabilities=None)


def _decision(graph: Graph, value: str, estimator: Any, coefficients: NDArray[np.float64]) -> str:
    """(N, columns of ``coefficients``)."""
    kernel = _kernel(graph, value, estimator)
    product = graph.add("MatMul", kernel, graph.constant(np.ascontiguousarray(coefficients)))
    return graph.add("Add", product, graph.constant(np.asarray(estimator.intercept_)))


def _kernel(graph: Graph, value: str, estimator: Any) -> str:
    """(N, support vectors)."""
    # gamma="scale" was turned into a number during fit.
    gamma = np.float64(estimator._gamma)  # noqa: SLF001  public only as the word
    vectors = np.asarray(estimator.support_vectors_)
    if estimator.kernel == "rbf":
        return graph.add("Exp", graph.add("Mul", squared_distances(graph, value, vectors), graph.constant(-gamma)))
    product = graph.add("MatMul", value, graph.constant(np.ascontiguousarray(vectors.T)))
    if estimator.kernel == "linear":
        return product
    scaled = graph.add("Mul", product, graph.constant(gamma))
    shifted = graph.add("Add", scaled, graph.constant(np.float64(estimator.coef0)))
    if estimator.kernel == "sigmoid":
        return graph.add("Tanh", shifted)
    return graph.add("Pow", shifted, graph.constant(np.float64(estimator.degree)))


def _pairwise_coefficients(estimator: Any) -> NDArray[np.float64]:
    """dual_coef_ (C - 1, vectors) as one column per pair of classes: (vectors, C (C - 1) / 2)."""
    ends = np.cumsum(estimator.n_support_)
    members = [slice(end - count, end) for end, count in zip(ends, estimator.n_support_, strict=True)]
    columns = []
    for first, second in combinations(range(len(members)), 2):
        column = np.zeros(estimator.dual_coef_.shape[1])
        column[members[first]] = estimator.dual_coef_[second - 1, members[first]]
        column[members[second]] = estimator.dual_coef_[first, members[second]]
        columns.append(column)
    return np.column_stack(columns)


def _votes(classes: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Per pair, the class that is voted for by a positive decision, and by any other: (pairs, C) of 0 and 1."""
    pairs = np.array(list(combinations(range(classes), 2)))
    identity = np.eye(classes)
    return identity[pairs[:, 0]], identity[pairs[:, 1]]
