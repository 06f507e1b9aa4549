"""What can go wrong between us and the API server.

ApiError
├── StatusError              the server answered, and refused
│   ├── BadRequest           400
│   ├── Unauthorized         401
│   ├── Forbidden            403
│   │   └── NamespaceTerminating
│   ├── NotFound             404
│   ├── AlreadyExists        409, reason AlreadyExists
│   ├── Conflict             409, anything else: version or uid precondition, ...
│   │   └── ApplyConflict    ... or a field that another manager owns
│   ├── Gone                 410, also a watch's or a page's expired resourceVersion
│   ├── Invalid              422
│   ├── TooManyRequests      429
│   └── ServerError          5xx
│       └── TooLargeResourceVersion   this server has not reached the version yet
├── ConnectionFailed         nothing was sent, so nothing happened
├── OutcomeUnknown           it broke underway: a write may have been performed, read again
├── UnexpectedResponse       not an answer of an API server, say a proxy's HTML page
└── WriteRefused             our own write gate is closed: we do not hold the Lease
"""

from collections.abc import Mapping, Sequence
from typing import Any


class ApiError(Exception):
    """Root of everything that a request to the API server raises."""


class StatusError(ApiError):
    """An answer with a ``metav1.Status`` that says Failure."""

    def __init__(
        self,
        message: str,
        *,
        code: int,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code} {reason}: {message}" if reason else f"{code}: {message}")
        self.message = message
        self.code = code
        self.reason = reason
        self.details: Mapping[str, Any] = details or {}
        self.retry_after_seconds = retry_after_seconds

    @property
    def causes(self) -> Sequence[Mapping[str, Any]]:
        """Of ``metav1.StatusCause``: ``{reason, message, field}``."""
        return self.details.get("causes") or ()


class BadRequest(StatusError):
    """The request itself is malformed."""


class Unauthorized(StatusError):
    """The credentials are not accepted, even after they were read again."""


class Forbidden(StatusError):
    """RBAC, quota or admission says no."""


class NamespaceTerminating(Forbidden):
    """Nothing can be created any more in a namespace that is being deleted."""


class NotFound(StatusError):
    """No such object, or no such resource: a CRD that is not installed answers the same."""


class AlreadyExists(StatusError):
    """An object of this name exists."""


class Conflict(StatusError):
    """The object is not the one we looked at: its version or uid has moved on."""


class ApplyConflict(Conflict):
    """Another field manager owns a field of an unforced apply."""


class Gone(StatusError):
    """The resourceVersion or the page token is older than the server's history."""


class Invalid(StatusError):
    """The object breaks a rule of its schema; ``causes`` name the fields."""


class TooManyRequests(StatusError):
    """Throttled by priority and fairness."""


class ServerError(StatusError):
    """The server could not: 500, 503, 504 and their kin."""


class TooLargeResourceVersion(ServerError):
    """Asked for a version this server's watch cache has not reached; another replica, or time, has it."""


class ConnectionFailed(ApiError):
    """No connection: refused, unresolvable, unreachable, untrusted. Nothing was sent."""


class OutcomeUnknown(ApiError):
    """The connection broke, or time ran out, after sending: only a read can tell what happened."""


class UnexpectedResponse(ApiError):
    """The answer cannot have come from an API server."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class WriteRefused(ApiError):
    """The write gate is closed; the request was not sent."""


_BY_CODE: Mapping[int, type[StatusError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def error_of(status: Mapping[str, Any], *, code: int = 0, retry_after_seconds: float | None = None) -> StatusError:
    """The error that a ``metav1.Status`` tells, whether it came as a response or as an ERROR event of a watch.

    ``code`` and ``retry_after_seconds`` are what HTTP said; the body's own win when it has them.
    """
    code = int(status.get("code") or code or 500)
    reason = str(status.get("reason") or "")
    details: Mapping[str, Any] = status.get("details") or {}
    if retry_after_seconds is None and details.get("retryAfterSeconds"):
        retry_after_seconds = float(details["retryAfterSeconds"])
    return _class_of(code, reason, details, str(status.get("message") or ""))(
        str(status.get("message") or reason or "no message"),
        code=code,
        reason=reason,
        details=details,
        retry_after_seconds=retry_after_seconds,
    )


def _class_of(  # noqa: PLR0911  a line per case
    code: int, reason: str, details: Mapping[str, Any], message: str
) -> type[StatusError]:
    causes = {cause.get("reason") for cause in details.get("causes") or ()}
    fields = {cause.get("field") for cause in details.get("causes") or ()}
    # A patch that names another uid than the object's is called invalid; a replacement that does is called a conflict.
    if code == 422 and "metadata.uid" in fields:
        return Conflict
    if reason == "AlreadyExists":
        return AlreadyExists
    if reason in {"Expired", "Gone"}:
        return Gone
    if code == 409 and "FieldManagerConflict" in causes:
        return ApplyConflict
    if code == 403 and "NamespaceTerminating" in causes:
        return NamespaceTerminating
    # Servers before 1.17 named no cause, and some aggregated ones still do not.
    if "ResourceVersionTooLarge" in causes or (code == 504 and "Too large resource version" in message):
        return TooLargeResourceVersion
    return _BY_CODE.get(code, ServerError if code >= 500 else BadRequest)
