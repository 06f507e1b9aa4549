"""What can go wrong in a server.

InferenceError → InvalidSettings, InvalidRequest → InvalidTensor, Unauthorized, NotFound, TooBusy, NotReady,
GoldenRowsDiffer
"""


class InferenceError(Exception):
    """Root of this package's errors."""


class InvalidSettings(InferenceError):
    """A flag or variable has a value that a server cannot use."""

    def __init__(self, *, setting: str, variable: str | None, problem: str) -> None:
        named = f"{setting} (variable {variable})" if variable else setting
        super().__init__(f"{named}: {problem}")


class InvalidRequest(InferenceError):
    """The client must change its request."""


class InvalidTensor(InvalidRequest):
    """One tensor of the request does not fit the model's signature."""

    def __init__(self, *, tensor: str, field: str, expected: str, given: str) -> None:
        super().__init__(f"input '{tensor}': {field}: expected {expected}, given {given}")


class Unauthorized(InferenceError):
    """No valid API key came with the request."""

    def __init__(self) -> None:
        super().__init__(
            "a valid API key is needed: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'; "
            "the keys are in the Secret that the MLDeployment names"
        )


class NotFound(InferenceError):
    """No such model, version or path."""


class TooBusy(InferenceError):
    """More requests wait than the queue takes."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"{limit} requests already wait for a prediction: try again in a second")


class NotReady(InferenceError):
    """The model is not loaded yet, or the server is stopping."""

    def __init__(self) -> None:
        super().__init__("the model is not ready: try again in a moment")


class GoldenRowsDiffer(InferenceError):
    """The loaded model does not give the answers that were recorded at training."""

    def __init__(self, *, output: str, row: int, expected: object, actual: object) -> None:
        super().__init__(
            f"golden row {row}: output '{output}' is {actual}, recorded at training: {expected}; "
            "this image computes otherwise than the one of training: train anew with this image, or serve with that one"
        )
