"""A model that computes otherwise than it did at training never serves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aurora_runtime.inference.errors import GoldenRowsDiffer
from aurora_runtime.inference.model import LoadedModel, first_difference
from aurora_runtime.store.descriptor import Tolerance
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import MODEL, a_regressor, load, publish

TOLERANCE = Tolerance(relative=1e-3, absolute=0.0)


class FixedEngine:
    """Answers the same whatever it is asked."""

    def __init__(self, **answers: list[Any]) -> None:
        self._answers = answers

    def predict(self, features: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        return {name: np.array(values) for name, values in self._answers.items()}


def test_a_model_that_answers_otherwise_is_refused_with_row_and_values(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path / "store")
    publish(store, a_regressor(), falsified_by=0.5)
    with pytest.raises(GoldenRowsDiffer, match=r"golden row 0: output 'prediction' was .* and is"):
        load(store, MODEL, tmp_path / "local")


@pytest.mark.parametrize("answers", [{}, {"prediction": []}, {"prediction": [1.0]}, {"other": [1.0] * 5}])
def test_an_output_that_is_missing_or_short_is_refused(model: LoadedModel, answers: dict[str, Any]) -> None:
    with pytest.raises(GoldenRowsDiffer):
        replace(model, engine=FixedEngine(**answers)).replay_golden_rows()


@pytest.mark.parametrize(
    ("expected", "actual", "row"),
    [
        pytest.param([1.0, 2.0], [1.0, 2.0], None, id="equal"),
        pytest.param([1.0, 1000.0], [1.0, 1000.9], None, id="within the tolerance"),
        pytest.param([1.0, 1000.0], [1.0, 1001.1], 1, id="outside the tolerance"),
        pytest.param([1.0, 2.0], [float("nan"), 2.0], 0, id="not a number"),
        pytest.param([[0.5, 0.5], [0.1, 0.9]], [[0.5, 0.5], [0.2, 0.8]], 1, id="a row of probabilities"),
        pytest.param([0, 1, 2], [0, 1, 3], 2, id="another class"),
        pytest.param(["cat", "dog"], ["cat", "cat"], 1, id="another label"),
        pytest.param(["cat", "dog"], ["cat", "dog"], None, id="the same labels"),
        pytest.param([1.0], [1.0, 2.0], 0, id="another number of rows"),
    ],
)
def test_the_first_row_outside_the_tolerance_is_found(expected: list[Any], actual: list[Any], row: int | None) -> None:
    assert first_difference(np.array(expected), np.array(actual), TOLERANCE) == row
