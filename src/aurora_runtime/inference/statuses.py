"""With which HTTP status, and which advice in headers, an error leaves. Pure."""

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from aurora_runtime.inference.errors import (
    BodyTooLarge,
    ClientTooBusy,
    InvalidRequest,
    NoSuchPath,
    NotFound,
    NotReady,
    TooBusy,
    TooLate,
    TooManyFailures,
    TooSlow,
    Unauthorized,
    UnknownExpectation,
    UnsupportedCoding,
    UnsupportedMedia,
    WrongMethod,
)

CLIENT_GONE: Final = 499
"""Counted, never sent: the client left before it was answered."""

STATUSES: Final[Mapping[type[BaseException], int]] = {
    InvalidRequest: 400,
    web.RequestPayloadError: 400,
    Unauthorized: 401,
    NoSuchPath: 404,
    NotFound: 404,
    WrongMethod: 405,
    TooSlow: 408,
    BodyTooLarge: 413,
    UnsupportedCoding: 415,
    UnsupportedMedia: 415,
    UnknownExpectation: 417,
    TooManyFailures: 429,
    ClientTooBusy: 429,
    TooBusy: 503,
    NotReady: 503,
    TooLate: 504,
    ConnectionError: CLIENT_GONE,
    asyncio.CancelledError: CLIENT_GONE,
}
_RETRY_AFTER_SECONDS: Final = "1"


def status_of(error: BaseException) -> int:
    """HTTP status of an error; what nobody foresaw is 500."""
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), 500)


def advice(error: Exception) -> dict[str, str]:
    """Headers that tell a client what to do next."""
    match error:
        case Unauthorized():
            wrong = ', error="invalid_token"' if error.reason == "wrong" else ""
            return {"WWW-Authenticate": f'Bearer realm="aurora"{wrong}'}
        case WrongMethod():
            return {"Allow": error.allowed}
        case UnsupportedCoding():
            return {"Accept-Encoding": error.expected}
        case TooManyFailures():
            return {"Retry-After": str(error.retry_after_seconds)}
        case ClientTooBusy() | TooBusy() | NotReady() | TooLate():
            return {"Retry-After": _RETRY_AFTER_SECONDS}
        case _:
            return {}
