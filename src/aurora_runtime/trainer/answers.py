"""An estimator's own answers, and whether a stored model gives the same."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store.descriptor import LABEL, PROBABILITIES, Parity, Task, Tolerance
from aurora_runtime.store.engine import Engine
from aurora_runtime.store.pickled_model import EstimatorEngine
from aurora_runtime.trainer.errors import InvalidInput, NotConvertible
from aurora_runtime.trainer.evaluation import Answers

TOLERANCES: Final[dict[Task, Tolerance]] = {
    # Both compute in float64; what differs is the order of additions, on this machine or on a server's.
    "regression": Tolerance(relative=1e-9, absolute=1e-9),
    # ONNX hands the class shares of a forest out as float32.
    "classification": Tolerance(relative=0.0, absolute=1e-6),
}
_ROWS_PER_CALL: Final = 256


def answers_of(model: Any, task: Task, features: NDArray[np.float64]) -> Answers:
    """The model's own answers. Raises InvalidInput when one is not a finite number."""
    answers = EstimatorEngine(model, task=task).predict(features)
    for name, values in answers.items():
        if not np.isfinite(values).all():
            raise InvalidInput(
                f"the fitted model's {name} is not a finite number for some rows; change hyperparameters"
            )
    return answers


def answers_of_engine(engine: Engine, features: NDArray[np.float64]) -> Answers:
    """A stored model's answers, asked for in parts as a server would be."""
    parts = [
        engine.predict(np.ascontiguousarray(features[start : start + _ROWS_PER_CALL]))
        for start in range(0, len(features), _ROWS_PER_CALL)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def compare(expected: Answers, actual: Answers, tolerance: Tolerance) -> Parity:
    """How well ``actual`` agrees. Raises NotConvertible naming the output that does not.

    A label may differ only where the expected probabilities of both labels are equal within the tolerance: rounding
    decides such a row in scikit-learn too.
    """
    if expected.keys() != actual.keys():
        raise NotConvertible(f"its outputs are {sorted(actual)} instead of {sorted(expected)}")
    worst = 0.0
    for name, values in expected.items():
        if name == LABEL:
            _compare_labels(expected, actual, tolerance)
            continue
        error = np.abs(actual[name] - values)
        worst = max(worst, float(error.max()))
        if not (error <= tolerance.absolute + tolerance.relative * np.abs(values)).all():
            raise NotConvertible(f"its {name} differs by up to {error.max():.3g} from scikit-learn's")
    return Parity(rows=len(next(iter(expected.values()))), max_abs_error=worst, tolerance=tolerance)


def _compare_labels(expected: Answers, actual: Answers, tolerance: Tolerance) -> None:
    differing = np.flatnonzero(expected[LABEL] != actual[LABEL])
    if not len(differing):
        return
    if PROBABILITIES in expected:
        top_two = np.sort(expected[PROBABILITIES][differing], axis=1)[:, -2:]
        differing = differing[top_two[:, 1] - top_two[:, 0] > tolerance.absolute]
    if len(differing):
        raise NotConvertible(
            f"its label differs from scikit-learn's in {len(differing)} of {len(expected[LABEL])} rows"
        )
