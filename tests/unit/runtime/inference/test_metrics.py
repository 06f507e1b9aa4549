"""What is counted, under the names that dashboards and the controller rely on."""

import re

import pytest
from aiohttp.test_utils import TestClient, TestServer

from aurora_runtime.contract import ServingCounters
from aurora_runtime.inference.app import metrics_app
from aurora_runtime.inference.metrics import EDGES, Histogram, ServerMetrics
from tests.unit.runtime.inference.models import MODEL, REVISION, Serving

LABELS = f'model="{MODEL}",revision="{REVISION}",version="1"'


def sample(metrics: ServerMetrics, series: str) -> float:
    """Value of one series of /metrics; its labels in any order."""
    name, _, labels = series.partition("{")
    wanted = set(f"{labels.rstrip('}')},{LABELS}".strip(",").split(","))
    for line in metrics.render().decode().splitlines():
        found = re.fullmatch(rf"{name}\{{(.*)\}} (.*)", line)
        if found and set(found[1].split(",")) == wanted:
            return float(found[2])
    raise AssertionError(f"no series {series}")


async def test_requests_are_counted_by_code(serving: Serving) -> None:
    await serving.infer()
    await serving.infer()
    await serving.infer(b"{")
    await serving.infer(path="/v2/models/other/infer")
    assert sample(serving.metrics, 'aurora_inference_requests_total{code="200"}') == 2
    assert sample(serving.metrics, 'aurora_inference_requests_total{code="400"}') == 1
    assert sample(serving.metrics, 'aurora_inference_requests_total{code="404"}') == 1


async def test_health_and_metadata_are_no_inference_requests(serving: Serving) -> None:
    await serving.request("GET", "/v2/health/ready")
    await serving.request("GET", f"/v2/models/{MODEL}")
    counters = serving.metrics.counters()
    assert counters is not None
    assert counters.requests == 0


@pytest.mark.parametrize("phase", ["decode", "queue", "predict", "encode"])
async def test_each_phase_of_an_answered_request_is_timed(serving: Serving, phase: str) -> None:
    await serving.infer()
    assert sample(serving.metrics, f'aurora_inference_duration_seconds_count{{phase="{phase}"}}') == 1
    assert 0 < sample(serving.metrics, f'aurora_inference_duration_seconds_sum{{phase="{phase}"}}') < 10


def test_buckets_are_cumulative_and_an_edge_belongs_to_its_bucket() -> None:
    histogram = Histogram(EDGES)
    for seconds in (0.00005, 0.0001, 0.0003, 60.0):
        histogram.observe(seconds)
    buckets = dict(histogram.buckets())
    assert [buckets[edge] for edge in ("0.0001", "0.00025", "0.0005", "5.0", "+Inf")] == [2, 2, 3, 3, 4]
    assert histogram.sum == pytest.approx(60.00045)


def test_the_model_is_told_with_its_digest_once_it_is_loaded() -> None:
    metrics = ServerMetrics(model=MODEL, version=None, revision=REVISION)
    assert "aurora_model_info" not in metrics.render().decode()
    metrics.loaded(version=1, digest="sha256:ab", model_format="onnx", seconds=1.5)
    assert sample(metrics, 'aurora_model_info{digest="sha256:ab",format="onnx"}') == 1
    assert sample(metrics, "aurora_model_load_seconds{}") == 1.5
    assert sample(metrics, "aurora_inference_in_flight{}") == 0
    assert sample(metrics, "aurora_inference_queue_depth{}") == 0


async def test_the_controller_reads_counters_that_only_grow() -> None:
    metrics = ServerMetrics(model=MODEL, version=3, revision=REVISION)
    for code in (200, 404, 500, 503):
        metrics.begin()
        metrics.end(code)
    metrics.begin()
    async with TestClient(TestServer(metrics_app(metrics))) as client, client.get("/counters") as response:
        counters = ServingCounters.model_validate_json(await response.read())
    assert counters == ServingCounters(
        model=MODEL,
        version=3,
        revision=REVISION,
        start_time=metrics.start_time,
        requests=4,
        errors=2,
        in_flight=1,
    )


async def test_before_the_version_is_known_there_are_no_counters() -> None:
    metrics = ServerMetrics(model=MODEL, version=None, revision="")
    async with TestClient(TestServer(metrics_app(metrics))) as client:
        async with client.get("/counters") as response:
            assert response.status == 503
        async with client.get("/metrics") as scrape:
            assert scrape.status == 200
            assert 'phase="decode"' in await scrape.text()
