"""Estimators answered by a shortcut that was seen to give the same bits as ``predict``."""

from typing import Any, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from aurora_runtime.store.descriptor import Task
from aurora_runtime.store.engine import Answers, Engine, Rows
from aurora_runtime.store.pickled_model import EstimatorEngine
from aurora_runtime.store.shortcuts import OutOfRange, Shortcut, shortcut_of

log = structlog.get_logger(__name__)
_MIXED_ROWS: Final = 64


class DirectEngine:
    """``plain`` answers what the shortcut cannot."""

    def __init__(self, plain: Engine, shortcut: Shortcut) -> None:
        self._plain = plain
        self._shortcut = shortcut

    def predict(self, features: Rows) -> Answers:
        """As Engine.predict."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is looked for
                return self._shortcut(features)
        except OutOfRange:
            return self._plain.predict(features)


def engine_of(estimator: Any, *, task: Task, examples: Rows) -> Engine:
    """The fastest engine that answers as ``estimator.predict`` does, to the bit.

    ``examples``, (rows, features), are rows that the model knows how to answer.
    """
    plain = EstimatorEngine(estimator, task=task)
    name = type(estimator).__name__
    try:
        shortcut = shortcut_of(estimator)
        if shortcut is None:
            log.info("no shortcut is known, scikit-learn answers itself", estimator=name)
            return plain
        direct = DirectEngine(plain, shortcut)
        for rows in trials(examples):
            if not same_bits(direct.predict(rows), plain.predict(rows)):
                log.warning("a shortcut differs from predict, scikit-learn answers itself", estimator=name)
                return plain
    except Exception as error:  # noqa: BLE001  a release of scikit-learn may have other insides; predict stays
        log.warning("a shortcut failed, scikit-learn answers itself", estimator=name, error=repr(error))
        return plain
    return direct


def trials(examples: Rows) -> list[Rows]:
    """The first row alone, all, and rows that mix the columns' values: what is a category stays a known one."""
    random = np.random.default_rng(0)
    chosen = random.integers(len(examples), size=(_MIXED_ROWS, examples.shape[1]))
    return [examples[:1], examples, np.take_along_axis(examples, chosen, axis=0)]


def same_bits(answers: Answers, expected: Answers) -> bool:
    """Same outputs, types, shapes and values; -0.0 is not 0.0."""
    return answers.keys() == expected.keys() and all(_same(answers[name], expected[name]) for name in expected)


def _same(array: NDArray[Any], expected: NDArray[Any]) -> bool:
    if array.dtype != expected.dtype or not np.array_equal(array, expected):
        return False
    return array.dtype.kind != "f" or bool((np.signbit(array) == np.signbit(expected)).all())
