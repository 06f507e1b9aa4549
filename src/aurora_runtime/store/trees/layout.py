"""Where the nodes of a forest lie. Pure.

A row's way through a large forest costs what it misses in the caches. So nodes are small, and lie in depth first order,
after each the child that most training rows went to: it is there when it is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray


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
    """(nodes, width): what a leaf adds to as many targets."""
    first_target: int = 0


@dataclass(frozen=True, kw_only=True)
class NodeType:
    """A type of node in walk.c. ``link`` holds the offset in its lowest bits, and above it whether the node is turned.

    A node's other child lies ``offset`` behind it, the likelier one beside it, which is the right one where the node is
    turned. A leaf has an empty link, and a NaN for a threshold, whose lowest bits are the number of its values.
    """

    dtype: "np.dtype[Any]"
    bits: "np.dtype[Any]"
    """An integer as wide as a threshold."""
    leaf_bits: int
    offset_bits: int
    most_features: int

    @property
    def number(self) -> "np.dtype[Any]":
        """Of thresholds, and so of the rows that are compared with them."""
        return self.dtype["threshold"]

    @property
    def not_a_number(self) -> int:
        """The bits of a leaf's threshold, but for its number."""
        return int(np.array(np.nan, dtype=self.number).view(self.bits)) & ~((1 << self.leaf_bits) - 1)


COMPACT: Final = NodeType(
    dtype=np.dtype([("threshold", "<f4"), ("link", "<u4")]),  # the feature is in the link's highest bits
    bits=np.dtype("<u4"),
    leaf_bits=22,
    offset_bits=23,
    most_features=256,
)
WIDE: Final = NodeType(
    dtype=np.dtype([("threshold", "<f8"), ("link", "<u4"), ("feature", "<u4")]),
    bits=np.dtype("<u8"),
    leaf_bits=51,
    offset_bits=31,
    most_features=1 << 32,
)
_FEATURE_SHIFT: Final = np.uint32(24)


@dataclass(frozen=True, kw_only=True)
class Arrays:
    """What a walk reads. All are C-contiguous."""

    nodes: NDArray[Any]
    """Of all trees, of a NodeType."""
    roots: NDArray[np.uint32]
    """Of each tree: the place of its first node."""
    first_target: NDArray[np.uint32]
    """Of each tree: which target its values begin at."""
    values: NDArray[np.float64]
    """(leaves, width); leaves that hold the same share a row."""


def features_of(nodes: NDArray[Any]) -> NDArray[np.uint32]:
    """The column that each node asks; 0 at leaves."""
    features: NDArray[np.uint32] = nodes["feature"] if nodes.dtype == WIDE.dtype else nodes["link"] >> _FEATURE_SHIFT
    return features


def laid_out(trees: Sequence[Tree], *, features: int, rounds: bool) -> Arrays:
    """Of trees of one width. ``rounds`` says that rows are rounded to float32 before they are compared."""
    sizes = np.array([len(tree.left) for tree in trees])
    roots = np.cumsum(sizes) - sizes
    shift = np.repeat(roots, sizes)
    left = np.concatenate([tree.left for tree in trees]) + shift
    right = np.concatenate([tree.right for tree in trees]) + shift
    rows = np.concatenate([tree.rows for tree in trees])
    leaf = np.concatenate([tree.left < 0 for tree in trees])

    turned = ~leaf
    turned[turned] = rows[right[turned]] > rows[left[turned]]
    near, far = np.where(turned, right, left), np.where(turned, left, right)
    place = _places(roots, near, far, ~leaf)
    offset = np.where(leaf, 0, place[far] - place)
    values, number = _distinct(np.concatenate([tree.values[tree.left < 0] for tree in trees]))

    compact = rounds and features <= COMPACT.most_features and len(values) <= 1 << COMPACT.leaf_bits
    node_type = COMPACT if compact and offset.max() < 1 << COMPACT.offset_bits else WIDE
    nodes = np.zeros(len(leaf), dtype=node_type.dtype)
    threshold = np.concatenate([tree.threshold for tree in trees])
    bits = (_at_most(threshold) if node_type is COMPACT else threshold).view(node_type.bits)
    bits[leaf] = np.asarray(number, dtype=node_type.bits) | node_type.bits.type(node_type.not_a_number)
    feature = np.where(leaf, 0, np.concatenate([tree.feature for tree in trees])).astype(np.uint32)
    link = offset.astype(np.uint32) | (turned.astype(np.uint32) << np.uint32(node_type.offset_bits))
    if node_type is COMPACT:
        link |= feature << _FEATURE_SHIFT
    else:
        nodes["feature"][place] = feature
    nodes["threshold"][place] = bits.view(node_type.number)
    nodes["link"][place] = link
    return Arrays(
        nodes=nodes,
        roots=roots.astype(np.uint32),
        first_target=np.array([tree.first_target for tree in trees], dtype=np.uint32),
        values=np.ascontiguousarray(values),
    )


def _places(
    roots: NDArray[np.int64], near: NDArray[np.int64], far: NDArray[np.int64], branch: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Of each node in depth first order, the near child first. A level of all trees at a time."""
    levels = [roots]
    while len(inner := levels[-1][branch[levels[-1]]]):
        levels.append(np.concatenate([near[inner], far[inner]]))
    size = np.ones(len(branch), dtype=np.int64)
    for level in reversed(levels):
        inner = level[branch[level]]
        size[inner] += size[near[inner]] + size[far[inner]]
    place = np.empty(len(branch), dtype=np.int64)
    place[roots] = roots
    for level in levels:
        inner = level[branch[level]]
        place[near[inner]] = place[inner] + 1
        place[far[inner]] = place[inner] + 1 + size[near[inner]]
    return place


def _distinct(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The different rows of values, and for each row which it is. Leaves share them: few fit the caches, all do not."""
    if values.shape[1] == 1:
        distinct, number = np.unique(values[:, 0], return_inverse=True)
        return distinct[:, None], number
    distinct, number = np.unique(values, axis=0, return_inverse=True)
    return distinct, number.reshape(-1)


def _at_most(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is at most the threshold: a float32 is at most either, or neither."""
    rounded = thresholds.astype(np.float32)
    return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)
