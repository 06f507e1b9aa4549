"""The trees of an estimator: a sum of what their leaves hold."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store.trees import native
from aurora_runtime.store.trees.layout import COMPACT, WIDE, Arrays, NodeType, Tree, features_of, laid_out


class Forest:
    """Trees over rows of ``features`` columns, which add to ``targets`` sums."""

    def __init__(self, arrays: Arrays, *, features: int, targets: int, rounds: bool) -> None:
        """``rounds`` says that rows are rounded to float32 before they are compared.

        Raises ValueError for arrays that a walk would leave, or not come back from.
        """
        self.arrays = arrays
        self.features = features
        self.targets = targets
        self.rounds = rounds
        self._number = _checked(arrays, features=features, targets=targets).number
        self._walk = native.Walk(arrays, features=features, targets=targets)

    @classmethod
    def of(cls, trees: Sequence[Tree], *, features: int, targets: int, rounds: bool) -> Self:
        """Trees of scikit-learn, of one width."""
        arrays = laid_out(trees, features=features, rounds=rounds)
        return cls(arrays, features=features, targets=targets, rounds=rounds)

    def sums(self, rows: NDArray[Any], start: NDArray[np.float64]) -> NDArray[np.float64]:
        """``start``, (targets,), and what the trees add to it, one after the other: (rows, targets).

        Raises ValueError for rows of another width.
        """
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ValueError(f"rows: expected shape [rows, {self.features}], given {list(rows.shape)}")
        if self.rounds:
            rows = rows.astype(np.float32, copy=False)
        sums = np.empty((len(rows), self.targets))
        sums[:] = start
        self._walk.add(np.ascontiguousarray(rows, dtype=self._number), sums)
        return sums


def _checked(arrays: Arrays, *, features: int, targets: int) -> NodeType:
    """Raises ValueError naming the array, unless every walk ends at a leaf, inside of all arrays."""
    nodes, roots, first_target, values = arrays.nodes, arrays.roots, arrays.first_target, arrays.values
    node_type = {COMPACT.dtype: COMPACT, WIDE.dtype: WIDE}.get(nodes.dtype)
    if node_type is None or nodes.ndim != 1 or not len(nodes) or not nodes.flags.c_contiguous:
        raise ValueError(
            f"nodes: expected a list of {COMPACT.dtype} or {WIDE.dtype}, given {nodes.dtype} {nodes.shape}"
        )
    _require(values, "values", np.dtype(np.float64), ndim=2)
    _require(roots, "roots", np.dtype(np.uint32), ndim=1)
    _require(first_target, "first_target", np.dtype(np.uint32), ndim=1)
    if len(first_target) != len(roots):
        raise ValueError(f"first_target: expected one for each of {len(roots)} trees, given {len(first_target)}")
    if not np.isfinite(values).all():
        raise ValueError("values: expected finite numbers")
    if not len(roots) or int(roots.max()) >= len(nodes):
        raise ValueError("roots: expected places among the nodes")
    if int(first_target.max()) + values.shape[1] > targets:
        raise ValueError(f"first_target: expected values within {targets} targets")

    offset = nodes["link"] & np.uint32((1 << node_type.offset_bits) - 1)
    leaf = offset == 0
    bits = np.ascontiguousarray(nodes["threshold"]).view(node_type.bits)
    if (nodes["link"][leaf] != 0).any() or not np.isnan(nodes["threshold"][leaf]).all():
        raise ValueError("nodes: expected a leaf to ask nothing")
    if int((bits[leaf] & node_type.bits.type((1 << node_type.leaf_bits) - 1)).max(initial=0)) >= len(values):
        raise ValueError("nodes: expected leaves to be numbers of values")
    if int(features_of(nodes).max()) >= features:
        raise ValueError(f"nodes: expected questions about {features} features")
    # Each step goes forward and none beyond the last node, so every walk ends, and where it ends is a leaf. The node
    # beside a branch is never behind the one that its offset leads to.
    if int((np.arange(len(nodes)) + offset).max()) >= len(nodes):
        raise ValueError("nodes: expected children among the nodes")
    return node_type


def _require(array: NDArray[Any], name: str, dtype: "np.dtype[Any]", *, ndim: int) -> None:
    if array.dtype != dtype or array.ndim != ndim or not array.flags.c_contiguous or not array.size:
        raise ValueError(f"{name}: expected {dtype} of {ndim} dimensions, given {array.dtype} {array.shape}")
