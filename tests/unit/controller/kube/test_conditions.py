"""Conditions say since when something holds, and drop what must be said anew."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aurora_controller.kube.conditions import (
    carried_over,
    conditions_of,
    find_condition,
    is_true,
    remove_condition,
    set_condition,
)

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


def ready(conditions: list[dict[str, Any]], status: Any, *, reason: str = "Why", now: datetime = NOW) -> Any:
    return set_condition(
        conditions, type="Ready", status=status, reason=reason, message="because", generation=3, now=now
    )


def test_a_new_condition_carries_everything_the_api_conventions_ask_for() -> None:
    assert ready([], "True") == [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Why",
            "message": "because",
            "lastTransitionTime": "2026-11-23T10:00:00Z",
            "observedGeneration": 3,
        }
    ]


def test_the_transition_time_moves_with_the_status() -> None:
    [condition] = ready(ready([], "True"), "False", now=LATER)

    assert condition["lastTransitionTime"] == "2026-11-23T10:05:00Z"


def test_another_reason_leaves_the_transition_time_alone() -> None:
    [condition] = ready(ready([], "True"), "True", reason="Other", now=LATER)

    assert (condition["reason"], condition["lastTransitionTime"]) == ("Other", "2026-11-23T10:00:00Z")


def test_a_condition_keeps_its_place_among_the_others() -> None:
    others = [{"type": "A", "status": "True"}, *ready([], "True"), {"type": "Z", "status": "True"}]

    assert [condition["type"] for condition in ready(others, "False")] == ["A", "Ready", "Z"]


def test_setting_changes_neither_the_list_nor_its_conditions() -> None:
    old = ready([], "True")
    before = [dict(condition) for condition in old]

    ready(old, "False", now=LATER)

    assert old == before


def test_the_abnormal_conditions_are_not_carried_over() -> None:
    old = [{"type": kind, "status": "True"} for kind in ("Ready", "Reconciling", "Stalled", "Progressing")]

    assert [condition["type"] for condition in carried_over(old)] == ["Ready", "Progressing"]


def test_conditions_are_found_asked_and_removed_by_type() -> None:
    conditions = ready([], "True")

    assert is_true(conditions, "Ready")
    assert not is_true(conditions, "Stalled")
    assert find_condition(conditions, "Stalled") is None
    assert remove_condition(conditions, "Ready") == []


@pytest.mark.parametrize("stored", [5, "odd", {"type": "Ready"}])
def test_conditions_that_are_no_list_are_none(stored: Any) -> None:
    assert conditions_of({"status": {"conditions": stored}}) == ()


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"type": ["Ready"]}, id="type"),
        pytest.param({"status": True}, id="status"),
        pytest.param({"message": 5}, id="message"),
        pytest.param({"lastTransitionTime": 5}, id="time"),
        pytest.param({"observedGeneration": "1"}, id="generation"),
    ],
)
def test_what_is_no_condition_is_left_out(odd: dict[str, Any]) -> None:
    """Carried over, it would have the server refuse every status from then on."""
    sound = {"type": "Ready", "status": "True", "reason": "Applied", "lastTransitionTime": None}
    assert conditions_of({"status": {"conditions": [sound | odd, sound]}}) == [sound]
