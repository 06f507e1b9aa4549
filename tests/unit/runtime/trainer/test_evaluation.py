import math

import numpy as np
import pytest

from aurora_runtime.trainer.evaluation import evaluate, primary_metric


def test_a_regression_is_scored_in_its_own_units_and_without() -> None:
    scores = evaluate("regression", np.array([1.0, 2.0, 3.0, 4.0]), {"prediction": np.array([1.0, 2.0, 3.0, 6.0])})
    assert scores == {"r2": pytest.approx(0.2), "rmse": pytest.approx(1.0), "mae": pytest.approx(0.5)}


def test_two_classes_are_scored_by_label_and_by_probability_of_the_second() -> None:
    answers = {
        "label": np.array([0, 0, 1, 0]),
        "probabilities": np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.7, 0.3]]),
    }
    scores = evaluate("classification", np.array([0, 0, 1, 1]), answers, np.array([0, 1]))
    assert scores["accuracy"] == 0.75
    assert scores["f1_macro"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert scores["roc_auc"] == 1.0
    assert scores["log_loss"] == pytest.approx(-(math.log(0.9) + 2 * math.log(0.8) + math.log(0.3)) / 4)


def test_more_classes_have_the_mean_of_one_against_the_rest() -> None:
    answers = {"label": np.array([0, 1, 2]), "probabilities": np.eye(3) * 0.7 + 0.1}
    scores = evaluate("classification", np.array([0, 1, 2]), answers, np.array([0, 1, 2]))
    assert scores["roc_auc"] == 1.0
    assert set(scores) == {"accuracy", "f1_macro", "log_loss", "roc_auc"}


def test_a_class_that_is_not_among_the_held_out_rows_leaves_out_only_what_needs_it() -> None:
    answers = {"label": np.array([0, 1]), "probabilities": np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1]])}
    scores = evaluate("classification", np.array([0, 1]), answers, np.array([0, 1, 2]))
    assert set(scores) == {"accuracy", "f1_macro", "log_loss"}


def test_labels_without_probabilities_are_scored_by_label() -> None:
    scores = evaluate("classification", np.array([0, 1]), {"label": np.array([0, 1])}, np.array([0, 1]))
    assert scores == {"accuracy": 1.0, "f1_macro": 1.0}


def test_the_primary_metric_grows_to_one_for_both_tasks() -> None:
    assert primary_metric("regression") == "r2"
    assert primary_metric("classification") == "accuracy"
