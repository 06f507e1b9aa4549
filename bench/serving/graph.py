"""A forest as an ONNX graph, as a converter would write it but for float64 throughout. For the simple server."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper


def forest_graph(forest: Any) -> bytes:
    """A regressor's trees as one TreeEnsemble-5, from ``input`` float64 (rows, features) to the mean (rows, 1)."""
    trees = [fitted.tree_ for fitted in forest.estimators_]
    leaf = [tree.children_left < 0 for tree in trees]
    branches = np.cumsum([0, *(np.count_nonzero(~one) for one in leaf)])
    leaves = np.cumsum([0, *(np.count_nonzero(one) for one in leaf)])
    # Branches and leaves are numbered apart, through all trees.
    number = [
        np.where(one, np.cumsum(one) - 1 + first_leaf, np.cumsum(~one) - 1 + first_branch)
        for one, first_branch, first_leaf in zip(leaf, branches, leaves, strict=False)
    ]

    def of_branches(name: str) -> np.ndarray:
        return np.concatenate([getattr(tree, name)[~one] for tree, one in zip(trees, leaf, strict=True)])

    def of_children(name: str, what: list[np.ndarray]) -> list[int]:
        children = [getattr(tree, name)[~one] for tree, one in zip(trees, leaf, strict=True)]
        return np.concatenate([of[child] for of, child in zip(what, children, strict=True)]).astype(int).tolist()

    weights = [tree.value[one, 0, 0] / len(trees) for tree, one in zip(trees, leaf, strict=True)]
    ensemble = helper.make_node(
        "TreeEnsemble",
        ["rounded"],
        ["prediction"],
        domain="ai.onnx.ml",
        aggregate_function=1,
        n_targets=1,
        tree_roots=branches[:-1].tolist(),
        nodes_modes=numpy_helper.from_array(np.zeros(branches[-1], dtype=np.uint8)),
        nodes_featureids=of_branches("feature").tolist(),
        nodes_splits=numpy_helper.from_array(of_branches("threshold")),
        nodes_truenodeids=of_children("children_left", number),
        nodes_trueleafs=of_children("children_left", leaf),
        nodes_falsenodeids=of_children("children_right", number),
        nodes_falseleafs=of_children("children_right", leaf),
        leaf_targetids=[0] * int(leaves[-1]),
        leaf_weights=numpy_helper.from_array(np.concatenate(weights)),
    )
    nodes = [
        helper.make_node("Cast", ["input"], ["single"], to=TensorProto.FLOAT),  # as scikit-learn rounds rows
        helper.make_node("Cast", ["single"], ["rounded"], to=TensorProto.DOUBLE),
        ensemble,
    ]
    shapes = ("input", [None, forest.n_features_in_]), ("prediction", [None, 1])
    row, mean = (helper.make_tensor_value_info(name, TensorProto.DOUBLE, shape) for name, shape in shapes)
    graph = helper.make_graph(nodes, "forest", [row], [mean])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 5)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())
