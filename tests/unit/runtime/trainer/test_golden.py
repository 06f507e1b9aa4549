import numpy as np
import pytest

from aurora_runtime.store.descriptor import Task
from aurora_runtime.trainer.answers import answers_of
from aurora_runtime.trainer.conversion.trees import to_trees
from aurora_runtime.trainer.golden import GOLDEN_ROWS, golden_rows
from tests.unit.runtime.trainer.builders import a_dataset, a_fitted_model


@pytest.mark.parametrize(("task", "output"), [("regression", "prediction"), ("classification", "label")])
def test_golden_rows_are_held_out_rows_with_the_answers_of_the_model(task: Task, output: str) -> None:
    dataset = a_dataset(task)
    model = a_fitted_model("random_forest", dataset)
    golden = golden_rows(model, task, dataset.features, answers_of(model, task, dataset.features))
    rows = np.array(golden.inputs)
    assert rows.shape == (GOLDEN_ROWS, 4)
    assert {tuple(row) for row in rows} <= {tuple(row) for row in dataset.features}
    assert len({tuple(row) for row in rows}) == GOLDEN_ROWS
    np.testing.assert_array_equal(golden.expected[output], model.predict(rows))


def test_a_stored_model_reproduces_them_within_their_tolerance() -> None:
    dataset = a_dataset("classification")
    model = a_fitted_model("extra_trees", dataset)
    golden = golden_rows(
        model, "classification", dataset.features, answers_of(model, "classification", dataset.features)
    )
    answers = to_trees(model).predict(np.array(golden.inputs))
    for name, expected in golden.expected.items():
        tolerance = golden.tolerance
        np.testing.assert_allclose(answers[name], expected, rtol=tolerance.relative, atol=tolerance.absolute)


def test_golden_rows_reach_over_all_classes() -> None:
    dataset = a_dataset("classification", rows=200, classes=5)
    model = a_fitted_model("random_forest", dataset)
    golden = golden_rows(
        model, "classification", dataset.features, answers_of(model, "classification", dataset.features)
    )
    assert set(golden.expected["label"]) == {0, 1, 2, 3, 4}


class Step:
    """Jumps at zero."""

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(features[:, 0] > 1.0, 5.0, 1.0) + features[:, 1])


def test_rows_that_the_last_bits_decide_are_left_out() -> None:
    features = np.random.RandomState(0).normal(size=(100, 2))
    features[::2, 0] = 1.0
    golden = golden_rows(Step(), "regression", features, answers_of(Step(), "regression", features))
    assert len(golden.inputs) == GOLDEN_ROWS
    assert all(row[0] != 1.0 for row in golden.inputs)


def test_where_few_rows_are_steady_the_others_make_up_the_number() -> None:
    features = np.random.RandomState(0).normal(size=(30, 2))
    features[:27, 0] = 1.0
    golden = golden_rows(Step(), "regression", features, answers_of(Step(), "regression", features))
    assert len(golden.inputs) == GOLDEN_ROWS
    assert sum(row[0] != 1.0 for row in golden.inputs) == 3


def test_as_few_held_out_rows_as_are_allowed_are_all_golden() -> None:
    features = np.random.RandomState(0).normal(size=(8, 2))
    golden = golden_rows(Step(), "regression", features, answers_of(Step(), "regression", features))
    assert len(golden.inputs) == 8
