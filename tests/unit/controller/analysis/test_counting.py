"""What pods counted, across restarts and silence."""

import pytest

from aurora_controller.analysis.counting import PodCounters, Share, Tally, is_as_asked


def counters(pod: str, revision: str, requests: int, *, start: float = 0.0) -> PodCounters:
    return PodCounters(pod=pod, revision=revision, start_time=start, requests=requests)


def test_requests_before_the_count_began_do_not_count() -> None:
    tally = Tally(began=100.0).seen([counters("a", "old", 50)]).seen([counters("a", "old", 60)])
    assert tally.requests("old") == 10


def test_a_pod_that_started_later_counts_from_its_first_request() -> None:
    assert Tally(began=100.0).seen([counters("a", "new", 7, start=101.0)]).requests("new") == 7


def test_a_restarted_process_keeps_what_it_had_counted() -> None:
    tally = Tally(began=100.0).seen([counters("a", "new", 7, start=101.0)]).seen([counters("a", "new", 2, start=200.0)])
    assert tally.requests("new") == 9


def test_a_revision_is_idle_when_all_its_counters_stand_still() -> None:
    tally = Tally(began=0.0).seen([counters("a", "old", 5), counters("b", "old", 5)])
    assert tally.idle == frozenset()
    assert tally.seen([counters("a", "old", 5), counters("b", "old", 6)]).idle == frozenset()
    assert tally.seen([counters("a", "old", 5), counters("b", "old", 5)]).idle == {"old"}


@pytest.mark.parametrize(
    ("share", "verdict"),
    [
        pytest.param(Share(canary=10, stable=90), None, id="too few requests tell nothing"),
        pytest.param(Share(canary=105, stable=895), True, id="close to the weight"),
        pytest.param(Share(canary=0, stable=1000), False, id="a canary without traffic"),
        pytest.param(Share(canary=500, stable=500), False, id="far above the weight"),
    ],
)
def test_the_share_is_held_against_the_weight(share: Share, verdict: bool | None) -> None:
    assert is_as_asked(share, 10) is verdict
