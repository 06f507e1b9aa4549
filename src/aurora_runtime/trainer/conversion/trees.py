"""Decision trees of any estimator as ONNX tree ensembles.

Every tree is read as arrays, never node by node: a forest of two million nodes converts in a second. A large forest
becomes several ensembles, because ONNX Runtime needs ten times an ensemble's memory, and more than linear time, while
it builds one; many rows also share an ensemble's nodes in the caches before the next one takes their place. It lays an
ensemble out in depth first order, a node's false branch beside the node: that is where the branch goes that most
training rows took, because a row's way through a large forest costs what it misses in caches. And it walks faster where
all nodes ask the same kind of question, so what is asked the other way round is asked of the negated feature.

Trees with one value per leaf become a ``TreeEnsemble``, which computes in float64 throughout. A leaf with one
value per class needs ``TreeEnsembleRegressor``: it sums in float64 too, but hands its sums out as float32.
Sources: ONNX, "ai.onnx.ml" operators, TreeEnsemble-5 and TreeEnsembleRegressor-3.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from aurora_runtime.trainer.conversion.graph import Graph

_BRANCH_LEQ: Final = np.uint8(0)
_SUM: Final = 1
_NODES_OF_ENSEMBLE: Final = 260_000
"""Building one takes some 75 MB for a while. Smaller ones are built still faster, but each costs a row 1 to 3 µs."""


@dataclass(frozen=True, kw_only=True)
class Tree:
    """Parallel arrays over the nodes of one tree; node 0 is the root. A row goes left when x <= threshold."""

    left: NDArray[np.int64]
    """-1 at a leaf."""
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    rows: NDArray[np.float64]
    """How many training rows came by, by weight."""
    values: NDArray[np.float64]
    """(nodes, targets); what a leaf adds to each target."""
    first_target: int = 0
    """Where the columns of ``values`` begin among the ensemble's targets."""

    @property
    def is_leaf(self) -> NDArray[np.bool_]:
        return np.asarray(self.left < 0)


def as_float32(graph: Graph, value: str) -> str:
    """Rounded to float32, as scikit-learn's trees round every row before they compare it with float64 thresholds."""
    return graph.cast(graph.cast(value, TensorProto.FLOAT), TensorProto.DOUBLE)


def sum_of_trees(graph: Graph, value: str, trees: list[Tree], *, targets: int) -> str:
    """Sums over all trees, float64 (N, targets). ``value`` is (N, F)."""
    signed = graph.add("Concat", value, graph.add("Neg", value), axis=1)
    laid_out = [_likelier_right(_with_a_branch(tree), features=graph.features) for tree in trees]
    sums = [_sum_of_few(graph, signed, part, targets=targets) for part in _parts(laid_out)]
    return sums[0] if len(sums) == 1 else graph.add("Sum", *sums)


def _parts(trees: list[Tree]) -> list[list[Tree]]:
    """Consecutive trees that make an ensemble each; a tree that is too large for one is alone."""
    parts: list[list[Tree]] = []
    nodes = _NODES_OF_ENSEMBLE
    for tree in trees:
        nodes += len(tree.left)
        if nodes > _NODES_OF_ENSEMBLE:
            parts.append([])
            nodes = len(tree.left)
        parts[-1].append(tree)
    return parts


def _sum_of_few(graph: Graph, value: str, trees: list[Tree], *, targets: int) -> str:
    if all(tree.values.shape[1] == 1 for tree in trees):
        return graph.add_trees("TreeEnsemble", value, **_single_value_attributes(trees, targets))
    sums = graph.add_trees("TreeEnsembleRegressor", value, **_many_values_attributes(trees, targets))
    return graph.cast(sums, TensorProto.DOUBLE)


def _with_a_branch(tree: Tree) -> Tree:
    """A tree that is a lone leaf gets a root whose two branches give the same."""
    if not tree.is_leaf[0]:
        return tree
    return Tree(
        left=np.array([1, -1, -1]),
        right=np.array([2, -1, -1]),
        feature=np.zeros(3, dtype=np.int64),
        threshold=np.zeros(3),
        rows=np.ones(3),
        values=np.repeat(tree.values[:1], 3, axis=0),
        first_target=tree.first_target,
    )


def _likelier_right(tree: Tree, *, features: int) -> Tree:
    """The same answers from rows of (x, -x), ``features`` columns each; most training rows went right at every branch.

    Where they went left, x <= t turns into its opposite: x > t, which is x >= the next number above t.
    """
    turned = ~tree.is_leaf & (tree.rows[tree.left] > tree.rows[tree.right])
    return replace(
        tree,
        left=np.where(turned, tree.right, tree.left),
        right=np.where(turned, tree.left, tree.right),
        feature=np.where(turned, tree.feature + features, tree.feature),
        threshold=np.where(turned, -np.nextafter(tree.threshold, np.inf), tree.threshold),
    )


def _single_value_attributes(trees: list[Tree], targets: int) -> dict[str, Any]:
    """Branches and leaves are numbered apart, through all trees; a child is a number and whether it is a leaf."""
    branches = np.cumsum([0, *(np.count_nonzero(~tree.is_leaf) for tree in trees)])
    leaves = np.cumsum([0, *(np.count_nonzero(tree.is_leaf) for tree in trees)])
    columns: dict[str, list[NDArray[Any]]] = {
        name: [] for name in ("feature", "split", "true", "true_leaf", "false", "false_leaf", "weight", "target")
    }
    for tree, first_branch, first_leaf in zip(trees, branches[:-1], leaves[:-1], strict=True):
        leaf = tree.is_leaf
        branch = ~leaf
        number = np.where(leaf, np.cumsum(leaf) - 1 + first_leaf, np.cumsum(branch) - 1 + first_branch)
        true, false = tree.left[branch], tree.right[branch]
        columns["feature"].append(tree.feature[branch])
        columns["split"].append(tree.threshold[branch])
        columns["true"].append(number[true])
        columns["true_leaf"].append(leaf[true])
        columns["false"].append(number[false])
        columns["false_leaf"].append(leaf[false])
        columns["weight"].append(tree.values[leaf, 0])
        columns["target"].append(np.full(np.count_nonzero(leaf), tree.first_target))
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    return {
        "aggregate_function": _SUM,
        "n_targets": targets,
        "tree_roots": branches[:-1].tolist(),
        "nodes_modes": numpy_helper.from_array(np.full(branches[-1], _BRANCH_LEQ)),
        "nodes_featureids": _ints(joined["feature"]),
        "nodes_splits": _doubles(joined["split"]),
        "nodes_truenodeids": _ints(joined["true"]),
        "nodes_trueleafs": _ints(joined["true_leaf"]),
        "nodes_falsenodeids": _ints(joined["false"]),
        "nodes_falseleafs": _ints(joined["false_leaf"]),
        "leaf_targetids": _ints(joined["target"]),
        "leaf_weights": _doubles(joined["weight"]),
    }


def _many_values_attributes(trees: list[Tree], targets: int) -> dict[str, Any]:
    """Nodes are numbered per tree; weights that are zero are left out, but one per leaf."""
    sizes = [len(tree.left) for tree in trees]
    tree_ids = np.repeat(np.arange(len(trees)), sizes)
    node_ids = np.concatenate([np.arange(size) for size in sizes])
    leaf = np.concatenate([tree.is_leaf for tree in trees])
    values = np.concatenate([tree.values for tree in trees])
    kept = (values != 0) & leaf[:, None]
    kept[:, 0] |= leaf & ~kept.any(axis=1)
    rows, columns = np.nonzero(kept)
    return {
        "aggregate_function": "SUM",
        "n_targets": targets,
        "nodes_treeids": _ints(tree_ids),
        "nodes_nodeids": _ints(node_ids),
        "nodes_modes": np.where(leaf, b"LEAF", b"BRANCH_LEQ").tolist(),
        "nodes_featureids": _ints(np.where(leaf, 0, np.concatenate([tree.feature for tree in trees]))),
        "nodes_values_as_tensor": _doubles(np.where(leaf, 0.0, np.concatenate([tree.threshold for tree in trees]))),
        "nodes_truenodeids": _ints(np.where(leaf, 0, np.concatenate([tree.left for tree in trees]))),
        "nodes_falsenodeids": _ints(np.where(leaf, 0, np.concatenate([tree.right for tree in trees]))),
        "target_treeids": _ints(tree_ids[rows]),
        "target_nodeids": _ints(node_ids[rows]),
        "target_ids": _ints(columns),
        "target_weights_as_tensor": _doubles(values[rows, columns]),
    }


def _ints(values: NDArray[Any]) -> list[int]:
    integers: list[int] = np.asarray(values, dtype=np.int64).tolist()
    return integers


def _doubles(values: NDArray[Any]) -> Any:
    return numpy_helper.from_array(np.ascontiguousarray(values, dtype=np.float64))
