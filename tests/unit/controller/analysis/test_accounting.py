"""Shares and stillness from cumulative counters that die with their process."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_controller.analysis.accounting import Count, Reading, advance, band, begin, fits, stand_still

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
BEFORE = (NOW - timedelta(hours=1)).timestamp()


def a_reading(
    pod: str = "p", requests: int = 0, *, revision: str = "s", start: float = BEFORE, busy: int = 0
) -> Reading:
    return Reading(pod=pod, revision=revision, start_time=start, requests=requests, in_flight=busy)


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_requests_from_before_the_count_do_not_count() -> None:
    count = begin([a_reading("s", 900), a_reading("c", 30, revision="c")], NOW)
    count = advance(count, [a_reading("s", 990), a_reading("c", 40, revision="c")], canary="c", now=later(60))
    assert (count.stable, count.canary, count.canary_percent) == (90, 10, 10.0)
    assert (count.since, count.at) == (NOW, later(60))


def test_a_pod_that_starts_during_the_count_counts_from_its_first_request() -> None:
    count = begin([a_reading("s", 5)], NOW)
    fresh = a_reading("new", 7, start=later(10).timestamp())
    assert advance(count, [a_reading("s", 5), fresh], canary="c", now=later(60)).stable == 7


def test_a_restarted_process_counts_from_0_again_and_what_it_had_counted_is_kept() -> None:
    count = begin([a_reading(requests=100)], NOW)
    count = advance(count, [a_reading(requests=150)], canary="c", now=later(60))
    count = advance(count, [a_reading(requests=4, start=later(70).timestamp())], canary="c", now=later(120))
    assert count.stable == 54


def test_a_pod_that_was_silent_at_first_brings_no_history() -> None:
    count = advance(begin([], NOW), [a_reading(requests=1000)], canary="c", now=later(60))
    assert count.total == 0
    assert advance(count, [a_reading(requests=1010)], canary="c", now=later(120)).total == 10


def test_a_pod_that_is_silent_for_once_loses_nothing() -> None:
    count = begin([a_reading(requests=10)], NOW)
    count = advance(count, [], canary="c", now=later(60))
    assert advance(count, [a_reading(requests=30)], canary="c", now=later(120)).total == 20


def test_a_counter_never_counts_backwards() -> None:
    count = begin([a_reading(requests=10)], NOW)
    assert advance(count, [a_reading(requests=3)], canary="c", now=later(60)).total == 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8))
def test_the_total_is_independent_of_how_often_one_looks(increases: list[int]) -> None:
    often = begin([a_reading()], NOW)
    seen = 0
    for increase in increases:
        seen += increase
        often = advance(often, [a_reading(requests=seen)], canary="c", now=NOW)
    once = advance(begin([a_reading()], NOW), [a_reading(requests=seen)], canary="c", now=NOW)
    assert often == once


@pytest.mark.parametrize(
    ("stable", "canary", "weight", "verdict"),
    [
        pytest.param(180, 19, 10, None, id="too few requests say nothing"),
        pytest.param(0, 0, 10, None, id="no traffic says nothing"),
        pytest.param(1800, 200, 10, True, id="exactly as asked"),
        pytest.param(1780, 220, 10, True, id="within the band"),
        pytest.param(1000, 1000, 10, False, id="far too much"),
        pytest.param(2000, 0, 10, False, id="nothing arrives"),
        pytest.param(0, 500, 100, True, id="all of it"),
    ],
)
def test_the_share_is_held_against_the_weight(stable: int, canary: int, weight: int, verdict: bool | None) -> None:
    assert fits(Count(since=NOW, at=NOW, stable=stable, canary=canary), weight) is verdict


def test_the_band_narrows_with_more_requests_down_to_the_tolerance() -> None:
    assert band(10, 200) > band(10, 2000) > band(10, 200_000) > 2.0


@pytest.mark.parametrize(
    ("before", "after", "is_still"),
    [
        pytest.param([a_reading("a", 5)], [a_reading("a", 5)], True, id="nothing came"),
        pytest.param([a_reading("a", 5)], [a_reading("a", 6)], False, id="one came"),
        pytest.param([a_reading("a", 5)], [a_reading("a", 5, busy=1)], False, id="one is being answered"),
        pytest.param([a_reading("a", 5)], [], False, id="it did not answer"),
        pytest.param([], [a_reading("a", 5)], False, id="it was not asked before"),
        pytest.param([a_reading("a", 5)], [a_reading("a", 5, start=BEFORE + 9)], False, id="it is another process"),
    ],
)
def test_a_revision_stands_still_when_two_looks_see_the_same(
    before: list[Reading], after: list[Reading], is_still: bool
) -> None:
    assert stand_still(before, after, ["a"]) is is_still
