"""What a failed reconcile means for its object: who acts next, and what its conditions say. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from functools import partial
from typing import Any, Final

from aurora_controller.kube.conditions import (
    RECONCILING,
    STALLED,
    carried_over,
    conditions_of,
    find_condition,
    set_condition,
)
from aurora_controller.kube.errors import (
    ApiError,
    ConnectionFailed,
    Invalid,
    OutcomeUnknown,
    ServerError,
    StatusError,
    TooManyRequests,
    Unauthorized,
    WriteRefused,
)
from aurora_controller.kube.meta import Manifest
from aurora_controller.kube.reconcile import Stalled, Waiting

_INVALID_RETRY_SECONDS: Final = 300.0
"""What the API server refuses today a changed policy or schema may allow, and no event would tell us."""

_TRANSIENT = (TooManyRequests, ServerError, Unauthorized, ConnectionFailed, OutcomeUnknown, WriteRefused)


class DeadlineExceeded(Exception):
    """A reconcile was stopped at its deadline; what it was doing then may have been done or not."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"not done within {seconds:g} s")


class Severity(Enum):
    """Who has to act before the reconcile can succeed."""

    WAITING = auto()
    """Something else in the cluster: time will help."""
    STALLED = auto()
    """A person, who must change the object."""
    TRANSIENT = auto()
    """The API server, which is away or overloaded."""
    REFUSED = auto()
    """Whoever runs the cluster: rights, quotas, missing resources, something too slow."""
    PANIC = auto()
    """Us: a bug."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed reconcile, told in the words of a condition."""

    severity: Severity
    reason: str
    message: str
    retry_after_seconds: float | None = None
    """Fixed delay until the next try; None leaves it to the backoff, or to the next event when stalled."""

    @property
    def is_terminal(self) -> bool:
        """Backing off is pointless: asked again at an event, or after the fixed delay."""
        return self.severity is Severity.STALLED

    @property
    def denies_primary(self) -> bool:
        """The object is known not to be as its primary condition would claim."""
        return self.severity in {Severity.WAITING, Severity.STALLED}


def failure_of(error: Exception) -> Failure:
    """What an error that ended a reconcile means."""
    match error:
        case Waiting(reason=reason, message=message, retry_after_seconds=seconds):
            return Failure(severity=Severity.WAITING, reason=reason, message=message, retry_after_seconds=seconds)
        case Stalled(reason=reason, message=message):
            return Failure(severity=Severity.STALLED, reason=reason, message=message)
        case Invalid(message=message):
            return Failure(
                severity=Severity.STALLED,
                reason="Invalid",
                message=message,
                retry_after_seconds=_INVALID_RETRY_SECONDS,
            )
        case ApiError():
            return _of_api_error(error)
        case DeadlineExceeded():
            return Failure(severity=Severity.REFUSED, reason="DeadlineExceeded", message=str(error))
        case _:
            return Failure(severity=Severity.PANIC, reason="InternalError", message=f"{type(error).__name__}: {error}")


def _of_api_error(error: ApiError) -> Failure:
    severity = Severity.TRANSIENT if isinstance(error, _TRANSIENT) else Severity.REFUSED
    if isinstance(error, StatusError):
        return Failure(
            severity=severity,
            reason=error.reason or type(error).__name__,
            message=error.message,
            retry_after_seconds=error.retry_after_seconds,
        )
    return Failure(severity=severity, reason=type(error).__name__, message=str(error))


def failure_status(obj: Mapping[str, Any], failure: Failure, *, primary: str, now: datetime) -> Manifest:
    """Status keys that tell the failure; equal to what the object has when it was told already.

    Only a known state raises ``observedGeneration``: a bug or an absent API server has judged nothing.
    """
    generation: int = obj["metadata"].get("generation", 0)
    old = conditions_of(obj)
    conditions = carried_over(old)
    say = partial(set_condition, reason=failure.reason, message=failure.message, generation=generation, now=now)
    if failure.denies_primary:
        conditions = say(conditions, type=primary, status="False")
    elif find_condition(old, primary) is None:
        conditions = say(conditions, type=primary, status="Unknown")
    kstatus = STALLED if failure.severity is Severity.STALLED else RECONCILING
    conditions = say([*conditions, *_only(old, kstatus)], type=kstatus, status="True")
    status: Manifest = {"conditions": conditions}
    if failure.denies_primary and generation:
        status["observedGeneration"] = generation
    return status


def _only(conditions: Any, type: str) -> list[Manifest]:  # noqa: A002
    condition = find_condition(conditions, type)
    return [] if condition is None else [dict(condition)]
