"""Names and labels are those that dashboards for controller-runtime ask for."""

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from aurora_controller.kube.metrics import REGISTRY, QueueCollector, ReconcileMetrics, WorkQueueMetrics

EXPECTED = {
    "controller_runtime_reconcile_total": {"controller", "result"},
    "controller_runtime_reconcile_errors_total": {"controller"},
    "controller_runtime_terminal_reconcile_errors_total": {"controller"},
    "controller_runtime_reconcile_panics_total": {"controller"},
    "controller_runtime_reconcile_timeouts_total": {"controller"},
    "controller_runtime_reconcile_time_seconds_count": {"controller"},
    "controller_runtime_max_concurrent_reconciles": {"controller"},
    "controller_runtime_active_workers": {"controller"},
    "workqueue_depth": {"name", "controller", "priority"},
    "workqueue_adds_total": {"name", "controller"},
    "workqueue_retries_total": {"name", "controller"},
    "workqueue_queue_duration_seconds_count": {"name", "controller"},
    "workqueue_work_duration_seconds_count": {"name", "controller"},
    "workqueue_unfinished_work_seconds": {"name", "controller"},
    "workqueue_longest_running_processor_seconds": {"name", "controller"},
}


class Queue:
    """As many ready keys and as much work as a test wants."""

    def __init__(self, depth: dict[int, int], working: list[float]) -> None:
        self._depth = depth
        self._working = working

    def depth(self) -> dict[int, int]:
        return self._depth

    def processing_seconds(self) -> list[float]:
        return self._working


def a_registry(queue: Queue) -> CollectorRegistry:
    registry = CollectorRegistry()
    collector = QueueCollector()
    collector.watch("jobs", queue)
    registry.register(collector)
    return registry


@pytest.mark.parametrize("name", EXPECTED)
def test_every_series_has_its_name_and_labels(name: str) -> None:
    ReconcileMetrics("named", workers=1)
    WorkQueueMetrics("named")
    registry = a_registry(Queue({0: 1}, [])) if name.startswith("workqueue") else REGISTRY
    samples = [
        sample
        for source in (registry, REGISTRY)
        for family in source.restricted_registry([name]).collect()
        for sample in family.samples
        if sample.name == name
    ]

    assert samples
    assert all(set(sample.labels) == EXPECTED[name] for sample in samples)


def test_the_depth_is_told_by_priority_and_the_work_by_its_age() -> None:
    registry = a_registry(Queue({0: 3, -100: 40}, [2.0, 5.0]))
    labels = {"name": "jobs", "controller": "jobs"}

    assert registry.get_sample_value("workqueue_depth", labels | {"priority": "0"}) == 3
    assert registry.get_sample_value("workqueue_depth", labels | {"priority": "-100"}) == 40
    assert registry.get_sample_value("workqueue_unfinished_work_seconds", labels) == 7
    assert registry.get_sample_value("workqueue_longest_running_processor_seconds", labels) == 5


def test_an_empty_queue_says_so() -> None:
    labels = {"name": "jobs", "controller": "jobs", "priority": "0"}

    assert a_registry(Queue({}, [])).get_sample_value("workqueue_depth", labels) == 0


def test_many_priorities_do_not_become_many_series() -> None:
    text = generate_latest(a_registry(Queue(dict.fromkeys(range(1000), 2), []))).decode()

    assert text.count("workqueue_depth{") == 26
    assert 'priority="exceeded_cardinality_limit"} 1950.0' in text
