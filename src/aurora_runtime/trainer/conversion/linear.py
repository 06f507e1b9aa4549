"""Linear models and multi-layer perceptrons: layers of ``X @ W + b``."""

from typing import Any

import numpy as np

from aurora_runtime.trainer.conversion import scores
from aurora_runtime.trainer.conversion.answer import Answer, Choice, Prediction
from aurora_runtime.trainer.conversion.graph import Graph


def linear_regression(graph: Graph, value: str, estimator: Any) -> Answer:
    return Prediction(value=_layer(graph, value, np.atleast_2d(estimator.coef_).T, np.atleast_1d(estimator.intercept_)))


def logistic_regression(graph: Graph, value: str, estimator: Any) -> Answer:
    """Multinomial for more than two classes, as all of scikit-learn's smooth solvers are."""
    decision = _layer(graph, value, estimator.coef_.T, estimator.intercept_)
    return scores.logistic_choice(graph, decision, classes=len(estimator.classes_))


def ridge_classifier(graph: Graph, value: str, estimator: Any) -> Answer:
    decision = _layer(graph, value, np.atleast_2d(estimator.coef_).T, np.atleast_1d(estimator.intercept_))
    two = len(estimator.classes_) == 2
    return Choice(
        index=scores.above_zero(graph, decision) if two else scores.largest(graph, decision), probabilities=None
    )


def mlp_regressor(graph: Graph, value: str, estimator: Any) -> Answer:
    return Prediction(value=_perceptron(graph, value, estimator))


def mlp_classifier(graph: Graph, value: str, estimator: Any) -> Answer:
    return scores.logistic_choice(graph, _perceptron(graph, value, estimator), classes=len(estimator.classes_))


def _perceptron(graph: Graph, value: str, estimator: Any) -> str:
    """Scores before the last activation."""
    last = len(estimator.coefs_) - 1
    for number, (weights, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        value = _layer(graph, value, weights, bias)
        if number != last:
            value = _activation(graph, value, estimator.activation)
    return value


def _activation(graph: Graph, value: str, name: str) -> str:
    match name:
        case "relu":
            return graph.add("Max", value, graph.constant(np.float64(0)))
        case "tanh":
            return graph.add("Tanh", value)
        case "logistic":
            return scores.sigmoid(graph, value)
        case _:
            return value


def _layer(graph: Graph, value: str, weights: Any, bias: Any) -> str:
    product = graph.add("MatMul", value, graph.constant(np.asarray(weights, dtype=np.float64)))
    return graph.add("Add", product, graph.constant(np.asarray(bias, dtype=np.float64)))
