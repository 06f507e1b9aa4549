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
    """Counts of one served model. ``prediction_buckets`` are ascending edges; none, no distribution."""

    def __init__(self, signature: Signature, *, prediction_buckets: Sequence[float]) -> None:
        self._outside = dict.fromkeys(signature.feature_names, 0)
        self._edges = list(prediction_buckets)
        self._counts = [0] * (len(self._edges) + 1)
        self._sum = 0.0
        self._labels: Counter[str] = Counter()

    def observe(self, out_of_range: Mapping[str, int], answers: Mapping[str, NDArray[Any]]) -> None:
        """Counts one request: its rows out of range by feature, and its answers by the names of the outputs."""
        for feature, rows in out_of_range.items():
            self._outside[feature] += rows
        if self._edges and (predictions := answers.get(PREDICTION)) is not None:
            self._observe_predictions(predictions)
        if (labels := answers.get(LABEL)) is not None:
            self._labels.update(map(str, labels.tolist()))

    def _observe_predictions(self, predictions: NDArray[Any]) -> None:
        """Most requests are one row, for which NumPy costs ten times what plain numbers do."""
        if len(predictions) == 1:
            prediction = float(predictions[0])
            self._counts[bisect_left(self._edges, prediction)] += 1
            self._sum += prediction
            return
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
        for feature, count in self._outside.items():
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
