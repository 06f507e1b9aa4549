"""Nodes lie where a walk finds them in the caches."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aurora_runtime.store.trees.layout import COMPACT, WIDE, Tree, features_of, laid_out

LEFT, RIGHT, FEATURE = ([1, -1, 3, -1, -1], [2, -1, 4, -1, -1], [1, -2, 0, -2, -2])


def a_tree(rows: list[float], values: list[float] = [0, 10, 0, 30, 40], **changes: Any) -> Tree:  # noqa: B006
    """Node 0 asks feature 1, its right child 2 asks feature 0."""
    arrays: dict[str, Any] = {
        "left": np.array(LEFT),
        "right": np.array(RIGHT),
        "feature": np.array(FEATURE),
        "threshold": np.array([0.5, -2, 0.1, -2, -2]),
        "rows": np.array(rows),
        "values": np.array(values, dtype=float)[:, None],
    }
    return Tree(**{**arrays, **changes})


def numbers(nodes: NDArray[Any]) -> list[int | None]:
    """Of each node: the number of its values; None where it is no leaf."""
    node_type = COMPACT if nodes.dtype == COMPACT.dtype else WIDE
    found = []
    for threshold in nodes["threshold"]:
        bits = int(np.array(threshold).view(node_type.bits)) & ((1 << node_type.leaf_bits) - 1)
        found.append(bits if np.isnan(threshold) else None)
    return found


@pytest.mark.parametrize(
    ("rows", "places"),
    [
        pytest.param([9, 8, 1, 1, 0], [None, 0, None, 1, 2], id="left, left"),
        pytest.param([9, 1, 8, 1, 7], [None, None, 2, 1, 0], id="right, right"),
    ],
)
@pytest.mark.parametrize("rounds", [True, False])
def test_the_child_that_most_rows_went_to_lies_beside_its_node(
    rows: list[float], places: list[int | None], rounds: bool
) -> None:
    arrays = laid_out([a_tree(rows)], features=2, rounds=rounds)
    assert arrays.nodes.dtype == (COMPACT if rounds else WIDE).dtype
    assert numbers(arrays.nodes) == places
    assert arrays.values.tolist() == [[10], [30], [40]]
    assert arrays.roots.tolist() == [0]


def test_trees_lie_one_after_the_other_and_share_equal_leaves() -> None:
    first = a_tree([9, 8, 1, 1, 0])
    second = a_tree([9, 8, 1, 1, 0], values=[0, 40, 0, 10, 10], first_target=1)
    arrays = laid_out([first, second], features=2, rounds=True)
    assert arrays.roots.tolist() == [0, 5]
    assert arrays.first_target.tolist() == [0, 1]
    assert numbers(arrays.nodes) == [None, 0, None, 1, 2, None, 2, None, 0, 0]
    assert arrays.values.tolist() == [[10], [30], [40]]
    assert features_of(arrays.nodes).tolist() == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("limit", "value"),
    [("most_features", 1), ("leaf_bits", 1), ("offset_bits", 1)],
)
def test_what_does_not_fit_small_nodes_gets_wide_ones(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    small = COMPACT.__class__(**{**vars(COMPACT), limit: value})
    monkeypatch.setattr("aurora_runtime.store.trees.layout.COMPACT", small)
    nodes = laid_out([a_tree([9, 8, 1, 1, 0])], features=2, rounds=True).nodes
    assert nodes.dtype == WIDE.dtype
    assert nodes["threshold"][0] == 0.5
    assert nodes["threshold"][2] == 0.1


def test_a_small_threshold_is_the_largest_single_that_is_at_most_it() -> None:
    nodes = laid_out([a_tree([9, 8, 1, 1, 0])], features=2, rounds=True).nodes
    threshold = nodes["threshold"][2]
    assert float(threshold) <= 0.1 < float(np.nextafter(threshold, np.float32(1)))


def test_a_lone_leaf_is_a_tree() -> None:
    lone = Tree(
        left=np.array([-1]),
        right=np.array([-1]),
        feature=np.array([-2]),
        threshold=np.array([-2.0]),
        rows=np.array([3.0]),
        values=np.array([[7.0]]),
    )
    arrays = laid_out([lone, lone], features=2, rounds=True)
    assert (numbers(arrays.nodes), arrays.roots.tolist(), arrays.values.tolist()) == ([0, 0], [0, 1], [[7.0]])
