"""What a failed reconcile means for its object."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aurora_controller.kube.errors import (
    ApiError,
    ConnectionFailed,
    Forbidden,
    Invalid,
    OutcomeUnknown,
    ServerError,
    TooManyRequests,
)
from aurora_controller.kube.failure import DeadlineExceeded, Severity, failure_of, failure_status
from aurora_controller.kube.reconcile import Stalled, Waiting

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


def an_object(*conditions: dict[str, Any], generation: int = 3) -> dict[str, Any]:
    return {"metadata": {"name": "a", "generation": generation}, "status": {"conditions": list(conditions)}}


def status_of(obj: dict[str, Any], error: Exception, *, now: datetime = NOW) -> dict[str, Any]:
    return failure_status(obj, failure_of(error), primary="Ready", now=now)


def told(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in status["conditions"]}


WAITING = Waiting("ModelNotFound", "no version of model housing", retry_after_seconds=30)
STALLED = Stalled("UnknownAlgorithm", "algorithm forest is unknown")
INVALID = Invalid("Deployment is invalid: spec.replicas: must be >= 0", code=422, reason="Invalid")
FORBIDDEN = Forbidden("exceeded quota", code=403, reason="Forbidden")


@pytest.mark.parametrize(
    ("error", "severity", "reason"),
    [
        (WAITING, Severity.WAITING, "ModelNotFound"),
        (STALLED, Severity.STALLED, "UnknownAlgorithm"),
        (INVALID, Severity.STALLED, "Invalid"),
        (FORBIDDEN, Severity.REFUSED, "Forbidden"),
        (TooManyRequests("slow down", code=429, reason="TooManyRequests"), Severity.TRANSIENT, "TooManyRequests"),
        (ServerError("etcd is away", code=503), Severity.TRANSIENT, "ServerError"),
        (ConnectionFailed("refused"), Severity.TRANSIENT, "ConnectionFailed"),
        (OutcomeUnknown("reset"), Severity.TRANSIENT, "OutcomeUnknown"),
        (ApiError("odd"), Severity.REFUSED, "ApiError"),
        (DeadlineExceeded(120), Severity.REFUSED, "DeadlineExceeded"),
        (KeyError("spec"), Severity.PANIC, "InternalError"),
    ],
)
def test_every_error_has_somebody_who_acts_next(error: Exception, severity: Severity, reason: str) -> None:
    failure = failure_of(error)

    assert (failure.severity, failure.reason) == (severity, reason)


def test_waiting_denies_the_primary_condition_and_says_that_we_go_on() -> None:
    status = status_of(an_object(), WAITING)

    assert told(status) == {"Ready": ("False", "ModelNotFound"), "Reconciling": ("True", "ModelNotFound")}
    assert status["observedGeneration"] == 3


def test_stalled_denies_the_primary_condition_and_says_that_we_do_not_go_on() -> None:
    status = status_of(an_object(), STALLED)

    assert told(status) == {"Ready": ("False", "UnknownAlgorithm"), "Stalled": ("True", "UnknownAlgorithm")}
    assert status["conditions"][0]["message"] == "algorithm forest is unknown"


def test_what_the_api_server_calls_invalid_is_stalled_and_yet_tried_again() -> None:
    assert "Stalled" in told(status_of(an_object(), INVALID))
    assert failure_of(INVALID).retry_after_seconds == 300


def test_an_error_says_nothing_about_what_runs() -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Serving"}

    status = status_of(an_object(ready), FORBIDDEN)

    assert told(status) == {"Ready": ("True", "Serving"), "Reconciling": ("True", "Forbidden")}
    assert "observedGeneration" not in status


def test_an_error_at_the_first_visit_leaves_the_primary_condition_unknown() -> None:
    assert told(status_of(an_object(), FORBIDDEN))["Ready"] == ("Unknown", "Forbidden")


def test_a_failure_replaces_what_an_earlier_one_said() -> None:
    obj = an_object(*status_of(an_object(), STALLED)["conditions"])

    assert told(status_of(obj, WAITING)) == {
        "Ready": ("False", "ModelNotFound"),
        "Reconciling": ("True", "ModelNotFound"),
    }


@pytest.mark.parametrize("error", [WAITING, STALLED, FORBIDDEN, KeyError("spec")])
def test_telling_the_same_again_changes_nothing(error: Exception) -> None:
    once = an_object(*status_of(an_object(), error)["conditions"])

    again = status_of(once, error, now=NOW + timedelta(hours=1))

    assert again["conditions"] == once["status"]["conditions"]
