"""Golden rows: held-out rows whose answers a server must reproduce before it serves."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store.descriptor import LABEL, PREDICTION, GoldenRows, Task
from aurora_runtime.trainer.answers import TOLERANCES, answers_of
from aurora_runtime.trainer.evaluation import Answers

GOLDEN_ROWS: Final = 16
_NUDGE: Final = 1e-9
_JUMP: Final = 1e-6


def golden_rows(model: Any, task: Task, features: NDArray[np.float64], answers: Answers) -> GoldenRows:
    """Up to GOLDEN_ROWS of ``features`` (rows, features), from the lowest to the highest answer.

    Rows whose answer hinges on the last bits (a threshold, a tie) come last: another
    processor may decide them otherwise.
    """
    main = answers[PREDICTION if task == "regression" else LABEL]
    steady = _is_steady(model, task, features, answers)
    candidates = np.flatnonzero(steady) if steady.sum() >= GOLDEN_ROWS else np.argsort(~steady, kind="stable")
    candidates = candidates[: max(GOLDEN_ROWS, int(steady.sum()))]
    ordered = candidates[np.argsort(main[candidates], kind="stable")]
    chosen = ordered[np.unique(np.linspace(0, len(ordered) - 1, GOLDEN_ROWS).round().astype(int))]
    return GoldenRows(
        inputs=features[chosen].tolist(),
        expected={name: values[chosen].tolist() for name, values in answers.items()},
        tolerance=TOLERANCES[task],
    )


def _is_steady(model: Any, task: Task, features: NDArray[np.float64], answers: Answers) -> NDArray[np.bool_]:
    """Rows whose answers hardly change when every value moves a little, down or up."""
    steady = np.ones(len(features), dtype=bool)
    for factor in (1 - _NUDGE, 1 + _NUDGE):
        for name, moved in answers_of(model, task, features * factor).items():
            same = np.isclose(moved, answers[name], rtol=_JUMP, atol=_JUMP) if name != LABEL else moved == answers[name]
            steady &= same.all(axis=1) if same.ndim == 2 else same
    return steady
