import pytest
from sklearn.base import is_classifier, is_regressor

from aurora_runtime.trainer.algorithms import ALGORITHMS, estimator_for
from aurora_runtime.trainer.errors import InvalidInput

NAMES = [
    "random_forest",
    "extra_trees",
    "gradient_boosting",
    "hist_gradient_boosting",
    "linear",
    "ridge",
    "logistic",
    "knn",
    "svm",
    "mlp",
]


def test_the_table_has_all_algorithms() -> None:
    assert list(ALGORITHMS) == NAMES


def test_an_unknown_algorithm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidInput, match="unknown algorithm 'xgboost'; known: random_forest, ") as refusal:
        estimator_for("xgboost", "regression")
    assert all(name in str(refusal.value) for name in NAMES)


def test_logistic_on_a_regression_is_refused_with_a_remedy() -> None:
    with pytest.raises(InvalidInput, match="'logistic' does not do regression; use linear or ridge"):
        estimator_for("logistic", "regression")


def test_linear_on_a_classification_is_refused_with_a_remedy() -> None:
    with pytest.raises(InvalidInput, match="'linear' does not do classification; use logistic"):
        estimator_for("linear", "classification")


@pytest.mark.parametrize("name", NAMES)
def test_the_task_decides_between_regressor_and_classifier(name: str) -> None:
    row = ALGORITHMS[name]
    for estimator, is_of_the_kind in ((row.regressor, is_regressor), (row.classifier, is_classifier)):
        if estimator is None:
            assert row.instead
        else:
            assert is_of_the_kind(estimator.factory())
