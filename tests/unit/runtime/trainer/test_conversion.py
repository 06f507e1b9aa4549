"""A graph answers as scikit-learn does: every algorithm, both tasks, two classes and more."""

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import AdaBoostRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.tree import DecisionTreeRegressor

from aurora_runtime.store.onnx_engine import OnnxEngine
from aurora_runtime.trainer.algorithms import ALGORITHMS
from aurora_runtime.trainer.answers import answers_of
from aurora_runtime.trainer.conversion import neighbors
from aurora_runtime.trainer.conversion.convert import to_onnx
from aurora_runtime.trainer.errors import NotConvertible
from tests.unit.runtime.trainer.builders import a_dataset, a_fitted_model

TREES = {"random_forest", "extra_trees", "gradient_boosting", "hist_gradient_boosting"}  # see test_trees.py
REGRESSORS = [name for name, row in ALGORITHMS.items() if row.regressor and name not in TREES]
CLASSIFIERS = [name for name, row in ALGORITHMS.items() if row.classifier and name not in TREES]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fresh_rows(count: int = 200) -> NDArray[np.float64]:
    return np.random.RandomState(99).normal(size=(count, 4)) * 1.5


def assert_same(model: Any, task: Any, features: NDArray[np.float64]) -> None:
    answers = OnnxEngine(to_onnx(model)).predict(features)
    expected = answers_of(model, task, features)
    assert list(answers) == list(expected)
    for name, values in expected.items():
        assert answers[name].dtype == values.dtype
        np.testing.assert_allclose(answers[name], values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("algorithm", REGRESSORS)
def test_every_regressor_has_a_graph_with_the_same_answers(algorithm: str) -> None:
    model = a_fitted_model(algorithm, a_dataset())
    assert_same(model, "regression", fresh_rows())


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("algorithm", CLASSIFIERS)
def test_every_classifier_has_a_graph_with_the_same_answers(algorithm: str, classes: int) -> None:
    model = a_fitted_model(algorithm, a_dataset("classification", classes=classes))
    assert_same(model, "classification", fresh_rows())


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters"),
    [
        ("svm", {"kernel": "linear"}),
        ("svm", {"kernel": "poly", "degree": 2, "coef0": 1.0}),
        ("svm", {"kernel": "sigmoid", "gamma": 0.1}),
        ("svm", {"kernel": "rbf", "gamma": "auto"}),
        ("mlp", {"activation": "tanh"}),
        ("mlp", {"activation": "logistic"}),
        ("mlp", {"activation": "identity"}),
        ("knn", {"n_neighbors": 1}),
        ("logistic", {"class_weight": "balanced", "fit_intercept": False}),
        ("ridge", {"fit_intercept": False}),
    ],
)
def test_options_that_change_the_formula_are_in_the_graph(algorithm: str, hyperparameters: dict[str, Any]) -> None:
    row = ALGORITHMS[algorithm]
    if row.regressor:
        assert_same(a_fitted_model(algorithm, a_dataset(), **hyperparameters), "regression", fresh_rows())
    if row.classifier:
        model = a_fitted_model(algorithm, a_dataset("classification"), **hyperparameters)
        assert_same(model, "classification", fresh_rows())


@pytest.mark.parametrize("algorithm", ["logistic", "ridge"])
def test_a_tie_of_two_classes_goes_the_same_way(algorithm: str) -> None:
    """Rows that say nothing, and as many of one class as of the other: every score is exactly zero."""
    dataset = a_dataset("classification", features=np.zeros((120, 4)), target=np.arange(120) % 2)
    assert_same(a_fitted_model(algorithm, dataset), "classification", np.zeros((1, 4)))


def test_labels_are_the_classes_and_not_their_indices() -> None:
    dataset = a_dataset("classification")
    model = LogisticRegression().fit(dataset.features, dataset.target * 10 + 7)
    answers = OnnxEngine(to_onnx(model)).predict(fresh_rows())
    assert set(answers["label"]) == {7, 17, 27}


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_any_number_of_rows_is_answered(rows: int) -> None:
    engine = OnnxEngine(to_onnx(a_fitted_model("logistic", a_dataset("classification"))))
    answers = engine.predict(fresh_rows()[:rows])
    assert answers["label"].shape == (rows,)
    assert answers["probabilities"].shape == (rows, 3)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_graph_is_valid_onnx_with_the_names_of_the_signature(task: Any) -> None:
    model = onnx.load_from_string(to_onnx(a_fitted_model("mlp", a_dataset(task))))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["input"]
    outputs = ["prediction"] if task == "regression" else ["label", "probabilities"]
    assert [value.name for value in model.graph.output] == outputs


def test_the_same_model_has_the_same_bytes() -> None:
    first, second = (to_onnx(a_fitted_model("mlp", a_dataset(), seed=3)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (AdaBoostRegressor(n_estimators=2), "AdaBoostRegressor has no graph"),
        (DecisionTreeRegressor(), "DecisionTreeRegressor has no graph"),
        (make_pipeline(MinMaxScaler(), LogisticRegression()), "MinMaxScaler has no graph"),
    ],
)
def test_what_has_no_graph_says_so(model: Any, reason: str) -> None:
    dataset = a_dataset("classification")
    with pytest.raises(NotConvertible, match=reason):
        to_onnx(model.fit(dataset.features, dataset.target))


@pytest.mark.parametrize("option", [{"weights": "distance"}, {"metric": "manhattan"}])
def test_neighbours_by_another_measure_have_no_graph(option: dict[str, Any]) -> None:
    with pytest.raises(NotConvertible, match="euclidean"):
        to_onnx(a_fitted_model("knn", a_dataset(), **option))


def test_neighbours_among_too_many_rows_have_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbors, "MAX_TRAINING_ROWS", 100)
    with pytest.raises(NotConvertible, match="120 training rows"):
        to_onnx(a_fitted_model("knn", a_dataset()))


def test_words_as_labels_have_no_graph() -> None:
    dataset = a_dataset("classification")
    model = LogisticRegression().fit(dataset.features, np.array(["x", "y", "z"])[dataset.target])
    with pytest.raises(NotConvertible, match="labels"):
        to_onnx(model)


def test_a_subclass_is_not_taken_for_what_it_is_derived_from() -> None:
    class Shifted(LogisticRegression):  # type: ignore[misc]
        def predict(self, features: Any) -> Any:
            return super().predict(features) + 1

    dataset = a_dataset("classification")
    with pytest.raises(NotConvertible):
        to_onnx(Shifted().fit(dataset.features, dataset.target))
