import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from aurora_controller.kube.clock import SystemClock, format_micro_time, format_time, parse_time
from tests.unit.fakes.clock import FakeClock

MOMENT = datetime(2026, 11, 23, 10, 0, 0, 120_000, tzinfo=UTC)


def test_times_are_written_in_utc_with_whole_seconds() -> None:
    assert format_time(MOMENT) == "2026-11-23T10:00:00Z"
    assert format_time(MOMENT.astimezone(timezone(timedelta(hours=-5)))) == "2026-11-23T10:00:00Z"


def test_micro_times_have_six_digits_even_when_they_are_zero() -> None:
    assert format_micro_time(MOMENT) == "2026-11-23T10:00:00.120000Z"
    assert format_micro_time(MOMENT.replace(microsecond=0)) == "2026-11-23T10:00:00.000000Z"


@pytest.mark.parametrize(
    "text", ["2026-11-23T10:00:00.12Z", "2026-11-23T10:00:00.120000Z", "2026-11-23T05:00:00.12-05:00"]
)
def test_a_time_is_read_with_any_fraction_and_zone(text: str) -> None:
    assert parse_time(text) == MOMENT
    assert parse_time(text).tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        parse_time("2026-11-23T10:00:00")


async def test_the_systems_clock_tells_aware_time_and_ends_what_takes_too_long() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    before = clock.monotonic()
    await clock.sleep(0)
    assert clock.monotonic() >= before
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.001):
            await asyncio.Event().wait()


async def test_virtual_sleepers_wake_in_the_order_of_their_time() -> None:
    clock, woken = FakeClock(), []

    async def sleep(*spans: float) -> None:
        for seconds in spans:
            await clock.sleep(seconds)
            woken.append((clock.monotonic(), seconds))

    async with asyncio.TaskGroup() as group:
        group.create_task(sleep(3.0))
        group.create_task(sleep(1.0, 1.5))
        await clock.advance(10)
    assert woken == [(1.0, 1.0), (2.5, 1.5), (3.0, 3.0)]
    assert clock.monotonic() == 10


async def test_a_virtual_timeout_ends_its_block_at_its_moment_and_no_other() -> None:
    clock = FakeClock()

    async def wait(seconds: float) -> str:
        try:
            async with clock.timeout(5):
                await clock.sleep(seconds)
        except TimeoutError:
            return f"timeout at {clock.monotonic():g}"
        return f"done at {clock.monotonic():g}"

    slow, fast = asyncio.create_task(wait(6)), asyncio.create_task(wait(4))
    await clock.advance(100)
    assert (await slow, await fast) == ("timeout at 5", "done at 4")
    assert clock.sleeping == []
