from typing import Any

import pytest

from aurora_controller.kube import errors
from aurora_controller.kube.errors import ApiError, StatusError, error_of


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({"code": 400, "reason": "BadRequest"}, errors.BadRequest),
        ({"code": 401, "reason": "Unauthorized"}, errors.Unauthorized),
        ({"code": 403, "reason": "Forbidden"}, errors.Forbidden),
        ({"code": 404, "reason": "NotFound"}, errors.NotFound),
        ({"code": 409, "reason": "AlreadyExists"}, errors.AlreadyExists),
        ({"code": 409, "reason": "Conflict"}, errors.Conflict),
        ({"code": 410, "reason": "Expired"}, errors.Gone),
        ({"code": 410, "reason": "Gone"}, errors.Gone),
        ({"code": 422, "reason": "Invalid"}, errors.Invalid),
        ({"code": 429, "reason": "TooManyRequests"}, errors.TooManyRequests),
        ({"code": 500, "reason": "InternalError"}, errors.ServerError),
        ({"code": 503, "reason": "ServiceUnavailable"}, errors.ServerError),
        ({"code": 504, "reason": "Timeout"}, errors.ServerError),
        ({}, errors.ServerError),
    ],
)
def test_code_and_reason_say_which_error_it_is(status: dict[str, Any], expected: type[StatusError]) -> None:
    assert type(error_of(status)) is expected


@pytest.mark.parametrize(
    ("code", "cause", "expected"),
    [
        (409, "FieldManagerConflict", errors.ApplyConflict),
        (403, "NamespaceTerminating", errors.NamespaceTerminating),
        (504, "ResourceVersionTooLarge", errors.TooLargeResourceVersion),
    ],
)
def test_a_cause_tells_kinds_of_one_code_apart(code: int, cause: str, expected: type[StatusError]) -> None:
    assert type(error_of({"code": code, "details": {"causes": [{"reason": cause}]}})) is expected


def test_an_old_servers_too_large_version_is_known_by_its_words() -> None:
    message = "Timeout: Too large resource version: 5, current: 4"
    assert type(error_of({"code": 504, "message": message})) is errors.TooLargeResourceVersion


def test_a_name_that_is_taken_is_not_taken_for_an_outdated_version() -> None:
    assert not issubclass(errors.AlreadyExists, errors.Conflict)


def test_an_expired_event_without_a_code_is_gone() -> None:
    assert type(error_of({"reason": "Expired"})) is errors.Gone


def test_an_error_tells_what_the_server_said() -> None:
    causes = [{"field": "spec.size", "reason": "FieldValueInvalid", "message": "too big"}]
    status = {"code": 422, "reason": "Invalid", "message": "size is wrong", "details": {"causes": causes}}
    error = error_of(status)
    assert str(error) == "422 Invalid: size is wrong"
    assert list(error.causes) == causes
    assert isinstance(error, ApiError)


def test_how_long_to_wait_may_stand_in_the_body_or_come_with_http() -> None:
    assert error_of({"code": 429, "details": {"retryAfterSeconds": 3}}).retry_after_seconds == 3
    assert error_of({"code": 429}, retry_after_seconds=7).retry_after_seconds == 7
    assert error_of({"code": 429}).retry_after_seconds is None


def test_the_code_of_http_counts_when_the_body_has_none() -> None:
    assert type(error_of({"message": "no"}, code=403)) is errors.Forbidden


def test_a_patch_of_another_identity_is_a_conflict_though_the_server_calls_it_invalid() -> None:
    causes = [{"reason": "FieldValueInvalid", "field": "metadata.uid", "message": "field is immutable"}]
    assert type(error_of({"code": 422, "reason": "Invalid", "details": {"causes": causes}})) is errors.Conflict
