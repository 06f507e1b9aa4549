from aurora_controller.kube.backoff import Backoff
from tests.unit.fakes.clock import FakeClock


def test_pauses_double_up_to_their_limit() -> None:
    backoff = Backoff(clock=FakeClock(), jitter=lambda: 0.0)
    assert [backoff.next_seconds() for _ in range(8)] == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]


def test_a_pause_is_stretched_by_up_to_its_own_length() -> None:
    backoff = Backoff(clock=FakeClock(), jitter=lambda: 0.5)
    assert [round(backoff.next_seconds(), 6) for _ in range(2)] == [1.2, 2.4]


async def test_after_a_calm_time_pauses_start_small_again() -> None:
    clock = FakeClock()
    backoff = Backoff(clock=clock, jitter=lambda: 0.0)
    for _ in range(5):
        backoff.next_seconds()
    await clock.advance(119)
    assert backoff.next_seconds() == 25.6
    await clock.advance(121)
    assert backoff.next_seconds() == 0.8
