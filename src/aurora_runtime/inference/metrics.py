"""What a server counts, under ``/metrics`` for Prometheus and ``/counters`` for the controller.

Every series carries ``model``, ``version`` and ``revision``, so that a query can tell a canary from stable.
"""

import time
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from aurora_runtime.contract import ServingCounters

LABELS: Final = ("model", "version", "revision")
SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
PHASES: Final = ("decode", "queue", "predict", "encode")


@dataclass(kw_only=True)
class ServerMetrics:
    """Counters of one server process."""

    model: str
    version: str
    revision: str
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    start_time: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        labels = (self.model, self.version, self.revision)
        duration = Histogram(
            "aurora_inference_duration_seconds",
            "Time of the phases of an inference request: decode, queue, predict, encode.",
            (*LABELS, "phase"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._durations = {phase: duration.labels(*labels, phase) for phase in PHASES}
        self._requests = Counter(
            "aurora_inference_requests", "Inference requests by HTTP code.", (*LABELS, "code"), registry=self.registry
        )
        self._failures = Counter(
            "aurora_auth_failures", "Requests without a valid API key.", LABELS, registry=self.registry
        ).labels(*labels)
        self._in_flight = Gauge(
            "aurora_inference_in_flight", "Inference requests being answered.", LABELS, registry=self.registry
        ).labels(*labels)
        self._queue = Gauge(
            "aurora_inference_queue_depth", "Requests waiting for a prediction.", LABELS, registry=self.registry
        ).labels(*labels)
        self._info = Gauge(
            "aurora_model_info", "The served model.", (*LABELS, "digest", "format"), registry=self.registry
        )
        self._load = Gauge(
            "aurora_model_load_seconds", "Time from start to ready.", LABELS, registry=self.registry
        ).labels(*labels)
        self._total = self._errors = self._current = 0

    def loaded(self, *, digest: str, model_format: str, seconds: float) -> None:
        self._info.labels(self.model, self.version, self.revision, digest, model_format).set(1)
        self._load.set(seconds)

    def begin(self) -> None:
        self._current += 1
        self._in_flight.set(self._current)

    def end(self, code: int) -> None:
        """Counts an answered inference request."""
        self._current -= 1
        self._in_flight.set(self._current)
        self._total += 1
        self._errors += code >= 500
        self._requests.labels(self.model, self.version, self.revision, str(code)).inc()

    def observe(self, phase: str, seconds: float) -> None:
        self._durations[phase].observe(seconds)

    def queued(self, depth: int) -> None:
        self._queue.set(depth)

    def refused_key(self) -> None:
        self._failures.inc()

    def counters(self) -> ServingCounters:
        return ServingCounters(
            model=self.model,
            version=int(self.version),
            revision=self.revision,
            start_time=self.start_time,
            requests=self._total,
            errors=self._errors,
            in_flight=self._current,
        )

    def render(self) -> bytes:
        """Prometheus text format."""
        return generate_latest(self.registry)
