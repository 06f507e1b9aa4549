"""A graph answers as scikit-learn does: every algorithm, both tasks, two classes and more, at the thresholds too."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import (
    AdaBoostRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.tree import DecisionTreeRegressor

from aurora_runtime.store.onnx_engine import OnnxEngine
from aurora_runtime.trainer.algorithms import ALGORITHMS
from aurora_runtime.trainer.answers import answers_of
from aurora_runtime.trainer.conversion import neighbors, trees
from aurora_runtime.trainer.conversion.convert import to_onnx
from aurora_runtime.trainer.errors import NotConvertible
from tests.unit.runtime.trainer.builders import a_dataset, a_fitted_model

REGRESSORS = [name for name, row in ALGORITHMS.items() if row.regressor]
CLASSIFIERS = [name for name, row in ALGORITHMS.items() if row.classifier]
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def fresh_rows(count: int = 200) -> NDArray[np.float64]:
    return np.random.RandomState(99).normal(size=(count, 4)) * 1.5


def assert_same(model: Any, task: Any, features: NDArray[np.float64], *, absolute: float = 1e-12) -> None:
    answers = OnnxEngine(to_onnx(model)).predict(features)
    expected = answers_of(model, task, features)
    assert list(answers) == list(expected)
    for name, values in expected.items():
        assert answers[name].dtype == values.dtype
        np.testing.assert_allclose(answers[name], values, rtol=1e-12, atol=absolute)


@pytest.mark.parametrize("algorithm", REGRESSORS)
def test_every_regressor_has_a_graph_with_the_same_answers(algorithm: str) -> None:
    model = a_fitted_model(algorithm, a_dataset())
    assert_same(model, "regression", fresh_rows())


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("algorithm", CLASSIFIERS)
def test_every_classifier_has_a_graph_with_the_same_answers(algorithm: str, classes: int) -> None:
    model = a_fitted_model(algorithm, a_dataset("classification", classes=classes))
    # The class shares of a forest pass through float32 when there are more than two.
    absolute = 1e-7 if classes > 2 and "boosting" not in algorithm else 1e-12
    assert_same(model, "classification", fresh_rows(), absolute=absolute)


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
        ("random_forest", {"max_depth": 1}),
        ("random_forest", {"min_samples_leaf": 100}),
        ("hist_gradient_boosting", {"max_depth": 2}),
        ("gradient_boosting", {"subsample": 0.5}),
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
        assert_same(model, "classification", fresh_rows(), absolute=1e-7)


TREES = ["random_forest", "extra_trees", "gradient_boosting", "hist_gradient_boosting"]


@pytest.mark.parametrize("algorithm", TREES)
@pytest.mark.parametrize("nodes", [1, 100])
def test_trees_of_several_ensembles_add_up_to_the_same_answers(
    algorithm: str, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "_NODES_OF_ENSEMBLE", nodes)
    assert_same(a_fitted_model(algorithm, a_dataset()), "regression", fresh_rows())
    for classes in (2, 5):
        model = a_fitted_model(algorithm, a_dataset("classification", classes=classes))
        absolute = 1e-7 if classes > 2 and "boosting" not in algorithm else 1e-12
        assert_same(model, "classification", fresh_rows(), absolute=absolute)


def test_no_ensemble_is_larger_than_it_must_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_NODES_OF_ENSEMBLE", 100)
    model = a_fitted_model("random_forest", a_dataset(), n_estimators=20, max_leaf_nodes=16, min_samples_leaf=1)
    assert {fitted.tree_.node_count for fitted in model.estimators_} == {31}
    graph = onnx.load_from_string(to_onnx(model))
    roots = [
        len(attribute.ints)
        for function in graph.functions
        for attribute in function.node[0].attribute
        if attribute.name == "tree_roots"
    ]
    assert roots == [3] * 6 + [2]


@pytest.mark.parametrize(
    ("target", "column", "split"),
    [
        pytest.param([0, 0, 0, 1], 1, -np.nextafter(2.5, 3), id="most go left: of the negated feature"),
        pytest.param([0, 1, 1, 1], 0, 0.5, id="most go right"),
    ],
)
def test_most_training_rows_take_the_branch_that_lies_beside_its_node(
    target: list[int], column: int, split: float
) -> None:
    """ONNX Runtime puts a node's false branch there, and is faster where every node asks x <= split."""
    model = RandomForestRegressor(1, bootstrap=False).fit(np.arange(4.0)[:, None], target)
    (function,) = onnx.load_from_string(to_onnx(model)).functions
    attributes = {attribute.name: attribute for attribute in function.node[0].attribute}
    assert list(attributes["nodes_featureids"].ints) == [column]
    assert onnx.numpy_helper.to_array(attributes["nodes_splits"].t).tolist() == [split]
    assert onnx.numpy_helper.to_array(attributes["nodes_modes"].t).tolist() == [0]


_MEMORY_OF_A_SESSION = """
import sys
from pathlib import Path
from aurora_runtime.store.memory import return_freed_memory
from aurora_runtime.store.onnx_engine import OnnxEngine

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

first = OnnxEngine(Path(sys.argv[1]))
return_freed_memory()
before = resident_bytes()
engine = OnnxEngine(Path(sys.argv[2]))
return_freed_memory()
print(resident_bytes() - before)
"""


@pytest.mark.parametrize("classes", [None, 3])
def test_a_session_holds_each_node_of_a_forest_once(classes: int | None, tmp_path: Path) -> None:
    """ONNX Runtime's own nodes have 32 bytes; the graph's beside them would be as much again."""
    random = np.random.RandomState(0)
    features = random.normal(size=(10_000, 4))
    target = random.normal(size=10_000) if classes is None else random.randint(classes, size=10_000)
    forest = (RandomForestRegressor if classes is None else RandomForestClassifier)(10, random_state=0)
    forest.fit(features, target)
    nodes = sum(fitted.tree_.node_count for fitted in forest.estimators_)
    small = RandomForestRegressor(1).fit(features[:10], random.normal(size=10))
    for name, model in {"small": small, "large": forest}.items():
        (tmp_path / name).write_bytes(to_onnx(model))
    command = [sys.executable, "-c", _MEMORY_OF_A_SESSION, str(tmp_path / "small"), str(tmp_path / "large")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(printed) / nodes < 60


def rows_around(thresholds: NDArray[np.float64], features: NDArray[np.int64], base: NDArray[np.float64]) -> Any:
    """Rows that sit on a threshold, and one float64 or one float32 step to either side of it."""
    rows = []
    for threshold, feature in zip(thresholds, features, strict=True):
        single = np.float32(threshold)
        for value in (
            threshold,
            np.nextafter(threshold, -np.inf),
            np.nextafter(threshold, np.inf),
            np.float64(single),
            np.float64(np.nextafter(single, np.float32(-np.inf))),
            np.float64(np.nextafter(single, np.float32(np.inf))),
            (np.float64(single) + np.float64(np.nextafter(single, np.float32(np.inf)))) / 2,
        ):
            row = base.copy()
            row[feature] = value
            rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("algorithm", ["random_forest", "extra_trees"])
def test_a_row_on_the_edge_of_a_threshold_goes_the_same_way(algorithm: str) -> None:
    """scikit-learn rounds rows to float32 and compares them with float64 thresholds; so must the graph."""
    model = a_fitted_model(algorithm, a_dataset(), min_samples_leaf=1)
    base = a_dataset().features[3]
    for tree in (estimator.tree_ for estimator in model.estimators_[:3]):
        inner = tree.feature >= 0
        rows = rows_around(tree.threshold[inner], tree.feature[inner], base)
        assert_same(model, "regression", rows)


def test_a_row_on_the_edge_of_a_boosted_threshold_goes_the_same_way() -> None:
    """Histogram boosting compares float64 with float64."""
    dataset = a_dataset()
    model = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=2).fit(dataset.features, dataset.target)
    for (predictor,) in model._predictors[:3]:
        inner = predictor.nodes[predictor.nodes["is_leaf"] == 0]
        rows = rows_around(inner["num_threshold"], inner["feature_idx"].astype(int), dataset.features[3])
        assert_same(model, "regression", rows)


@pytest.mark.parametrize(
    "algorithm", ["logistic", "ridge", "gradient_boosting", "hist_gradient_boosting", "random_forest"]
)
def test_a_tie_of_two_classes_goes_the_same_way(algorithm: str) -> None:
    """Rows that say nothing, and as many of one class as of the other: every score is exactly zero."""
    dataset = a_dataset("classification", features=np.zeros((120, 4)), target=np.arange(120) % 2)
    options = {"bootstrap": False} if algorithm == "random_forest" else {}
    assert_same(a_fitted_model(algorithm, dataset, **options), "classification", np.zeros((1, 4)))


def test_labels_are_the_classes_and_not_their_indices() -> None:
    dataset = a_dataset("classification")
    model = LogisticRegression().fit(dataset.features, dataset.target * 10 + 7)
    answers = OnnxEngine(to_onnx(model)).predict(fresh_rows())
    assert set(answers["label"]) == {7, 17, 27}


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_any_number_of_rows_is_answered(rows: int) -> None:
    engine = OnnxEngine(to_onnx(a_fitted_model("random_forest", a_dataset("classification"))))
    answers = engine.predict(fresh_rows()[:rows])
    assert answers["label"].shape == (rows,)
    assert answers["probabilities"].shape == (rows, 3)


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_a_graph_is_valid_onnx_with_the_names_of_the_signature(task: Any) -> None:
    model = onnx.load_from_string(to_onnx(a_fitted_model("gradient_boosting", a_dataset(task))))
    onnx.checker.check_model(model, full_check=True)
    assert [value.name for value in model.graph.input] == ["input"]
    outputs = ["prediction"] if task == "regression" else ["label", "probabilities"]
    assert [value.name for value in model.graph.output] == outputs


def test_the_same_model_has_the_same_bytes() -> None:
    first, second = (to_onnx(a_fitted_model("random_forest", a_dataset(), seed=3)) for _ in range(2))
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
    model = RandomForestClassifier(2).fit(dataset.features, np.array(["x", "y", "z"])[dataset.target])
    with pytest.raises(NotConvertible, match="labels"):
        to_onnx(model)


def test_a_subclass_is_not_taken_for_what_it_is_derived_from() -> None:
    class Shifted(LogisticRegression):  # type: ignore[misc]
        def predict(self, features: Any) -> Any:
            return super().predict(features) + 1

    dataset = a_dataset("classification")
    with pytest.raises(NotConvertible):
        to_onnx(Shifted().fit(dataset.features, dataset.target))
