from typing import Any

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

from aurora_runtime.store.descriptor import Task
from aurora_runtime.trainer.algorithms import estimator_for
from aurora_runtime.trainer.fitting import fit
from aurora_runtime.trainer.hyperparameters import parse_hyperparameters
from aurora_runtime.trainer.pipeline import build_model, core_of
from tests.unit.runtime.trainer.builders import a_dataset, a_fitted_model

GROWING: list[tuple[str, Task, dict[str, Any]]] = [
    ("random_forest", "regression", {"n_estimators": 23}),
    ("random_forest", "classification", {"n_estimators": 23}),
    ("extra_trees", "regression", {"n_estimators": 23, "bootstrap": True, "max_samples": 0.5}),
    ("extra_trees", "classification", {"n_estimators": 11}),
    ("gradient_boosting", "regression", {"n_estimators": 23, "subsample": 0.7, "max_features": 0.5}),
    ("gradient_boosting", "classification", {"n_estimators": 12}),
]


@pytest.mark.parametrize(("algorithm", "task", "hyperparameters"), GROWING)
@pytest.mark.parametrize("cores", [1, 3])
def test_growing_step_by_step_gives_what_one_fit_gives(
    algorithm: str, task: Task, hyperparameters: dict[str, Any], cores: int
) -> None:
    dataset = a_dataset(task)
    grown = a_fitted_model(algorithm, dataset, seed=5, cores=cores, **hyperparameters)
    estimator = estimator_for(algorithm, task)
    parsed = parse_hyperparameters(estimator.hyperparameters, hyperparameters, algorithm=algorithm)
    at_once = build_model(estimator, parsed, seed=5, jobs=1).fit(dataset.features, dataset.target)
    np.testing.assert_array_equal(grown.predict(dataset.features), at_once.predict(dataset.features))
    assert len(grown.estimators_) == hyperparameters["n_estimators"]


@pytest.mark.parametrize("algorithm", ["random_forest", "extra_trees", "gradient_boosting"])
def test_growing_keeps_the_trees_that_are_there(algorithm: str) -> None:
    dataset = a_dataset()
    estimator = estimator_for(algorithm, "regression")
    parsed = parse_hyperparameters(estimator.hyperparameters, {"n_estimators": 20}, algorithm=algorithm)
    model = build_model(estimator, parsed, seed=0, jobs=1)
    first_trees: list[Any] = []

    def remember(_: float) -> None:
        first_trees.append(np.ravel(model.estimators_)[0])

    fit(model, estimator, dataset.features, dataset.target, cores=1, on_progress=remember)
    assert len(first_trees) >= 10
    assert all(tree is first_trees[0] for tree in first_trees)


def test_progress_rises_to_one() -> None:
    dataset = a_dataset()
    shares: list[float] = []
    estimator = estimator_for("random_forest", "regression")
    parsed = parse_hyperparameters(estimator.hyperparameters, {"n_estimators": 20}, algorithm="random_forest")
    model = build_model(estimator, parsed, seed=0, jobs=1)
    fit(model, estimator, dataset.features, dataset.target, cores=1, on_progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) >= 10


@pytest.mark.parametrize("algorithm", ["random_forest", "extra_trees", "knn"])
def test_a_fitted_model_answers_on_one_core(algorithm: str) -> None:
    model = a_fitted_model(algorithm, a_dataset(), cores=2)
    assert core_of(model).n_jobs == 1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("algorithm", "options"), [("random_forest", {}), ("gradient_boosting", {"subsample": 0.5}), ("mlp", {})]
)
def test_the_seed_decides_the_model(algorithm: str, options: dict[str, Any]) -> None:
    dataset = a_dataset()
    one, same, other = (a_fitted_model(algorithm, dataset, seed=seed, **options) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.predict(dataset.features), same.predict(dataset.features))
    assert (one.predict(dataset.features) != other.predict(dataset.features)).any()


@pytest.mark.parametrize(
    ("algorithm", "scales_features", "scales_target"),
    [
        ("random_forest", False, False),
        ("hist_gradient_boosting", False, False),
        ("ridge", True, False),
        ("knn", True, False),
        ("svm", True, True),
        ("mlp", True, True),
    ],
)
def test_columns_are_scaled_where_the_algorithm_needs_it(
    algorithm: str, scales_features: bool, scales_target: bool
) -> None:
    estimator = estimator_for(algorithm, "regression")
    model = build_model(estimator, estimator.hyperparameters(), seed=0, jobs=1)
    assert isinstance(model, TransformedTargetRegressor) == scales_target
    inner = model.regressor if scales_target else model
    assert isinstance(inner, Pipeline) == scales_features
    assert type(core_of(model)) is estimator.factory
