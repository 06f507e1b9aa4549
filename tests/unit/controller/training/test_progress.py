"""Progress is copied from the running trainer, sparingly, and never holds a reconcile up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web

from aurora_controller.training.progress import HttpProgressReader
from aurora_runtime.contract import Phase, TrainingProgress
from tests.unit.controller.training.world import World
from tests.unit.fakes.clock import FakeClock

JOB_V1 = "housing-rf-v1-1"
BODY = TrainingProgress(run_id="run", phase=Phase.FITTING, percent=40).to_json()


class Telling:
    """A trainer that tells what a test sets."""

    def __init__(self) -> None:
        self.progress: TrainingProgress | None = None
        self.asked: list[str] = []

    async def read(self, *, pod_uid: str, pod_ip: str) -> TrainingProgress | None:
        self.asked.append(pod_ip)
        return self.progress


class Trained:
    """A world whose first trainer runs, and what it tells."""

    def __init__(self) -> None:
        self.world = World()
        self.telling = Telling()
        self.world.reconciler._progress = self.telling

    @classmethod
    async def begin(cls) -> "Trained":
        trained = cls()
        await trained.world.settle()
        trained.world.start_pods()
        await trained.world.settle()
        return trained

    async def tell(self, percent: int, *, after_seconds: float = 0, phase: Phase = Phase.FITTING) -> None:
        run_id = self.world.status["run"]["id"]
        self.telling.progress = TrainingProgress(run_id=run_id, phase=phase, percent=percent)
        self.world.advance(after_seconds)
        await self.world.settle()

    @property
    def shown(self) -> str | None:
        return self.world.status.get("progressPercent")


async def test_progress_is_shown_with_its_phase() -> None:
    trained = await Trained.begin()
    await trained.tell(40)
    assert trained.world.status["progress"] == {
        "phase": "Fitting",
        "percent": 40,
        "observedAt": "2026-11-23T10:00:00Z",
    }
    assert trained.shown == "40%"
    assert trained.telling.asked[0] == "10.244.0.7"


async def test_small_steps_wait_fifteen_seconds_and_big_ones_do_not() -> None:
    trained = await Trained.begin()
    await trained.tell(40)
    await trained.tell(44, after_seconds=14)
    assert trained.shown == "40%"
    await trained.tell(45)
    assert trained.shown == "45%"
    await trained.tell(46, after_seconds=15)
    assert trained.shown == "46%"


async def test_small_steps_do_not_wait_for_a_clock_that_was_set_back() -> None:
    trained = await Trained.begin()
    await trained.tell(40)
    await trained.tell(41, after_seconds=-3600)
    assert trained.shown == "41%"


async def test_no_step_is_no_write() -> None:
    trained = await Trained.begin()
    await trained.tell(40)
    trained.world.advance(60)
    assert (await trained.world.reconcile()).writes == ()


async def test_a_running_job_is_looked_at_again_in_fifteen_seconds_and_sooner_until_it_tells() -> None:
    trained = await Trained.begin()
    assert (await trained.world.plan()).requeue_after_seconds == 5
    await trained.tell(40)
    assert (await trained.world.plan()).requeue_after_seconds == 15


async def test_progress_of_another_run_is_not_shown() -> None:
    trained = await Trained.begin()
    trained.telling.progress = TrainingProgress(run_id="another", phase=Phase.FITTING, percent=40)
    await trained.world.settle()
    assert trained.shown is None


async def test_a_trainer_that_does_not_run_is_not_asked() -> None:
    trained = Trained()
    await trained.world.run()
    asked = len(trained.telling.asked)
    await trained.world.settle()
    assert len(trained.telling.asked) == asked


async def test_success_is_one_hundred_percent_and_a_new_attempt_begins_at_nothing() -> None:
    trained = await Trained.begin()
    await trained.tell(40)
    trained.world.end(JOB_V1, exit_code=1)
    await trained.world.settle()
    assert trained.shown is None
    assert "progress" not in trained.world.status
    await trained.world.run()
    assert trained.shown == "100%"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Pod:
    """A trainer's metrics port on the loopback, with a reader of it on virtual time."""

    def __init__(self) -> None:
        self.requests = 0
        self.answer: Handler = self.tells
        self.clock = FakeClock()
        self.reader: HttpProgressReader

    async def tells(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=BODY)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        return await self.answer(request)

    async def read(self) -> TrainingProgress | None:
        return await self.reader.read(pod_uid="pod-uid", pod_ip="127.0.0.1")


@pytest.fixture
async def pod() -> AsyncIterator[Pod]:
    pod = Pod()
    app = web.Application()
    app.router.add_get("/progress", pod.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    async with aiohttp.ClientSession() as session:
        pod.reader = HttpProgressReader(session=session, clock=pod.clock, port=port)
        yield pod
    await runner.cleanup()


async def test_a_pod_is_asked_over_http_at_most_every_fifteen_seconds(pod: Pod) -> None:
    first = await pod.read()
    assert first is not None
    assert (first.phase, first.percent) == (Phase.FITTING, 40)
    await pod.clock.advance(14)
    assert await pod.read() == first
    assert pod.requests == 1
    await pod.clock.advance(1)
    await pod.read()
    assert pod.requests == 2


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(web.Response(status=503), id="not ready"),
        pytest.param(web.Response(text="<html>"), id="not JSON"),
        pytest.param(web.Response(text='{"percent": 400}'), id="not progress"),
        pytest.param(web.Response(text=BODY + " " * 100_000), id="too long"),
        pytest.param(web.Response(status=302, headers={"Location": "/progress"}), id="a redirect"),
    ],
)
async def test_an_answer_that_is_none_is_ignored(pod: Pod, response: web.Response) -> None:
    async def odd(request: web.Request) -> web.StreamResponse:
        return response

    pod.answer = odd
    assert await pod.read() is None
    assert pod.requests == 1


async def test_a_pod_that_does_not_answer_costs_at_most_a_second(pod: Pod) -> None:
    asked = asyncio.Event()

    async def never(request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    pod.answer = never
    reading = asyncio.create_task(pod.read())
    await asked.wait()
    await pod.clock.advance(1)
    assert await reading is None


async def test_a_port_that_is_closed_is_ignored(pod: Pod) -> None:
    pod.reader.port = 1
    assert await pod.read() is None


async def test_a_pod_that_does_not_tell_is_asked_ever_more_seldom(pod: Pod) -> None:
    """Behind a NetworkPolicy each question costs a second."""

    async def refuses(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    pod.answer = refuses
    asked_at = []
    for second in range(0, 1000, 5):
        before = pod.requests
        assert await pod.read() is None
        asked_at += [second] if pod.requests > before else []
        await pod.clock.advance(5)
    assert asked_at == [0, 5, 20, 65, 200, 500, 800]
    pod.answer = pod.tells
    await pod.clock.advance(300)
    assert await pod.read() is not None
    await pod.clock.advance(15)
    before = pod.requests
    await pod.read()
    assert pod.requests == before + 1


async def test_old_pods_are_forgotten(pod: Pod) -> None:
    await pod.read()
    await pod.clock.advance(901)
    await pod.reader.read(pod_uid="another", pod_ip="127.0.0.1")
    assert set(pod.reader._answers) == {"another"}
