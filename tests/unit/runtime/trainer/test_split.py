import numpy as np
import pytest

from aurora_runtime.contract import DataOptions
from aurora_runtime.trainer.errors import InvalidInput
from aurora_runtime.trainer.split import split_rows
from tests.unit.runtime.trainer.builders import a_dataset


def test_the_fraction_is_held_out_and_no_row_is_lost_or_doubled() -> None:
    dataset = a_dataset(rows=100)
    split = split_rows(dataset, DataOptions(test_fraction=0.25))
    assert split.test_features.shape == (25, 4)
    assert split.train_features.shape == (75, 4)
    together = np.concatenate([split.train_features, split.test_features])
    assert {tuple(row) for row in together} == {tuple(row) for row in dataset.features}


def test_rows_keep_their_target() -> None:
    dataset = a_dataset()
    target_of = {tuple(row): value for row, value in zip(dataset.features, dataset.target, strict=True)}
    split = split_rows(dataset, DataOptions())
    assert [target_of[tuple(row)] for row in split.test_features] == split.test_target.tolist()


def test_the_seed_decides_the_split() -> None:
    dataset = a_dataset()
    one, same, other = (split_rows(dataset, DataOptions(seed=seed)).test_features for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_classes_keep_their_shares() -> None:
    target = np.array([0] * 100 + [1] * 20)
    split = split_rows(a_dataset("classification", target=target), DataOptions(test_fraction=0.2))
    assert np.bincount(split.test_target).tolist() == [20, 4]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_a_fraction_outside_zero_and_one_is_refused(fraction: float) -> None:
    with pytest.raises(InvalidInput, match="testFraction"):
        split_rows(a_dataset(), DataOptions(test_fraction=fraction))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(seed: int) -> None:
    with pytest.raises(InvalidInput, match="seed"):
        split_rows(a_dataset(), DataOptions(seed=seed))


@pytest.mark.parametrize(("rows", "fraction"), [(30, 0.2), (30, 0.8), (4, 0.5)])
def test_too_few_rows_on_either_side_are_refused(rows: int, fraction: float) -> None:
    with pytest.raises(InvalidInput, match="fewer than 8 rows"):
        split_rows(a_dataset(rows=rows), DataOptions(test_fraction=fraction))


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        (np.zeros(120, dtype=int), "one class only"),
        (np.array([0] * 60 + [1] * 59 + [2]), "class 2 .* one row only"),
        (np.repeat(np.arange(60), 2), "24 rows for 60 classes"),
    ],
)
def test_classes_that_cannot_be_split_are_refused(target: np.ndarray, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        split_rows(a_dataset("classification", target=target), DataOptions())
