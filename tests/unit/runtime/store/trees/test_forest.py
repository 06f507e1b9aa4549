"""A forest whose arrays would lead a walk astray is refused; every other one is walked to its leaves."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier, RandomForestRegressor

from aurora_runtime.store.trees.estimators import hist_boosted_sum, mean_of_trees
from aurora_runtime.store.trees.forest import Forest

COLUMNS = 3
RANDOM = np.random.default_rng(4)
ROWS, TARGET = RANDOM.normal(size=(80, COLUMNS)), RANDOM.normal(size=80)


def small() -> Forest:
    total = mean_of_trees(RandomForestRegressor(4, random_state=0).fit(ROWS, TARGET))
    assert total is not None
    return total.forest


def wide() -> Forest:
    total = hist_boosted_sum(HistGradientBoostingRegressor(max_iter=4, min_samples_leaf=3).fit(ROWS, TARGET))
    assert total is not None
    return total.forest


def rebuilt(forest: Forest, *, features: int = COLUMNS, **changes: Any) -> Forest:
    return Forest(replace(forest.arrays, **changes), features=features, targets=1, rounds=forest.rounds)


def altered(forest: Forest, name: str, change: Callable[[NDArray[Any]], None]) -> Forest:
    array = getattr(forest.arrays, name).copy()
    change(array)
    return rebuilt(forest, **{name: array})


def link_of(place: int, value: int) -> Callable[[NDArray[Any]], None]:
    def change(nodes: NDArray[Any]) -> None:
        nodes["link"][place] = value

    return change


def first_value(value: float) -> Callable[[NDArray[Any]], None]:
    def change(array: NDArray[Any]) -> None:
        array.flat[0] = value

    return change


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        pytest.param("nodes", link_of(0, 0x7FFFFF), "children among the nodes", id="a child behind the last node"),
        pytest.param("nodes", link_of(-1, 1), "children among the nodes", id="the last node is no leaf"),
        pytest.param("nodes", link_of(0, 0), "a leaf to ask nothing", id="a leaf with a threshold"),
        pytest.param(
            "nodes", link_of(0, 7 << 24 | 1), "questions about 3 features", id="a feature that rows do not have"
        ),
        pytest.param("roots", first_value(1 << 30), "roots", id="a root behind the last node"),
        pytest.param("first_target", first_value(1), "within 1 targets", id="a target behind the last"),
        pytest.param("values", first_value(np.nan), "finite", id="a leaf that holds no number"),
    ],
)
def test_arrays_that_lead_astray_are_refused(name: str, change: Callable[[NDArray[Any]], None], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        altered(small(), name, change)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        pytest.param({"nodes": np.zeros(3)}, "nodes: expected a list", id="nodes of another type"),
        pytest.param({"roots": np.zeros(4, dtype=np.int64)}, "roots: expected uint32", id="roots of another type"),
        pytest.param({"roots": np.zeros(0, dtype=np.uint32)}, "roots: expected uint32", id="no tree"),
        pytest.param(
            {"first_target": np.zeros(1, dtype=np.uint32)}, "for each of 4 trees", id="a tree without a target"
        ),
        pytest.param({"values": np.zeros((1, 1))}, "numbers of values", id="a leaf without values"),
        pytest.param({"values": np.zeros(9)}, "values: expected float64", id="values of another shape"),
        pytest.param({"features": 1}, "questions about 1 features", id="fewer features"),
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        rebuilt(small(), **changes)


@pytest.mark.parametrize("forest", [small(), wide()], ids=["small", "wide"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_bytes_nodes_have_they_are_refused_or_walked(forest: Forest, data: st.DataObject) -> None:
    def change(nodes: NDArray[Any]) -> None:
        raw = nodes.view(np.uint8)
        for _ in range(data.draw(st.integers(1, 6))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))

    try:
        other = altered(forest, "nodes", change)
    except ValueError:
        return
    assert np.isfinite(other.sums(ROWS, np.zeros(1))).all()


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected shape \[rows, 3\], given \[80, 2\]"):
        small().sums(ROWS[:, :2], np.zeros(1))


def test_rows_need_not_be_contiguous() -> None:
    rows = np.asfortranarray(ROWS)
    assert (small().sums(rows, np.zeros(1)) == small().sums(ROWS, np.zeros(1))).all()


def test_several_threads_may_walk_at_once() -> None:
    total = mean_of_trees(RandomForestClassifier(20, random_state=0).fit(ROWS, (TARGET > 0) * 1))
    assert total is not None
    expected = total(ROWS)
    with ThreadPoolExecutor(4) as pool:
        assert all((found == expected).all() for found in pool.map(total, [ROWS] * 40))
