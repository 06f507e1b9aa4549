"""Estimator and hyperparameters → the unfitted scikit-learn model that is trained and stored."""

from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from aurora_runtime.trainer.algorithms import Estimator
from aurora_runtime.trainer.hyperparameters import Hyperparameters


def build_model(estimator: Estimator, hyperparameters: Hyperparameters, *, seed: int, jobs: int) -> Any:
    """A model that the same seed fits the same way every time."""
    arguments = hyperparameters.model_dump()
    if estimator.is_random:
        arguments["random_state"] = seed
    if estimator.takes_jobs:
        arguments["n_jobs"] = jobs
    model = estimator.factory(**arguments)
    if estimator.scales_features:
        model = make_pipeline(StandardScaler(), model)
    if estimator.scales_target:
        model = TransformedTargetRegressor(regressor=model, transformer=StandardScaler())
    return model


def core_of(model: Any) -> Any:
    """The estimator inside a model, fitted when the model is."""
    if isinstance(model, TransformedTargetRegressor):
        model = getattr(model, "regressor_", model.regressor)
    return model.steps[-1][1] if isinstance(model, Pipeline) else model
