"""What a model is asked and what it answers: values beyond those of the training rows, and how answers are spread.

Both tell that the world has moved away from the training data. Nothing is refused for it.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric

from aurora_runtime.store.descriptor import LABEL, PREDICTION, Signature


class ModelWatch:
    """Counts of one served model. ``prediction_buckets`` are ascending edges; none, no distribution.

    Most requests are one row, for which NumPy costs ten times what plain numbers do: they have a way of their own.
    """

    def __init__(self, signature: Signature, *, prediction_buckets: Sequence[float]) -> None:
        self._features = signature.feature_names
        self._lowest = np.array([-np.inf if tensor.minimum is None else tensor.minimum for tensor in signature.inputs])
        self._highest = np.array([np.inf if tensor.maximum is None else tensor.maximum for tensor in signature.inputs])
        self._ranges = list(zip(self._lowest.tolist(), self._highest.tolist(), strict=True))
        self._outside = [0] * len(self._features)
        self._edges = list(prediction_buckets)
        self._counts = [0] * (len(self._edges) + 1)
        self._sum = 0.0
        self._labels: Counter[str] = Counter()

    def observe(self, features: NDArray[np.float64], answers: Mapping[str, NDArray[Any]]) -> None:
        """Counts the (rows, features) of one request and its answers, by the names of the outputs."""
        predictions = answers.get(PREDICTION) if self._edges else None
        if len(features) == 1:
            self._observe_row(features[0].tolist(), None if predictions is None else float(predictions[0]))
        else:
            self._observe_rows(features, predictions)
        if (labels := answers.get(LABEL)) is not None:
            self._labels.update(map(str, labels.tolist()))

    def _observe_row(self, row: list[float], prediction: float | None) -> None:
        for index, (lowest, highest) in enumerate(self._ranges):
            if not lowest <= row[index] <= highest:
                self._outside[index] += 1
        if prediction is not None:
            self._counts[bisect_left(self._edges, prediction)] += 1
            self._sum += prediction

    def _observe_rows(self, features: NDArray[np.float64], predictions: NDArray[Any] | None) -> None:
        outside = (features < self._lowest) | (features > self._highest)
        for index in np.flatnonzero(outside.any(axis=0)).tolist():
            self._outside[index] += int(outside[:, index].sum())
        if predictions is not None:
            places = np.searchsorted(self._edges, predictions)
            found = np.bincount(places, minlength=len(self._counts)).tolist()
            self._counts = [before + more for before, more in zip(self._counts, found, strict=True)]
            self._sum += float(predictions.sum())

    def collect(self, names: Sequence[str], values: Sequence[str]) -> Iterator[Metric]:
        """The counts as series that carry these labels."""
        outside = CounterMetricFamily(
            "aurora_inference_out_of_range",
            "Values outside the range of the training rows, by feature.",
            labels=(*names, "feature"),
        )
        for feature, count in zip(self._features, self._outside, strict=True):
            outside.add_metric((*values, feature), count)
        yield outside
        if self._edges:
            predictions = HistogramMetricFamily(
                "aurora_inference_prediction", "Predicted values; edges from the descriptor.", labels=names
            )
            edges = [*map(str, self._edges), "+Inf"]
            counts = accumulate(self._counts)
            predictions.add_metric(values, list(zip(edges, counts, strict=True)), sum_value=self._sum)
            yield predictions
        labels = CounterMetricFamily("aurora_inference_predicted_label", "Predicted labels.", labels=(*names, "label"))
        for label, count in sorted(self._labels.items()):
            labels.add_metric((*values, label), count)
        yield labels
