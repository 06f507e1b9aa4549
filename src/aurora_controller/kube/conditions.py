"""Conditions of an object's status: pure functions over the list as it is stored.

The transition time moves only with the status, so that "since when" stays true when a message is reworded.
``Reconciling`` and ``Stalled`` are abnormal-true (kstatus): they are present only while they hold, and hence
never carried over from one reconcile to the next.
Source: Kubernetes API conventions, "Typical status properties"; kstatus, "Conditions".
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aurora_controller.kube.clock import format_time
from aurora_controller.kube.meta import ConditionStatus, Manifest

RECONCILING: Final = "Reconciling"
STALLED: Final = "Stalled"
_MAX_MESSAGE_LENGTH = 32768
_REQUIRED: Final = ("type", "status")
_TEXTS: Final = ("reason", "message", "lastTransitionTime")


def conditions_of(obj: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """As they are stored; what is no condition, which no schema would let in, is left out."""
    status = obj.get("status")
    stored = status.get("conditions") if isinstance(status, Mapping) else None
    return [one for one in stored if _is_condition(one)] if isinstance(stored, list) else ()


def _is_condition(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and all(isinstance(value.get(field), str) for field in _REQUIRED)
        and all(isinstance(value.get(field, ""), str | None) for field in _TEXTS)
        and isinstance(value.get("observedGeneration", 0), int)
    )


def find_condition(conditions: Sequence[Mapping[str, Any]], type: str) -> Mapping[str, Any] | None:  # noqa: A002
    return next((condition for condition in conditions if condition["type"] == type), None)


def is_true(conditions: Sequence[Mapping[str, Any]], type: str) -> bool:  # noqa: A002
    condition = find_condition(conditions, type)
    return condition is not None and condition["status"] == "True"


def set_condition(
    conditions: Sequence[Mapping[str, Any]],
    *,
    type: str,  # noqa: A002
    status: ConditionStatus,
    reason: str,
    message: str,
    generation: int,
    now: datetime,
) -> list[Manifest]:
    """A new list with this condition in its old place, or at the end. ``generation`` is the one it is about."""
    old = find_condition(conditions, type)
    moved = old is None or old["status"] != status or not old.get("lastTransitionTime")
    new: Manifest = {
        "type": type,
        "status": status,
        "reason": reason,
        "message": message[:_MAX_MESSAGE_LENGTH],
        "lastTransitionTime": format_time(now) if moved or old is None else old["lastTransitionTime"],
        "observedGeneration": generation,
    }
    if old is None:
        return [*map(dict, conditions), new]
    return [new if condition is old else dict(condition) for condition in conditions]


def remove_condition(conditions: Sequence[Mapping[str, Any]], type: str) -> list[Manifest]:  # noqa: A002
    return [dict(condition) for condition in conditions if condition["type"] != type]


def carried_over(conditions: Sequence[Mapping[str, Any]]) -> list[Manifest]:
    """What a new status starts from: all but ``Reconciling`` and ``Stalled``, to be set again only if they hold."""
    return [dict(condition) for condition in conditions if condition["type"] not in {RECONCILING, STALLED}]
