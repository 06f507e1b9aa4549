"""How a soak judges whether a process stayed as it was."""

import os
import time

import pytest

from tests.faults.vitals import FLAT_RATIO, cpu_seconds, growth, vitals_of


def test_a_series_that_only_swings_is_flat() -> None:
    assert growth([70, 75, 72] * 20) == pytest.approx(1.0)


def test_a_leak_shows_in_the_last_third() -> None:
    found = growth([70 + 0.2 * minute for minute in range(120)])
    assert found is not None
    assert found > FLAT_RATIO


def test_one_peak_is_no_leak() -> None:
    assert growth([70.0] * 30 + [140.0] + [70.0] * 5) == pytest.approx(1.0)


def test_a_short_life_is_not_judged() -> None:
    assert growth([70, 140, 210]) is None


def test_vitals_tell_of_a_file_that_is_opened() -> None:
    before = vitals_of(os.getpid())
    with open(os.devnull):  # noqa: PTH123
        assert vitals_of(os.getpid()).fds == before.fds + 1
    assert before.rss_mb > 1
    assert before.threads >= 1


def test_no_vitals_of_a_process_that_is_gone() -> None:
    with pytest.raises(OSError, match=r"\d+"):
        vitals_of(2**22 + 1)


def test_cpu_time_is_counted() -> None:
    before, deadline = cpu_seconds(), time.process_time() + 0.05
    while time.process_time() < deadline:
        pass
    assert cpu_seconds() > before
