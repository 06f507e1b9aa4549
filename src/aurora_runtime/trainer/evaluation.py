"""Scores on the held-out rows.

The primary metric is r2 for regression and accuracy for classification: both have 1 as their best value and no
unit, so versions and data sets can be compared at a glance; errors in units (rmse, mae) stand beside them.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from aurora_runtime.store.descriptor import LABEL, PREDICTION, PROBABILITIES, Task

R2 = "r2"
ACCURACY = "accuracy"

Answers = dict[str, NDArray[Any]]
"""Outputs by name, as an engine gives them."""


def primary_metric(task: Task) -> str:
    """Key of the metric that stands for a version."""
    return R2 if task == "regression" else ACCURACY


def evaluate(
    task: Task, truth: NDArray[Any], answers: Answers, classes: NDArray[Any] | None = None
) -> dict[str, float]:
    """Metrics by name. ``classes`` are those of the probability columns."""
    if task == "regression":
        return _regression(truth, answers[PREDICTION])
    return _classification(truth, answers[LABEL], answers.get(PROBABILITIES), classes)


def _regression(truth: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    return {
        R2: float(metrics.r2_score(truth, predicted)),
        "rmse": math.sqrt(metrics.mean_squared_error(truth, predicted)),
        "mae": float(metrics.mean_absolute_error(truth, predicted)),
    }


def _classification(
    truth: NDArray[Any], labels: NDArray[Any], probabilities: NDArray[Any] | None, classes: NDArray[Any] | None
) -> dict[str, float]:
    scores = {
        ACCURACY: float(metrics.accuracy_score(truth, labels)),
        "f1_macro": float(metrics.f1_score(truth, labels, average="macro")),
    }
    if probabilities is None or classes is None:
        return scores
    scores["log_loss"] = float(metrics.log_loss(truth, probabilities, labels=classes))
    if len(np.unique(truth)) == len(classes):
        scores["roc_auc"] = _roc_auc(truth, probabilities)
    return scores


def _roc_auc(truth: NDArray[Any], probabilities: NDArray[Any]) -> float:
    """Of the second class for two, the mean over one class against the rest for more."""
    if probabilities.shape[1] == 2:
        return float(metrics.roc_auc_score(truth, probabilities[:, 1]))
    return float(metrics.roc_auc_score(truth, probabilities, multi_class="ovr", average="macro"))
