"""What a server counts: ``/metrics`` for Prometheus, ``/counters`` for the controller.

Every series carries ``model``, ``version`` and ``revision``, so that a query can tell a canary from stable. All
numbers belong to the event loop's thread: counting is plain addition, and only a scrape turns it into series.
"""

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from aurora_runtime.contract import ServingCounters
from aurora_runtime.inference.model_watch import ModelWatch

LABELS: Final = ("model", "version", "revision")
EDGES: Final = (1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper edges of durations, seconds."""
BATCH_EDGES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Upper edges of batch sizes, requests."""


class Histogram:
    """Counts of values by bucket. ``edges`` ascend."""

    __slots__ = ("_counts", "_edges", "_sum")

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges
        self._counts = [0] * (len(edges) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._edges, value)] += 1
        self._sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """(upper edge, how many were at most that)."""
        return list(zip((*map(str, self._edges), "+Inf"), accumulate(self._counts), strict=True))

    @property
    def sum(self) -> float:
        return self._sum


class Durations(NamedTuple):
    """What a request spends its time on, seconds."""

    decode: Histogram
    queue: Histogram
    predict: Histogram
    encode: Histogram


class ServerMetrics(Collector):
    """Counts of one server process. ``version`` is None until it is known which one ``latest`` is."""

    def __init__(self, *, model: str, version: int | None, revision: str) -> None:
        self.model = model
        self.version = version
        self.revision = revision
        self.start_time = time.time()
        self.in_flight = 0
        self.durations = Durations(*(Histogram(EDGES) for _ in Durations._fields))
        self.batches = Histogram(BATCH_EDGES)
        self.accepted_keys: Counter[str] = Counter()
        self.refused_keys: Counter[str] = Counter()
        self.queue_depth: Callable[[], int] = lambda: 0
        self.watch: ModelWatch | None = None
        self._codes: Counter[int] = Counter()
        self._loaded: tuple[str, str, float] | None = None
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def begin(self) -> None:
        """An inference request has come."""
        self.in_flight += 1

    def end(self, code: int) -> None:
        """It was answered with this status."""
        self.in_flight -= 1
        self._codes[code] += 1

    def loaded(self, *, version: int, digest: str, model_format: str, seconds: float) -> None:
        """The model is ready, ``seconds`` after the start."""
        self.version = version
        self._loaded = (digest, model_format, seconds)

    def counters(self) -> ServingCounters | None:
        """None until the version is known."""
        if self.version is None:
            return None
        return ServingCounters(
            model=self.model,
            version=self.version,
            revision=self.revision,
            start_time=self.start_time,
            requests=self._codes.total(),
            errors=sum(count for code, count in self._codes.items() if code >= 500),
            in_flight=self.in_flight,
        )

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing: it spares a collection at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        labels = (self.model, "" if self.version is None else str(self.version), self.revision)
        requests = CounterMetricFamily(
            "aurora_inference_requests", "Answered inference requests by HTTP status.", labels=(*LABELS, "code")
        )
        for code, count in sorted(self._codes.items()):
            requests.add_metric((*labels, str(code)), count)
        yield requests

        durations = HistogramMetricFamily(
            "aurora_inference_duration_seconds",
            "Time of an inference request by phase: decode, queue, predict, encode.",
            labels=(*LABELS, "phase"),
        )
        for phase, histogram in self.durations._asdict().items():
            durations.add_metric((*labels, phase), buckets=histogram.buckets(), sum_value=histogram.sum)
        yield durations
        batches = HistogramMetricFamily(
            "aurora_inference_batch_size", "Requests that were predicted together.", labels=LABELS
        )
        batches.add_metric(labels, buckets=self.batches.buckets(), sum_value=self.batches.sum)
        yield batches

        yield _gauge("aurora_inference_in_flight", "Inference requests being answered.", labels, self.in_flight)
        yield _gauge("aurora_inference_queue_depth", "Requests that wait for a prediction.", labels, self.queue_depth())
        yield from self._keys(labels)
        if self.watch is not None:
            yield from self.watch.collect(LABELS, labels)
        if self._loaded is not None:
            digest, model_format, seconds = self._loaded
            info = GaugeMetricFamily("aurora_model_info", "The served model.", labels=(*LABELS, "digest", "format"))
            info.add_metric((*labels, digest, model_format), 1)
            yield info
            yield _gauge("aurora_model_load_seconds", "Time from start to ready.", labels, seconds)

    def _keys(self, labels: tuple[str, ...]) -> Iterator[Metric]:
        accepted = CounterMetricFamily(
            "aurora_inference_authenticated", "Requests by the name of their API key.", labels=(*LABELS, "key")
        )
        for name, count in sorted(self.accepted_keys.items()):
            accepted.add_metric((*labels, name), count)
        yield accepted
        refused = CounterMetricFamily(
            "aurora_inference_unauthorized", "Requests refused for their API key.", labels=(*LABELS, "reason")
        )
        for reason in ("missing", "wrong", "limited"):
            refused.add_metric((*labels, reason), self.refused_keys[reason])
        yield refused


def _gauge(name: str, text: str, labels: tuple[str, ...], value: float) -> GaugeMetricFamily:
    gauge = GaugeMetricFamily(name, text, labels=LABELS)
    gauge.add_metric(labels, value)
    return gauge
