import numpy as np
import pytest

from aurora_runtime.store.descriptor import Tolerance
from aurora_runtime.trainer.answers import answers_of, answers_of_engine, compare
from aurora_runtime.trainer.errors import InvalidInput, NotConvertible

TOLERANCE = Tolerance(relative=0.0, absolute=1e-6)


class Constant:
    """Predicts one value."""

    def __init__(self, value: float) -> None:
        self._value = value

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.full(len(features), self._value)


class Doubling:
    """An engine that remembers how many rows it was asked for at once."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict(self, features: np.ndarray) -> dict[str, np.ndarray]:
        self.asked.append(len(features))
        return {"prediction": features[:, 0] * 2}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_answers_that_are_not_finite_are_the_fault_of_the_hyperparameters(value: float) -> None:
    with pytest.raises(InvalidInput, match="prediction is not a finite number"):
        answers_of(Constant(value), "regression", np.zeros((3, 2)))


def test_an_engine_is_asked_in_parts_and_no_row_is_lost() -> None:
    engine = Doubling()
    features = np.arange(600.0).reshape(600, 1)
    np.testing.assert_array_equal(answers_of_engine(engine, features)["prediction"], features[:, 0] * 2)
    assert engine.asked == [256, 256, 88]


def test_equal_answers_are_at_parity() -> None:
    parity = compare({"prediction": np.ones(5)}, {"prediction": np.ones(5) + 4e-7}, TOLERANCE)
    assert parity.rows == 5
    assert parity.max_abs_error == pytest.approx(4e-7)
    assert parity.tolerance == TOLERANCE


def test_one_answer_beyond_the_tolerance_is_too_many() -> None:
    actual = np.ones(1000)
    actual[777] += 2e-6
    with pytest.raises(NotConvertible, match="prediction differs by up to 2e-06"):
        compare({"prediction": np.ones(1000)}, {"prediction": actual}, TOLERANCE)


def test_an_answer_that_is_no_number_is_never_at_parity() -> None:
    with pytest.raises(NotConvertible):
        compare({"prediction": np.ones(2)}, {"prediction": np.array([1.0, np.nan])}, TOLERANCE)


def test_another_label_is_not_at_parity() -> None:
    expected = {"label": np.array([0, 1]), "probabilities": np.array([[0.9, 0.1], [0.2, 0.8]])}
    with pytest.raises(NotConvertible, match="label differs from scikit-learn's in 1 of 2 rows"):
        compare(expected, {**expected, "label": np.array([0, 0])}, TOLERANCE)


def test_a_label_without_probabilities_must_be_the_same() -> None:
    with pytest.raises(NotConvertible):
        compare({"label": np.array([0, 1])}, {"label": np.array([0, 0])}, TOLERANCE)


def test_a_label_that_rounding_decides_may_differ() -> None:
    expected = {"label": np.array([1]), "probabilities": np.array([[0.5, 0.5 + 1e-17, 0.0]])}
    compare(expected, {**expected, "label": np.array([0])}, TOLERANCE)


def test_other_outputs_are_not_at_parity() -> None:
    with pytest.raises(NotConvertible, match="outputs"):
        compare({"label": np.array([1])}, {"prediction": np.array([1.0])}, TOLERANCE)
