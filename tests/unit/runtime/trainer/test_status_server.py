import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from aurora_runtime.contract import Phase, TrainingProgress
from aurora_runtime.trainer.progress import Progress
from aurora_runtime.trainer.status_server import build_app, status_server
from tests.unit.fakes.clock import FakeClock


async def get(port: int, path: str) -> tuple[int, str, str]:
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}{path}") as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def test_progress_and_metrics_are_served_while_the_run_lasts(unused_tcp_port: int) -> None:
    registry = CollectorRegistry()
    progress = Progress(run_id="r", clock=FakeClock(), registry=registry)
    async with status_server(build_app(progress, registry), port=unused_tcp_port):
        progress.begin(Phase.FITTING)
        status, content_type, text = await get(unused_tcp_port, "/progress")
        assert (status, content_type) == (200, "application/json; charset=utf-8")
        assert TrainingProgress.model_validate_json(text) == progress.current
        status, content_type, text = await get(unused_tcp_port, "/metrics")
        assert status == 200
        assert content_type.startswith("text/plain; version=0.0.4")
        assert "aurora_training_progress_ratio 0.05" in text
        assert (await get(unused_tcp_port, "/anything"))[0] == 404


async def test_after_the_run_nothing_listens(unused_tcp_port: int) -> None:
    registry = CollectorRegistry()
    app = build_app(Progress(run_id="r", clock=FakeClock(), registry=registry), registry)
    async with status_server(app, port=unused_tcp_port):
        pass
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(unused_tcp_port, "/progress")


async def test_without_a_port_nothing_is_set_up() -> None:
    registry = CollectorRegistry()
    app = build_app(Progress(run_id="r", clock=FakeClock(), registry=registry), registry)
    async with status_server(app, port=None):
        assert not app.frozen
