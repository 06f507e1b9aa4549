"""Small rows, models and tasks: a test names only what it is about."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from aurora_runtime.contract import DataOptions, TrainedBy, TrainingInputs, TrainingTask
from aurora_runtime.store.descriptor import Task
from aurora_runtime.trainer.algorithms import Estimator, estimator_for
from aurora_runtime.trainer.dataset import Dataset
from aurora_runtime.trainer.fitting import fit
from aurora_runtime.trainer.hyperparameters import parse_hyperparameters
from aurora_runtime.trainer.pipeline import build_model
from aurora_runtime.trainer.progress import Progress
from tests.unit.fakes.clock import FakeClock

SMALL: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 7},
    "extra_trees": {"n_estimators": 7},
    "gradient_boosting": {"n_estimators": 7},
    "hist_gradient_boosting": {"max_iter": 7, "min_samples_leaf": 5},
    "mlp": {"max_iter": 30, "hidden_layer_sizes": [8, 5]},
}
"""Hyperparameters that fit in milliseconds."""


def a_dataset(task: Task = "regression", *, rows: int = 120, classes: int = 3, **changes: Any) -> Dataset:
    """Rows of four features; the target depends on the first two, so that it can be learned."""
    random = np.random.RandomState(7)
    features = random.normal(size=(rows, 4))
    signal = features[:, 0] - 0.5 * features[:, 1] ** 2
    target: NDArray[Any] = signal + 0.05 * random.normal(size=rows)
    if task == "classification":
        target = np.searchsorted(np.quantile(signal, np.linspace(0, 1, classes + 1)[1:-1]), signal).astype(np.int64)
    values: dict[str, Any] = {
        "name": "made-up",
        "task": task,
        "feature_names": ("a", "b", "c", "d"),
        "target_name": "y",
        "features": features,
        "target": target,
    }
    return Dataset(**{**values, **changes})


def a_fitted_model(algorithm: str, dataset: Dataset, *, seed: int = 0, cores: int = 1, **hyperparameters: Any) -> Any:
    """A fitted model of the algorithm, small unless told otherwise."""
    estimator: Estimator = estimator_for(algorithm, dataset.task)
    values = {**SMALL.get(algorithm, {}), **hyperparameters}
    parsed = parse_hyperparameters(estimator.hyperparameters, values, algorithm=algorithm)
    model = build_model(estimator, parsed, seed=seed, jobs=cores)
    fit(model, estimator, dataset.features, dataset.target, cores=cores, on_progress=lambda _: None)
    return model


def a_task(**changes: Any) -> TrainingTask:
    """Trains a small forest on iris."""
    values: dict[str, Any] = {
        "model": "flowers",
        "version": 1,
        "run_id": "uid-1-1-abc",
        "inputs": inputs(),
        "trained_by": TrainedBy(namespace="default", name="train-flowers", uid="uid-1"),
    }
    return TrainingTask(**{**values, **changes})


def inputs(**changes: Any) -> TrainingInputs:
    """Inputs of a small forest on iris."""
    values: dict[str, Any] = {
        "dataset": "iris",
        "algorithm": "random_forest",
        "hyperparameters": {"n_estimators": 5},
        "data": DataOptions(),
    }
    return TrainingInputs(**{**values, **changes})


def a_progress(clock: FakeClock | None = None) -> Progress:
    return Progress(run_id="uid-1-1-abc", clock=clock or FakeClock(), registry=CollectorRegistry())
