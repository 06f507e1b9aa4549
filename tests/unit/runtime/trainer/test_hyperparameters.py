import inspect
from typing import Any

import pytest

from aurora_runtime.store.descriptor import Task
from aurora_runtime.trainer.algorithms import ALGORITHMS, Estimator, estimator_for
from aurora_runtime.trainer.errors import InvalidInput
from aurora_runtime.trainer.hyperparameters import Hyperparameters, parse_hyperparameters

ESTIMATORS = [
    pytest.param(estimator, id=f"{name}-{'regressor' if estimator is row.regressor else 'classifier'}")
    for name, row in ALGORITHMS.items()
    for estimator in (row.regressor, row.classifier)
    if estimator is not None
]


def parsed(algorithm: str, **values: Any) -> Hyperparameters:
    task: Task = "classification" if algorithm == "logistic" else "regression"
    return parse_hyperparameters(estimator_for(algorithm, task).hyperparameters, values, algorithm=algorithm)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_hyperparameter_is_an_argument_of_its_estimator(estimator: Estimator) -> None:
    arguments = inspect.signature(estimator.factory).parameters
    assert set(estimator.hyperparameters.model_fields) <= set(arguments)
    assert ("random_state" in arguments) or not estimator.is_random
    assert ("n_jobs" in arguments) or not estimator.takes_jobs


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_defaults_are_allowed_values(estimator: Estimator) -> None:
    defaults = estimator.hyperparameters().model_dump(mode="json")
    assert estimator.hyperparameters.model_validate(defaults) == estimator.hyperparameters()


def test_an_unknown_name_is_refused_with_the_allowed_ones() -> None:
    with pytest.raises(InvalidInput, match=r"unknown hyperparameter 'trees' of random_forest; allowed: n_estimators, "):
        parsed("random_forest", trees=10)


@pytest.mark.parametrize(
    ("algorithm", "name", "value", "expected"),
    [
        ("random_forest", "n_estimators", 0, "expected integer >= 1 and <= 5000"),
        ("random_forest", "n_estimators", "many", "expected integer >= 1"),
        ("random_forest", "n_estimators", 2.5, "expected integer >= 1"),
        ("random_forest", "n_estimators", True, "expected integer >= 1"),
        ("random_forest", "n_estimators", None, "expected integer >= 1"),
        ("random_forest", "max_depth", -1, "integer >= 1 and <= 128 or null"),
        ("random_forest", "max_features", "all", "'sqrt' or 'log2' or number > 0 and <= 1 or null"),
        ("random_forest", "bootstrap", "perhaps", "expected boolean"),
        ("gradient_boosting", "learning_rate", 0, "expected number > 0"),
        ("gradient_boosting", "learning_rate", float("nan"), "expected number > 0"),
        ("ridge", "alpha", True, "expected number >= 0"),
        ("hist_gradient_boosting", "early_stopping", "yes please", "boolean or 'auto'"),
        ("knn", "weights", "heavy", "expected 'uniform' or 'distance'"),
        ("svm", "kernel", "precomputed", "'linear' or 'poly' or 'rbf' or 'sigmoid'"),
        ("mlp", "hidden_layer_sizes", [], "expected a list of integer >= 1"),
        ("mlp", "hidden_layer_sizes", [0], "expected a list of integer >= 1"),
        ("mlp", "hidden_layer_sizes", 100, "expected a list of integer >= 1"),
        ("logistic", "C", "tiny", "expected number > 0"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(algorithm: str, name: str, value: Any, expected: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parsed(algorithm, **{name: value})
    assert f"hyperparameter {name!r} of {algorithm}" in str(refusal.value)
    assert expected in str(refusal.value)


@pytest.mark.parametrize(
    ("algorithm", "name", "value", "meaning"),
    [
        ("random_forest", "n_estimators", "50", 50),
        ("random_forest", "n_estimators", 50.0, 50),
        ("random_forest", "max_depth", None, None),
        ("random_forest", "max_features", "sqrt", "sqrt"),
        ("random_forest", "bootstrap", False, False),
        ("hist_gradient_boosting", "early_stopping", True, True),
        ("hist_gradient_boosting", "early_stopping", "auto", "auto"),
        ("svm", "gamma", 0.5, 0.5),
        ("mlp", "hidden_layer_sizes", [50, 20], (50, 20)),
    ],
)
def test_values_are_read_as_a_manifest_or_a_command_line_writes_them(
    algorithm: str, name: str, value: Any, meaning: Any
) -> None:
    found = getattr(parsed(algorithm, **{name: value}), name)
    assert found == meaning
    assert type(found) is type(meaning)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_no_value_of_a_manifest_is_a_traceback(estimator: Estimator) -> None:
    for name in estimator.hyperparameters.model_fields:
        with pytest.raises(InvalidInput, match=name):
            parse_hyperparameters(estimator.hyperparameters, {name: {"a": [1]}}, algorithm="any")
