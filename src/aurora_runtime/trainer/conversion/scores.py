"""From the scores of a classifier to its choice, with scikit-learn's rules for ties."""

import numpy as np
from onnx import TensorProto

from aurora_runtime.trainer.conversion.answer import Choice
from aurora_runtime.trainer.conversion.graph import Graph


def largest(graph: Graph, scores: str) -> str:
    """Index of the largest of (N, C) scores, the first of equals."""
    return graph.add("ArgMax", scores, axis=1, keepdims=0)


def above_zero(graph: Graph, scores: str) -> str:
    """1 where the (N, 1) score of the second of two classes is positive, else 0."""
    positive = graph.add("Greater", scores, graph.constant(np.float64(0)))
    return graph.add("Reshape", graph.cast(positive, TensorProto.INT64), graph.constant([-1]))


def two_columns(graph: Graph, second: str) -> str:
    """(N, 2) probabilities from the (N, 1) probability of the second class."""
    first = graph.add("Sub", graph.constant(np.float64(1)), second)
    return graph.add("Concat", first, second, axis=1)


def logistic_choice(graph: Graph, scores: str, *, classes: int) -> Choice:
    """Sigmoid over one score per row for two classes, softmax over one per class for more."""
    if classes == 2:
        probabilities = two_columns(graph, sigmoid(graph, scores))
        return Choice(index=above_zero(graph, scores), probabilities=probabilities)
    return Choice(index=largest(graph, scores), probabilities=graph.add("Softmax", scores, axis=1))


def sigmoid(graph: Graph, scores: str) -> str:
    """1 / (1 + exp(-x)): the operator of that name is approximate in some runtimes."""
    one = graph.constant(np.float64(1))
    return graph.add("Div", one, graph.add("Add", one, graph.add("Exp", graph.add("Neg", scores))))
