from dataclasses import replace

import numpy as np
import pytest

from aurora_runtime.trainer.dataset import DATASETS, check_rows, load_dataset
from aurora_runtime.trainer.errors import InvalidInput
from tests.unit.runtime.trainer.builders import a_dataset


@pytest.mark.parametrize(
    ("name", "task", "shape"),
    [
        ("synthetic", "regression", (20640, 8)),
        ("california-housing", "regression", (20640, 8)),
        ("diabetes", "regression", (442, 10)),
        ("iris", "classification", (150, 4)),
        ("wine", "classification", (178, 13)),
        ("breast_cancer", "classification", (569, 30)),
        ("digits", "classification", (1797, 64)),
    ],
)
def test_every_built_in_data_set_loads_as_one_matrix(name: str, task: str, shape: tuple[int, int]) -> None:
    dataset = load_dataset(name)
    assert dataset.task == task
    assert dataset.features.shape == shape
    assert dataset.features.dtype == np.float64
    assert dataset.target.shape == shape[:1]
    assert dataset.target.dtype == (np.float64 if task == "regression" else np.int64)
    assert len(set(dataset.feature_names)) == shape[1]


def test_california_housing_is_another_name_of_synthetic() -> None:
    assert load_dataset("california-housing").fingerprint == load_dataset("synthetic").fingerprint


def test_an_unknown_data_set_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="unknown dataset 'boston'; known: synthetic, ") as refusal:
        load_dataset("boston")
    assert all(name in str(refusal.value) for name in DATASETS)


@pytest.mark.parametrize(
    ("name", "task"), [("iris", "regression"), ("diabetes", "classification"), ("iris", "ranking")]
)
def test_a_task_that_the_data_set_is_not_made_for_is_refused_with_a_remedy(name: str, task: str) -> None:
    with pytest.raises(InvalidInput, match="set task to auto"):
        load_dataset(name, task=task)


def test_the_task_may_be_named() -> None:
    assert load_dataset("iris", task="classification").task == "classification"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_refused_with_its_place(value: float) -> None:
    dataset = a_dataset()
    dataset.features[17, 2] = value
    with pytest.raises(InvalidInput, match="'c' is not a finite number in row 17"):
        check_rows(dataset)


def test_rows_are_checked_whatever_they_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = a_dataset()
    broken.features[0, 0] = np.nan
    monkeypatch.setattr("aurora_runtime.trainer.synthetic.california_like", lambda: (broken.features, broken.target))
    with pytest.raises(InvalidInput, match="'MedInc' is not a finite number in row 0"):
        load_dataset("synthetic")


def test_a_target_that_is_not_finite_is_refused_with_its_place() -> None:
    dataset = a_dataset()
    dataset.target[5] = np.nan
    with pytest.raises(InvalidInput, match="target 'y' is not a finite number in row 5"):
        check_rows(dataset)


def test_the_fingerprint_tells_any_change_of_the_rows() -> None:
    dataset = a_dataset()
    other = a_dataset()
    other.features[0, 0] += 1e-12
    fingerprints = {
        dataset.fingerprint,
        other.fingerprint,
        replace(dataset, target=dataset.target[::-1]).fingerprint,
        replace(dataset, feature_names=("b", "a", "c", "d")).fingerprint,
        replace(dataset, target_name="z").fingerprint,
        replace(dataset, features=dataset.features.reshape(60, 8)).fingerprint,
    }
    assert len(fingerprints) == 6
    assert a_dataset().fingerprint == dataset.fingerprint
