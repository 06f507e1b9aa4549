"""Blocking work goes through in order, its errors come back, and nobody computes for those who left."""

import asyncio
import threading

import pytest

from aurora_runtime.inference.workers import Workers


async def test_a_function_runs_on_another_thread_and_its_result_comes_back() -> None:
    async with Workers(threads=1) as workers:
        assert await workers.run(threading.get_ident) != threading.get_ident()


async def test_an_error_reaches_whoever_asked() -> None:
    async with Workers(threads=1) as workers:
        with pytest.raises(ZeroDivisionError):
            await workers.run(divmod, 1, 0)
        assert await workers.run(divmod, 7, 2) == (3, 1)


async def test_many_jobs_come_back_each_to_its_own_caller() -> None:
    async with Workers(threads=4) as workers:
        assert await asyncio.gather(*(workers.run(abs, -number) for number in range(1000))) == list(range(1000))


async def test_a_job_that_nobody_waits_for_any_more_is_not_run() -> None:
    release = threading.Event()
    entered = threading.Event()
    ran: list[str] = []

    def hold() -> None:
        entered.set()
        release.wait(10)

    async with Workers(threads=1) as workers:
        workers.submit(hold)
        await asyncio.to_thread(entered.wait)
        workers.submit(ran.append, "given up").future.cancel()
        release.set()
        await workers.run(ran.append, "wanted")
    assert ran == ["wanted"]


async def test_a_job_that_hangs_does_not_hold_up_the_end() -> None:
    forever = threading.Event()
    async with asyncio.timeout(5):
        async with Workers(threads=1) as workers:
            job = workers.submit(forever.wait)
        assert not job.future.done()
    forever.set()
    await job.future
