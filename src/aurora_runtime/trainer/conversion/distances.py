"""Distances between the rows of the input and fixed points."""

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.trainer.conversion.graph import Graph


def squared_distances(graph: Graph, value: str, points: NDArray[np.float64]) -> str:
    """Squared Euclidean distances (N, points), as |x|² - 2 x·p + |p|²: one matrix product instead of N subtractions.

    What rounding leaves below zero is zero.
    """
    own = graph.add("ReduceSumSquare", value, graph.constant([1]), keepdims=1)
    theirs = graph.constant(np.square(points).sum(axis=1))
    product = graph.add("MatMul", value, graph.constant(np.ascontiguousarray(-2.0 * points.T)))
    distances = graph.add("Add", graph.add("Add", product, own), theirs)
    return graph.add("Max", distances, graph.constant(np.float64(0)))
