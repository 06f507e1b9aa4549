"""Prometheus metrics under the names that controller-runtime and client-go use, so that their dashboards just work.

All of them live in ``REGISTRY``, one per process. What can be counted at the moment of a scrape (depths, ages) is
counted then, not kept up to date in between.
Source of names, labels and buckets: controller-runtime pkg/internal/controller/metrics and pkg/metrics.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_RECONCILE_BUCKETS = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
    *(1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60),
)
_QUEUE_BUCKETS = tuple(10.0**exponent for exponent in range(-8, 4))
_REST_BUCKETS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
_SIZE_BUCKETS = (64, 256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216)
_LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_MAX_PRIORITIES = 25

RECONCILES: Final = Counter(
    "controller_runtime_reconcile",
    "Reconciles by result: error, requeue_after, requeue, success.",
    ["controller", "result"],
    registry=REGISTRY,
)
RECONCILE_ERRORS: Final = Counter(
    "controller_runtime_reconcile_errors", "Reconciles that failed.", ["controller"], registry=REGISTRY
)
TERMINAL_RECONCILE_ERRORS: Final = Counter(
    "controller_runtime_terminal_reconcile_errors",
    "Reconciles that failed and are not tried again before the object changes.",
    ["controller"],
    registry=REGISTRY,
)
RECONCILE_PANICS: Final = Counter(
    "controller_runtime_reconcile_panics",
    "Reconciles that raised what no reconciler raises on purpose.",
    ["controller"],
    registry=REGISTRY,
)
RECONCILE_TIMEOUTS: Final = Counter(
    "controller_runtime_reconcile_timeouts", "Reconciles stopped at their deadline.", ["controller"], registry=REGISTRY
)
RECONCILE_SECONDS: Final = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "Duration of reconciles.",
    ["controller"],
    buckets=_RECONCILE_BUCKETS,
    registry=REGISTRY,
)
MAX_CONCURRENT_RECONCILES: Final = Gauge(
    "controller_runtime_max_concurrent_reconciles", "Workers of a controller.", ["controller"], registry=REGISTRY
)
ACTIVE_WORKERS: Final = Gauge(
    "controller_runtime_active_workers", "Workers that are reconciling.", ["controller"], registry=REGISTRY
)

WORKQUEUE_ADDS: Final = Counter(
    "workqueue_adds", "Keys added, merged ones not counted.", ["name", "controller"], registry=REGISTRY
)
WORKQUEUE_RETRIES: Final = Counter(
    "workqueue_retries", "Keys added again after a failure.", ["name", "controller"], registry=REGISTRY
)
WORKQUEUE_QUEUE_SECONDS: Final = Histogram(
    "workqueue_queue_duration_seconds",
    "How long keys were ready before a worker took them.",
    ["name", "controller"],
    buckets=_QUEUE_BUCKETS,
    registry=REGISTRY,
)
WORKQUEUE_WORK_SECONDS: Final = Histogram(
    "workqueue_work_duration_seconds",
    "How long workers had a key.",
    ["name", "controller"],
    buckets=_QUEUE_BUCKETS,
    registry=REGISTRY,
)

REST_REQUESTS: Final = Counter(
    "rest_client_requests",
    "Requests to the API server, by code (or <error>) and method.",
    ["code", "method", "host"],
    registry=REGISTRY,
)
REST_SECONDS: Final = Histogram(
    "rest_client_request_duration_seconds",
    "Duration of requests other than watches.",
    ["verb", "host"],
    buckets=_REST_BUCKETS,
    registry=REGISTRY,
)
REST_REQUEST_BYTES: Final = Histogram(
    "rest_client_request_size_bytes", "Size of sent bodies.", ["verb", "host"], buckets=_SIZE_BUCKETS, registry=REGISTRY
)
REST_RESPONSE_BYTES: Final = Histogram(
    "rest_client_response_size_bytes",
    "Size of received bodies.",
    ["verb", "host"],
    buckets=_SIZE_BUCKETS,
    registry=REGISTRY,
)
REST_RETRIES: Final = Counter(
    "rest_client_request_retries", "Requests sent again.", ["code", "verb", "host"], registry=REGISTRY
)

LEADER: Final = Gauge(
    "leader_election_master_status", "1 while this process holds the Lease.", ["name"], registry=REGISTRY
)
LEADER_SLOWPATH: Final = Counter(
    "leader_election_slowpath", "Renewals that had to read the Lease first.", ["name"], registry=REGISTRY
)
EVENTS_DISCARDED: Final = Counter(
    "events_discarded", "Kubernetes Events that were not sent, by why.", ["why"], registry=REGISTRY
)
WATCH_EVENTS_SKIPPED: Final = Counter(
    "watch_events_skipped",
    "Events and listed objects that could not be understood and were left out.",
    ["kind", "why"],
    registry=REGISTRY,
)
LOOP_LAG_SECONDS: Final = Histogram(
    "event_loop_lag_seconds",
    "How much later than asked the event loop woke a timer: what one blocking step costs everybody.",
    buckets=_LAG_BUCKETS,
    registry=REGISTRY,
)


class ReconcileMetrics:
    """The series of one controller; each result is there from the start, at zero."""

    def __init__(self, controller: str, *, workers: int) -> None:
        self._results = {
            result: RECONCILES.labels(controller=controller, result=result)
            for result in ("error", "requeue_after", "requeue", "success")
        }
        self.errors = RECONCILE_ERRORS.labels(controller=controller)
        self.terminal_errors = TERMINAL_RECONCILE_ERRORS.labels(controller=controller)
        self.panics = RECONCILE_PANICS.labels(controller=controller)
        self.timeouts = RECONCILE_TIMEOUTS.labels(controller=controller)
        self.seconds = RECONCILE_SECONDS.labels(controller=controller)
        self.active = ACTIVE_WORKERS.labels(controller=controller)
        MAX_CONCURRENT_RECONCILES.labels(controller=controller).set(workers)

    def result(self, result: str) -> None:
        """Counts one reconcile: ``error``, ``requeue_after``, ``requeue`` or ``success``."""
        self._results[result].inc()


class WorkQueueMetrics:
    """The series of one queue, which bears its controller's name."""

    def __init__(self, name: str) -> None:
        labels = {"name": name, "controller": name}
        self._adds = WORKQUEUE_ADDS.labels(**labels)
        self._retries = WORKQUEUE_RETRIES.labels(**labels)
        self._queued = WORKQUEUE_QUEUE_SECONDS.labels(**labels)
        self._worked = WORKQUEUE_WORK_SECONDS.labels(**labels)

    def added(self) -> None:
        self._adds.inc()

    def retried(self) -> None:
        self._retries.inc()

    def taken(self, waited_seconds: float) -> None:
        self._queued.observe(waited_seconds)

    def finished(self, worked_seconds: float) -> None:
        self._worked.observe(worked_seconds)


class MeasuredQueue(Protocol):
    def depth(self) -> Mapping[int, int]: ...
    def processing_seconds(self) -> list[float]: ...


class QueueCollector(Collector):
    """Depth, unfinished work and the longest run of every queue, as of the scrape."""

    def __init__(self) -> None:
        self._queues: dict[str, MeasuredQueue] = {}

    def watch(self, name: str, queue: MeasuredQueue) -> None:
        self._queues[name] = queue

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return _queue_families()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        depth, unfinished, longest = families = _queue_families()
        for name, queue in self._queues.items():
            for priority, count in _bounded(queue.depth()).items():
                depth.add_metric([name, name, priority], count)
            seconds = queue.processing_seconds()
            unfinished.add_metric([name, name], sum(seconds))
            longest.add_metric([name, name], max(seconds, default=0.0))
        yield from families


def _queue_families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily]:
    return (
        GaugeMetricFamily("workqueue_depth", "Ready keys.", labels=["name", "controller", "priority"]),
        GaugeMetricFamily(
            "workqueue_unfinished_work_seconds",
            "Sum of how long the keys being worked on have been.",
            labels=["name", "controller"],
        ),
        GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds",
            "How long the oldest key being worked on has been.",
            labels=["name", "controller"],
        ),
    )


def _bounded(depth: Mapping[int, int]) -> dict[str, int]:
    """Depth by priority; beyond the 25 highest, the rest in one series. An empty queue says 0."""
    named = sorted(depth.items(), reverse=True)
    series = {str(priority): count for priority, count in named[:_MAX_PRIORITIES]}
    rest = sum(count for _, count in named[_MAX_PRIORITIES:])
    if rest:
        series["exceeded_cardinality_limit"] = rest
    return series or {"0": 0}


QUEUES: Final = QueueCollector()
REGISTRY.register(QUEUES)
