"""What the probes answer."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Counter

from aurora_controller.kube.health import HealthServer


class Answers:
    """A server under test, its informers and its registry."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.registry = CollectorRegistry()
        self.server = HealthServer(
            liveness={"ping": lambda: None},
            readiness={"ping": lambda: None, "informers": lambda: self.problem},
            registry=self.registry,
            port=0,
            metrics_port=0,
            host="127.0.0.1",
        )

    async def get(self, path: str) -> tuple[int, str]:
        host, port = self.server.addresses[-1 if path == "/metrics" else 0]
        async with aiohttp.ClientSession() as session, session.get(f"http://{host}:{port}{path}") as response:
            return response.status, await response.text()


@pytest.fixture
async def answers() -> AsyncIterator[Answers]:
    answers = Answers()
    async with answers.server.serving():
        yield answers


async def test_a_probe_says_ok_while_nothing_is_wrong(answers: Answers) -> None:
    assert await answers.get("/readyz") == (200, "ok")
    assert await answers.get("/healthz") == (200, "ok")


async def test_not_ready_names_what_is_wrong_and_stays_alive(answers: Answers) -> None:
    answers.problem = "pods: not synced"

    status, text = await answers.get("/readyz")

    assert status == 500
    assert "[-] informers: pods: not synced" in text
    assert "[+] ping: ok" in text
    assert (await answers.get("/healthz"))[0] == 200


async def test_one_check_can_be_asked_alone(answers: Answers) -> None:
    answers.problem = "pods: not synced"

    assert (await answers.get("/readyz/ping"))[0] == 200
    assert (await answers.get("/readyz/informers"))[0] == 500
    assert (await answers.get("/readyz/coffee"))[0] == 404


async def test_metrics_are_served_in_the_prometheus_text_format(answers: Answers) -> None:
    Counter("beats", "Beats.", registry=answers.registry).inc()

    status, text = await answers.get("/metrics")

    assert status == 200
    assert "beats_total 1.0" in text


async def test_metrics_have_a_port_of_their_own(answers: Answers) -> None:
    probes, metrics = answers.server.addresses

    assert probes != metrics


async def test_probes_and_metrics_may_share_a_port() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = HealthServer(
        liveness={}, readiness={}, registry=CollectorRegistry(), port=port, metrics_port=port, host="127.0.0.1"
    )

    async with server.serving():
        assert server.addresses == [("127.0.0.1", port)]
