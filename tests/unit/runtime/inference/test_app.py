"""What a server does beside answering."""

import asyncio

import pytest

from aurora_runtime.inference import app
from aurora_runtime.inference.settings import InferenceSettings
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import MODEL, until


async def test_what_is_to_be_done_again_and_again_is_done_until_the_end() -> None:
    done = 0

    def work() -> None:
        nonlocal done
        done += 1

    async with app.every(0.0, work):
        await until(lambda: done >= 3)
    seen = done
    for _ in range(5):
        await asyncio.sleep(0)
    assert done == seen


async def test_memory_that_requests_have_freed_goes_back_while_a_model_is_served(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, given_back, stop, hasten = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event(), asyncio.Event()
    monkeypatch.setattr(app, "MEMORY_SECONDS", 0.0)
    monkeypatch.setattr(app, "return_freed_memory", lambda: loop.call_soon_threadsafe(given_back.set))
    settings = InferenceSettings(store=store.root, model=MODEL, host="127.0.0.1", port=0, metrics_port=0)
    serving = asyncio.create_task(app.serve(settings, stop=stop, hasten=hasten))
    async with asyncio.timeout(10):
        await given_back.wait()
    stop.set()
    hasten.set()
    await serving
