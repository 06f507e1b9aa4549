"""Trees answer as scikit-learn does: every estimator, both tasks, two classes and more, at the thresholds too."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression

from aurora_runtime.store.trees.layout import COMPACT, WIDE
from aurora_runtime.store.trees.model_file import TreesEngine
from aurora_runtime.trainer.answers import answers_of
from aurora_runtime.trainer.conversion.trees import is_made_of_trees, to_trees
from aurora_runtime.trainer.errors import NotConvertible
from tests.unit.runtime.trainer.builders import a_dataset, a_fitted_model

TREES = ["random_forest", "extra_trees", "gradient_boosting", "hist_gradient_boosting"]
FORESTS = ["random_forest", "extra_trees"]


def stored(model: Any) -> TreesEngine:
    return TreesEngine.load(io.BytesIO(to_trees(model).to_bytes()), path=Path("model.npz"))


def fresh_rows(count: int = 700) -> NDArray[np.float64]:
    return np.random.RandomState(99).normal(size=(count, 4)) * 1.5


def assert_same(model: Any, task: Any, features: NDArray[np.float64], *, absolute: float = 0.0) -> None:
    """To the bit, unless the exponential function of another library is asked."""
    answers, expected = stored(model).predict(features), answers_of(model, task, features)
    assert list(answers) == list(expected)
    for name, values in expected.items():
        assert answers[name].dtype == values.dtype
        np.testing.assert_allclose(answers[name], values, rtol=absolute, atol=absolute)


@pytest.mark.parametrize("algorithm", TREES)
def test_every_regressor_has_the_same_bits(algorithm: str) -> None:
    assert_same(a_fitted_model(algorithm, a_dataset()), "regression", fresh_rows())


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("algorithm", TREES)
def test_every_classifier_has_the_same_answers(algorithm: str, classes: int) -> None:
    model = a_fitted_model(algorithm, a_dataset("classification", classes=classes))
    absolute = 1e-15 if "boosting" in algorithm else 0.0
    assert_same(model, "classification", fresh_rows(), absolute=absolute)


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters"),
    [
        ("random_forest", {"max_depth": 1}),
        ("random_forest", {"min_samples_leaf": 100}),
        ("random_forest", {"max_leaf_nodes": 9}),
        ("random_forest", {"n_estimators": 1}),
        ("hist_gradient_boosting", {"max_depth": 2}),
        ("gradient_boosting", {"subsample": 0.5}),
        ("gradient_boosting", {"n_estimators": 150, "max_depth": 6}),
    ],
)
def test_options_that_change_the_trees_are_kept(algorithm: str, hyperparameters: dict[str, Any]) -> None:
    assert_same(a_fitted_model(algorithm, a_dataset(), **hyperparameters), "regression", fresh_rows())
    model = a_fitted_model(algorithm, a_dataset("classification"), **hyperparameters)
    assert_same(model, "classification", fresh_rows(), absolute=1e-14)


@pytest.mark.parametrize("rows", [0, 1, 3, 16, 17, 511, 512, 513, 1100])
@pytest.mark.parametrize("algorithm", FORESTS)
def test_any_number_of_rows_is_answered(algorithm: str, rows: int) -> None:
    """Several hundred walks are added up together, whatever rows and trees they are of."""
    model = a_fitted_model(algorithm, a_dataset("classification"), n_estimators=40)
    answers = stored(model).predict(fresh_rows(1100)[:rows])
    assert answers["label"].shape == (rows,)
    assert answers["probabilities"].shape == (rows, 3)
    if rows:
        assert (answers["probabilities"] == model.predict_proba(fresh_rows(1100)[:rows])).all()


def rows_around(thresholds: NDArray[np.float64], features: NDArray[np.int64], base: NDArray[np.float64]) -> Any:
    """Rows that sit on a threshold, and one float64 or one float32 step to either side of it."""
    rows = []
    for threshold, feature in zip(thresholds, features, strict=True):
        single = np.float32(threshold)
        above, below = (np.float64(np.nextafter(single, np.float32(end))) for end in (np.inf, -np.inf))
        steps = (np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf), np.float64(single), below, above)
        for value in (threshold, *steps, (np.float64(single) + above) / 2):
            row = base.copy()
            row[feature] = value
            rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize("algorithm", FORESTS)
def test_a_row_on_the_edge_of_a_threshold_goes_the_same_way(algorithm: str) -> None:
    """scikit-learn rounds rows to float32 and compares them with float64 thresholds."""
    model = a_fitted_model(algorithm, a_dataset(), min_samples_leaf=1)
    for tree in (estimator.tree_ for estimator in model.estimators_[:3]):
        inner = tree.feature >= 0
        rows = rows_around(tree.threshold[inner], tree.feature[inner], a_dataset().features[3])
        assert_same(model, "regression", rows)


def test_a_row_on_the_edge_of_a_boosted_threshold_goes_the_same_way() -> None:
    """Histogram boosting compares float64 with float64."""
    dataset = a_dataset()
    model = HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=2).fit(dataset.features, dataset.target)
    for (predictor,) in model._predictors[:3]:
        inner = predictor.nodes[predictor.nodes["is_leaf"] == 0]
        rows = rows_around(inner["num_threshold"], inner["feature_idx"].astype(int), dataset.features[3])
        assert_same(model, "regression", rows)


def test_trees_over_more_columns_than_fit_a_small_node_answer_the_same() -> None:
    """A small node has eight bits for its feature."""
    random = np.random.RandomState(3)
    for columns, node_type in ((256, COMPACT), (257, WIDE)):
        features = random.normal(size=(60, columns))
        dataset = a_dataset(features=features, target=features[:, -1] + features[:, 0])
        model = a_fitted_model("random_forest", dataset, min_samples_leaf=1)
        assert to_trees(model)._total.forest.arrays.nodes.dtype == node_type.dtype
        for tree in (estimator.tree_ for estimator in model.estimators_[:3]):
            inner = tree.feature >= 0
            assert_same(model, "regression", rows_around(tree.threshold[inner], tree.feature[inner], features[3]))


@pytest.mark.parametrize("algorithm", TREES)
def test_a_tie_of_two_classes_goes_the_same_way(algorithm: str) -> None:
    """Rows that say nothing, and as many of one class as of the other: every score is exactly zero."""
    dataset = a_dataset("classification", features=np.zeros((120, 4)), target=np.arange(120) % 2)
    options = {"bootstrap": False} if algorithm in FORESTS else {}
    assert_same(a_fitted_model(algorithm, dataset, **options), "classification", np.zeros((1, 4)))


@pytest.mark.parametrize("classes", [np.array([7, 17, 27], dtype=np.int32), np.array(["x", "y", "z"])])
def test_labels_are_the_classes_and_not_their_indices(classes: NDArray[Any]) -> None:
    dataset = a_dataset("classification")
    model = RandomForestClassifier(5).fit(dataset.features, classes[dataset.target])
    labels = stored(model).predict(fresh_rows())["label"]
    assert (labels == model.predict(fresh_rows())).all()
    assert labels.dtype == (np.int64 if classes.dtype.kind == "i" else classes.dtype)


def test_the_same_model_has_the_same_bytes() -> None:
    first, second = (to_trees(a_fitted_model("random_forest", a_dataset(), seed=3)).to_bytes() for _ in range(2))
    assert first == second


def test_what_is_more_than_a_sum_of_trees_says_so() -> None:
    dataset = a_dataset()
    model = GradientBoostingRegressor(n_estimators=2, init=LinearRegression()).fit(dataset.features, dataset.target)
    with pytest.raises(NotConvertible, match="more than a sum of trees"):
        to_trees(model)


def test_labels_that_are_objects_say_so() -> None:
    dataset = a_dataset("classification")
    model = RandomForestClassifier(2).fit(dataset.features, np.array(["x", "y", "z"], dtype=object)[dataset.target])
    with pytest.raises(NotConvertible, match="labels of type object"):
        to_trees(model)


def test_a_subclass_is_not_taken_for_what_it_is_derived_from() -> None:
    class Shifted(RandomForestClassifier):  # type: ignore[misc]
        pass

    assert not is_made_of_trees(Shifted())
