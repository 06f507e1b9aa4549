"""What can go wrong in a server.

InferenceError
├── InvalidSettings      a flag or variable that no server can use
├── GoldenRowsDiffer     the model computes otherwise than it did at training: it must not serve
├── LibrariesDiffer      the libraries here may not load what those at training wrote
├── InvalidRequest       the client must change its request
│   └── InvalidTensor
├── Unauthorized
├── TooManyFailures      so many times that the client should wait
├── TooSlow              the body does not come
├── NoSuchPath
├── WrongMethod
├── NotFound             another model, or another version of it
├── BodyTooLarge
├── UnsupportedMedia
├── UnsupportedCoding
├── UnknownExpectation
├── NotReady             time will help
├── TooBusy
├── ClientTooBusy        this client alone is the reason
└── TooLate              the prediction does not come
"""

from collections.abc import Mapping, Sequence
from reprlib import Repr
from traceback import format_tb
from typing import Final

_SHORT: Final = Repr()  # its defaults, but lists of up to 8: longer shapes are none
_SHORT.maxlist, _SHORT.maxlevel, _SHORT.maxstring = 8, 2, 80
_WORDS: Final = {True: "true", False: "false", None: "null"}


def shown(value: object) -> str:
    """A value of a request as an error tells it: short, however long or deep it is, and in JSON's words."""
    return _WORDS[value] if value is None or isinstance(value, bool) else _SHORT.repr(value)[:80]


INTERNAL_ERROR: Final = "internal error; the server's log tells more"
"""All that a client learns of a mistake of ours."""


def without_messages(error: BaseException | None) -> dict[str, str]:
    """Fields of a log line: which errors led to this one, and where. Their messages may quote values of a request."""
    types, frames = [], []
    while error is not None:
        types.append(type(error).__name__)
        frames += format_tb(error.__traceback__)
        error = error.__cause__ or error.__context__
    return {"error": " from ".join(types), "traceback": "".join(frames)}


class InferenceError(Exception):
    """Base of everything this package raises."""


class InvalidSettings(InferenceError):
    """A flag or variable has a value that a server cannot use."""

    def __init__(self, *, setting: str, variable: str | None, problem: str) -> None:
        named = f"{setting} (variable {variable})" if variable else setting
        super().__init__(f"{named}: {problem}")


class GoldenRowsDiffer(InferenceError):
    """The loaded model does not give the answers that were recorded at training."""

    def __init__(self, *, output: str, row: int, expected: object, actual: object) -> None:
        super().__init__(f"golden row {row}: output '{output}' was {expected} at training and is {actual} here")


class LibrariesDiffer(InferenceError):
    """The model was written by libraries that those here need not understand."""

    def __init__(self, *, differences: Mapping[str, tuple[str, str]]) -> None:
        told = ", ".join(f"{name} {then} at training and {here} here" for name, (then, here) in differences.items())
        super().__init__(f"libraries differ: {told}")


class InvalidRequest(InferenceError):
    """The client must change its request."""


class InvalidTensor(InvalidRequest):
    """One tensor of the request does not fit the model's signature."""

    def __init__(self, *, tensor: str, field: str, expected: str, given: str) -> None:
        super().__init__(f"input '{tensor}': {field}: expected {expected}, given {given}")


class Unauthorized(InferenceError):
    """No valid API key came with the request. ``reason`` is ``missing`` or ``wrong``."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"API key {reason}: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>' with a key of this model"
        )


class TooManyFailures(InferenceError):
    """One more request without a valid key from an address that had too many of them."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"too many requests without a valid API key: try again in {retry_after_seconds} s")


class TooSlow(InferenceError):
    """The body of a request was not complete in time."""

    def __init__(self, *, seconds: float) -> None:
        super().__init__(f"body: expected within {seconds:g} s of its head")


class NoSuchPath(InferenceError):
    """The path leads nowhere."""

    def __init__(self) -> None:
        super().__init__("no such path; the model is under /v2/models/<name>")


class WrongMethod(InferenceError):
    """The path is right, the method is not. ``allowed`` are those that are."""

    def __init__(self, *, method: str, allowed: Sequence[str]) -> None:
        self.allowed = ", ".join(allowed)
        super().__init__(f"method {method[:20]}: expected {self.allowed}")


class NotFound(InferenceError):
    """Another model, or another version of it."""

    def __init__(self, *, what: str, asked: str, served: str) -> None:
        super().__init__(f"{what} '{asked[:100]}' is not served here; this server has '{served}'")


class UnsupportedMedia(InferenceError):
    """The body comes in a form that is not understood."""

    def __init__(self, *, expected: str, given: str) -> None:
        super().__init__(f"Content-Type: expected {expected}, given {given[:100]}")


class BodyTooLarge(InferenceError):
    """A body is larger, or becomes larger when it is decompressed, than the server reads."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"body: expected at most {limit} bytes, decompressed")


class UnsupportedCoding(InferenceError):
    """A body is compressed in a way that is not understood. ``expected`` lists those that are."""

    def __init__(self, *, expected: str, given: str) -> None:
        self.expected = expected
        super().__init__(f"Content-Encoding: expected one of {expected}, given {given[:100]}")


class UnknownExpectation(InferenceError):
    """The client expects something before it sends its body, and it is not 100-continue."""

    def __init__(self, *, given: str) -> None:
        super().__init__(f"Expect: expected 100-continue, given {shown(given)}")


class NotReady(InferenceError):
    """The model is not loaded yet, or the server is stopping. ``state`` says which."""

    def __init__(self, *, state: str) -> None:
        super().__init__(f"the model is not ready: {state}")


class TooBusy(InferenceError):
    """More requests wait than the queue takes."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"{limit} requests already wait for a prediction: try again in a second")


class ClientTooBusy(InferenceError):
    """One client has as many requests waiting as it may."""

    def __init__(self, *, client: str, limit: int) -> None:
        super().__init__(
            f"{limit} requests with the key '{client}' already wait for a prediction: try again in a second"
        )


class TooLate(InferenceError):
    """The prediction was not made in time."""

    def __init__(self, *, seconds: float) -> None:
        super().__init__(f"the prediction was not made within {seconds:g} s")
