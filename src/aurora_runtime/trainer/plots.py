"""Two plots as inline SVG. They hold numbers and class labels only, escaped."""

from html import escape
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_SIZE: Final = 360
_MARGIN: Final = 44
_MAX_POINTS: Final = 600
_MAX_CLASSES: Final = 30


def predicted_against_true(truth: NDArray[Any], predicted: NDArray[Any]) -> str:
    """A scatter plot of at most 600 rows, evenly taken; a perfect model lies on the line."""
    chosen = np.unique(np.linspace(0, len(truth) - 1, _MAX_POINTS).astype(int))
    low = float(min(truth.min(), predicted.min()))
    high = float(max(truth.max(), predicted.max()))
    scale = (_SIZE - 2 * _MARGIN) / ((high - low) or 1.0)

    def place(value: float) -> float:
        return round(_MARGIN + (value - low) * scale, 1)

    points = "".join(
        f'<circle cx="{place(float(x))}" cy="{_SIZE - place(float(y))}" r="2"/>'
        for x, y in zip(truth[chosen], predicted[chosen], strict=True)
    )
    start, end = place(low), place(high)
    return _svg(
        f'<line x1="{start}" y1="{_SIZE - start}" x2="{end}" y2="{_SIZE - end}" stroke="#999"/>'
        f'<g fill="#2563eb" fill-opacity="0.45">{points}</g>'
        + _text(start, _SIZE - 24, f"{low:.3g}")
        + _text(end, _SIZE - 24, f"{high:.3g}")
        + _text(_SIZE / 2, _SIZE - 8, "true")
        + f'<g transform="rotate(-90 14 {_SIZE / 2})">{_text(14, _SIZE / 2, "predicted")}</g>',
        title="Predicted against true values of the held-out rows",
    )


def confusion_matrix(truth: NDArray[Any], labels: NDArray[Any], classes: NDArray[Any]) -> str:
    """Rows are true classes, columns predicted ones; empty for more classes than can be read."""
    count = len(classes)
    if count > _MAX_CLASSES:
        return ""
    counts = np.zeros((count, count), dtype=int)
    np.add.at(counts, (np.searchsorted(classes, truth), np.searchsorted(classes, labels)), 1)
    cell = (_SIZE - 2 * _MARGIN) / count
    largest = max(int(counts.max()), 1)
    parts = []
    for row, of_class in enumerate(counts):
        middle = round(_MARGIN + (row + 0.5) * cell, 1)
        parts.append(_text(_MARGIN - 14, middle + 4, str(classes[row])))
        parts.append(_text(middle, _SIZE - _MARGIN + 16, str(classes[row])))
        for column, number in enumerate(of_class):
            x, y = round(_MARGIN + column * cell, 1), round(_MARGIN + row * cell, 1)
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell:.1f}" height="{cell:.1f}" fill="#2563eb" '
                f'fill-opacity="{number / largest:.2f}" stroke="#ddd"/>'
            )
            parts.append(_text(round(x + cell / 2, 1), round(y + cell / 2 + 4, 1), str(number)))
    parts.append(_text(_SIZE / 2, _SIZE - 8, "predicted"))
    parts.append(f'<g transform="rotate(-90 14 {_SIZE / 2})">{_text(14, _SIZE / 2, "true")}</g>')
    return _svg("".join(parts), title="Confusion matrix of the held-out rows")


def _svg(content: str, *, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {_SIZE} {_SIZE}" width="{_SIZE}" height="{_SIZE}" role="img">'
        f"<title>{escape(title)}</title>{content}</svg>"
    )


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x}" y="{y}" font-size="12" text-anchor="middle">{escape(text)}</text>'
