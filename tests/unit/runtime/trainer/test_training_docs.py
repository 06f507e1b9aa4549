"""docs/training.md lists what the code has."""

import re
from pathlib import Path

import pytest

from aurora_runtime.contract import EXIT_CODES
from aurora_runtime.trainer.algorithms import ALGORITHMS
from aurora_runtime.trainer.dataset import DATASETS

TEXT = (Path(__file__).parents[4] / "docs" / "training.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| `")]


def row_of(name: str) -> str:
    """The row of a table that begins with ``name``, alone or among others."""
    return next(row for row in ROWS if f"`{name}`" in row.split("|")[1])


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_is_documented_with_exactly_its_hyperparameters(name: str) -> None:
    estimators = [found for found in (ALGORITHMS[name].regressor, ALGORITHMS[name].classifier) if found]
    expected = {field for estimator in estimators for field in estimator.hyperparameters.model_fields}
    listed = re.findall(r"(?:^ |, |: )`(\w+)`", row_of(name).split("|")[2])
    assert set(listed) == expected


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_documented(name: str) -> None:
    assert row_of(name)


@pytest.mark.parametrize("outcome", EXIT_CODES)
def test_every_outcome_is_documented_with_its_exit_code(outcome: str) -> None:
    assert row_of(outcome).split("|")[2].strip() == str(int(EXIT_CODES[outcome]))  # type: ignore[index]
