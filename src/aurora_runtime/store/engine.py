"""What answers a prediction: one method over a matrix of features, whatever the stored format."""

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Rows: TypeAlias = NDArray[np.float64]
"""(rows, features)."""
Answers: TypeAlias = dict[str, NDArray[Any]]
"""By the names of the signature's outputs, a row each."""


class Engine(Protocol):
    """A loaded model. ``predict`` is blocking, safe to call from several threads at once, and changes nothing."""

    def predict(self, features: Rows) -> Answers:
        """Answers for C-contiguous, finite ``features`` of shape (rows, features), columns in the signature's order.

        Keys are the names of the signature's outputs: ``prediction`` float64 (rows,), or ``label`` (rows,) and,
        where the estimator has them, ``probabilities`` float64 (rows, classes).
        """
        ...
