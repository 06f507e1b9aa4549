"""Shortcuts give the bits that scikit-learn gives."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from structlog.testing import capture_logs

from aurora_runtime.store import direct_engine
from aurora_runtime.store.descriptor import PREDICTION, Task
from aurora_runtime.store.direct_engine import DirectEngine, engine_of, same_bits
from aurora_runtime.store.pickled_model import EstimatorEngine, use_one_core
from aurora_runtime.store.shortcuts import shortcut_of

COLUMNS = 4


def columns_of(encoder: OneHotEncoder, **options: Any) -> ColumnTransformer:
    """In another order than they come, one of them twice."""
    return ColumnTransformer([("coded", encoder, [3]), ("scaled", StandardScaler(), [2, 0, 2])], **options)


CASES = {
    "tree": DecisionTreeRegressor(random_state=0),
    "tree, classes": DecisionTreeClassifier(random_state=0),
    "forest": RandomForestRegressor(n_estimators=7, random_state=0, n_jobs=2),
    "forest, classes": RandomForestClassifier(n_estimators=7, random_state=0),
    "extra trees": ExtraTreesRegressor(n_estimators=7, random_state=0),
    "extra trees, classes": ExtraTreesClassifier(n_estimators=7, random_state=0),
    "boosted": GradientBoostingRegressor(n_estimators=5, random_state=0),
    "boosted, from zero": GradientBoostingRegressor(n_estimators=5, random_state=0, init="zero"),
    "boosted, classes": GradientBoostingClassifier(n_estimators=5, random_state=0),
    "hist": HistGradientBoostingRegressor(max_iter=5),
    "hist, counts": HistGradientBoostingRegressor(max_iter=5, loss="poisson"),
    "hist, classes": HistGradientBoostingClassifier(max_iter=5),
    "linear": make_pipeline(StandardScaler(), LinearRegression()),
    "linear, no intercept": LinearRegression(fit_intercept=False),
    "ridge": make_pipeline(StandardScaler(with_mean=False), Ridge()),
    "ridge, classes": make_pipeline(StandardScaler(with_std=False), RidgeClassifier()),
    "logistic": make_pipeline(StandardScaler(), "passthrough", LogisticRegression()),
    "target": TransformedTargetRegressor(make_pipeline(StandardScaler(), Ridge()), transformer=StandardScaler()),
    "columns": make_pipeline(
        ColumnTransformer([("scaled", StandardScaler(), [0, 1, 2]), ("coded", OneHotEncoder(), [3])]), Ridge()
    ),
    "columns, sparse": make_pipeline(columns_of(OneHotEncoder(), sparse_threshold=1.0), Ridge()),
    "columns, dense": make_pipeline(columns_of(OneHotEncoder(sparse_output=False)), LinearRegression()),
    "columns, unknown": make_pipeline(columns_of(OneHotEncoder(handle_unknown="ignore")), Ridge()),
    "columns, sparse, classes": make_pipeline(columns_of(OneHotEncoder(), sparse_threshold=1.0), LogisticRegression()),
    "columns, trees": make_pipeline(columns_of(OneHotEncoder()), RandomForestRegressor(n_estimators=3, random_state=0)),
}


def training_rows() -> NDArray[np.float64]:
    random = np.random.default_rng(5)
    return np.column_stack([random.normal(size=(120, COLUMNS - 1)), random.integers(0, 3, size=120)])


@cache
def fitted(name: str, classes: int) -> Any:
    """Classifiers tell 2 or 3 classes apart, or words; ``poisson`` wants no negative target."""
    estimator, rows = CASES[name], training_rows()
    target = np.abs(rows @ np.array([1.0, -2.0, 0.5, 0.1]))
    if is_classifier(estimator):
        target = np.digitize(target, np.quantile(target, np.arange(1, classes) / classes))
        if classes == 3:
            target = np.array(["low", "middle", "high"])[target]
    estimator.fit(rows, target)
    use_one_core(estimator)  # with more, scikit-learn itself gives other bits from call to call
    return estimator


def task_of(estimator: Any) -> Task:
    return "classification" if is_classifier(estimator) else "regression"


def rows_of_any_size() -> st.SearchStrategy[NDArray[np.float64]]:
    numbers = arrays(np.float64, st.tuples(st.integers(1, 9), st.just(COLUMNS - 1)), elements=st.floats(-1e30, 1e30))
    return numbers.map(lambda rows: np.column_stack([rows, np.arange(len(rows)) % 3]))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", CASES)
@settings(max_examples=10, deadline=None)
@given(rows=rows_of_any_size())
def test_a_shortcut_gives_the_bits_of_predict(name: str, classes: int, rows: NDArray[np.float64]) -> None:
    estimator = fitted(name, classes)
    shortcut = shortcut_of(estimator)
    assert shortcut is not None
    plain = EstimatorEngine(estimator, task=task_of(estimator))
    assert same_bits(DirectEngine(plain, shortcut).predict(rows), plain.predict(rows))


@pytest.mark.parametrize("name", CASES)
def test_every_shortcut_passes_its_trial_at_load(name: str) -> None:
    estimator = fitted(name, 2)
    with capture_logs() as logs:
        engine = engine_of(estimator, task=task_of(estimator), examples=training_rows()[:5])
    assert isinstance(engine, DirectEngine)
    assert logs == []


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_what_overflows_is_refused_in_scikit_learns_words() -> None:
    engine = engine_of(fitted("forest", 2), task="regression", examples=training_rows()[:5])
    with pytest.raises(ValueError, match="too large for dtype"):
        engine.predict(np.full((1, COLUMNS), 1e300))


def row_of_category(category: float) -> NDArray[np.float64]:
    return np.array([[0.5, -0.5, 1.0, category]])


@pytest.mark.parametrize("category", [-1.0, 0.5, 9.0])
@pytest.mark.parametrize("options", [{}, {"sparse_threshold": 1.0}])
def test_an_unknown_category_is_nobodys_or_refused_in_scikit_learns_words(
    category: float, options: dict[str, Any]
) -> None:
    rows, target = training_rows(), np.arange(120.0)
    for handle_unknown in ("ignore", "error"):
        columns = columns_of(OneHotEncoder(handle_unknown=handle_unknown), **options)
        estimator = make_pipeline(columns, Ridge()).fit(rows, target)
        engine = engine_of(estimator, task="regression", examples=rows[:5])
        assert isinstance(engine, DirectEngine)
        if handle_unknown == "error":
            with pytest.raises(ValueError, match="Found unknown categories"):
                engine.predict(row_of_category(category))
        else:
            answered = engine.predict(row_of_category(category))[PREDICTION]
            assert answered.tolist() == estimator.predict(row_of_category(category)).tolist()


@pytest.mark.parametrize("encoder", [OneHotEncoder(drop="first"), OneHotEncoder(max_categories=2)], ids=str)
def test_a_transformer_that_is_not_known_transforms_itself(encoder: OneHotEncoder) -> None:
    rows = training_rows()
    estimator = make_pipeline(columns_of(encoder, sparse_threshold=0), Ridge()).fit(rows, np.arange(120.0))
    engine = engine_of(estimator, task="regression", examples=rows[:5])
    assert isinstance(engine, DirectEngine)
    assert same_bits(engine.predict(rows), EstimatorEngine(estimator, task="regression").predict(rows))


@pytest.mark.parametrize(
    "estimator",
    [
        SVR(),
        make_pipeline(StandardScaler(), SVR()),
        GradientBoostingRegressor(n_estimators=2, init=DummyRegressor()),
        HistGradientBoostingRegressor(max_iter=2, categorical_features=[3]),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        type("Forest", (RandomForestRegressor,), {})(n_estimators=2),
    ],
    ids=str,
)
def test_without_a_shortcut_scikit_learn_answers_itself(estimator: Any) -> None:
    rows = training_rows()
    estimator.fit(rows, np.abs(rows[:, 0]))
    with capture_logs() as logs:
        engine = engine_of(estimator, task="regression", examples=rows[:5])
    assert isinstance(engine, EstimatorEngine)
    assert [entry["event"] for entry in logs] == ["no shortcut is known, scikit-learn answers itself"]


def test_a_shortcut_that_differs_in_the_last_bit_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = fitted("linear", 2)
    monkeypatch.setattr(
        direct_engine, "shortcut_of", lambda _: lambda rows: {PREDICTION: np.nextafter(estimator.predict(rows), np.inf)}
    )
    with capture_logs() as logs:
        engine = engine_of(estimator, task="regression", examples=training_rows()[:5])
    assert isinstance(engine, EstimatorEngine)
    assert [entry["event"] for entry in logs] == ["a shortcut differs from predict, scikit-learn answers itself"]


def test_a_shortcut_that_finds_other_insides_is_not_used() -> None:
    estimator = HistGradientBoostingRegressor(max_iter=2).fit(training_rows(), training_rows()[:, 0])
    del estimator._bin_mapper
    with capture_logs() as logs:
        engine = engine_of(estimator, task="regression", examples=training_rows()[:5])
    assert isinstance(engine, EstimatorEngine)
    assert [entry["event"] for entry in logs] == ["a shortcut failed, scikit-learn answers itself"]


def test_minus_zero_is_not_zero() -> None:
    assert not same_bits({PREDICTION: np.array([0.0])}, {PREDICTION: np.array([-0.0])})
    assert not same_bits({PREDICTION: np.zeros(1, dtype=np.float32)}, {PREDICTION: np.zeros(1)})
    assert not same_bits({}, {PREDICTION: np.zeros(1)})
