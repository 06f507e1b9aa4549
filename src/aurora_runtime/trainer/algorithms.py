"""Algorithm names → estimators. A new algorithm is a row of this table."""

from dataclasses import dataclass
from typing import Any, Final

import sklearn.ensemble
import sklearn.linear_model
import sklearn.neighbors
import sklearn.neural_network
import sklearn.svm

from aurora_runtime.store.descriptor import Task
from aurora_runtime.trainer import hyperparameters as hp
from aurora_runtime.trainer.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """One scikit-learn estimator and how it wants to be treated."""

    factory: type[Any]
    hyperparameters: type[hp.Hyperparameters]
    scales_features: bool = False
    """Distances and gradients need columns of comparable size; trees do not."""
    scales_target: bool = False
    """Losses with an absolute tolerance, or gradients, need a target of unit variance."""
    is_random: bool = True
    """Takes random_state."""
    takes_jobs: bool = False
    """Takes n_jobs."""
    grows_by: str | None = None
    """Hyperparameter by which a fitted estimator can be grown further, with the very same result."""


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """An estimator per task, or None with what to use instead."""

    regressor: Estimator | None
    classifier: Estimator | None
    instead: str = ""


def estimator_for(algorithm: str, task: Task) -> Estimator:
    """Raises InvalidInput for an unknown algorithm, or one that does not do ``task``."""
    row = ALGORITHMS.get(algorithm)
    if row is None:
        raise InvalidInput(f"unknown algorithm {algorithm!r}; known: {', '.join(ALGORITHMS)}")
    found = row.regressor if task == "regression" else row.classifier
    if found is None:
        raise InvalidInput(f"algorithm {algorithm!r} does not do {task}; use {row.instead}")
    return found


ALGORITHMS: Final[dict[str, Algorithm]] = {
    "random_forest": Algorithm(
        regressor=Estimator(
            factory=sklearn.ensemble.RandomForestRegressor,
            hyperparameters=hp.RandomForestRegressor,
            takes_jobs=True,
            grows_by="n_estimators",
        ),
        classifier=Estimator(
            factory=sklearn.ensemble.RandomForestClassifier,
            hyperparameters=hp.RandomForestClassifier,
            takes_jobs=True,
            grows_by="n_estimators",
        ),
    ),
    "extra_trees": Algorithm(
        regressor=Estimator(
            factory=sklearn.ensemble.ExtraTreesRegressor,
            hyperparameters=hp.ExtraTreesRegressor,
            takes_jobs=True,
            grows_by="n_estimators",
        ),
        classifier=Estimator(
            factory=sklearn.ensemble.ExtraTreesClassifier,
            hyperparameters=hp.ExtraTreesClassifier,
            takes_jobs=True,
            grows_by="n_estimators",
        ),
    ),
    "gradient_boosting": Algorithm(
        regressor=Estimator(
            factory=sklearn.ensemble.GradientBoostingRegressor,
            hyperparameters=hp.GradientBoosting,
            grows_by="n_estimators",
        ),
        classifier=Estimator(
            factory=sklearn.ensemble.GradientBoostingClassifier,
            hyperparameters=hp.GradientBoosting,
            grows_by="n_estimators",
        ),
    ),
    "hist_gradient_boosting": Algorithm(
        regressor=Estimator(
            factory=sklearn.ensemble.HistGradientBoostingRegressor,
            hyperparameters=hp.HistGradientBoosting,
        ),
        classifier=Estimator(
            factory=sklearn.ensemble.HistGradientBoostingClassifier,
            hyperparameters=hp.HistGradientBoostingClassifier,
        ),
    ),
    "linear": Algorithm(
        regressor=Estimator(
            factory=sklearn.linear_model.LinearRegression,
            hyperparameters=hp.Linear,
            scales_features=True,
            is_random=False,
        ),
        classifier=None,
        instead="logistic",
    ),
    "ridge": Algorithm(
        regressor=Estimator(factory=sklearn.linear_model.Ridge, hyperparameters=hp.Ridge, scales_features=True),
        classifier=Estimator(
            factory=sklearn.linear_model.RidgeClassifier, hyperparameters=hp.RidgeClassifier, scales_features=True
        ),
    ),
    "logistic": Algorithm(
        regressor=None,
        classifier=Estimator(
            factory=sklearn.linear_model.LogisticRegression, hyperparameters=hp.Logistic, scales_features=True
        ),
        instead="linear or ridge",
    ),
    "knn": Algorithm(
        regressor=Estimator(
            factory=sklearn.neighbors.KNeighborsRegressor,
            hyperparameters=hp.Knn,
            scales_features=True,
            is_random=False,
            takes_jobs=True,
        ),
        classifier=Estimator(
            factory=sklearn.neighbors.KNeighborsClassifier,
            hyperparameters=hp.Knn,
            scales_features=True,
            is_random=False,
            takes_jobs=True,
        ),
    ),
    "svm": Algorithm(
        regressor=Estimator(
            factory=sklearn.svm.SVR,
            hyperparameters=hp.SvmRegressor,
            scales_features=True,
            scales_target=True,
            is_random=False,
        ),
        classifier=Estimator(factory=sklearn.svm.SVC, hyperparameters=hp.SvmClassifier, scales_features=True),
    ),
    "mlp": Algorithm(
        regressor=Estimator(
            factory=sklearn.neural_network.MLPRegressor,
            hyperparameters=hp.Mlp,
            scales_features=True,
            scales_target=True,
        ),
        classifier=Estimator(
            factory=sklearn.neural_network.MLPClassifier, hyperparameters=hp.Mlp, scales_features=True
        ),
    ),
}
