"""What the graph of an estimator ends in."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Regression: ``value`` is float64, of shape (N, 1) or (N,)."""

    value: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Classification: ``index`` into the classes, int64 (N,), and probabilities float64 (N, C) where there are any."""

    index: str
    probabilities: str | None


Answer = Prediction | Choice
