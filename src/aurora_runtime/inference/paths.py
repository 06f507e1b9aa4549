"""Which endpoint a path means. Pure: one look-up for the paths that are asked all the time."""

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote


class Endpoint(StrEnum):
    """What can be asked, each by its methods."""

    SERVER = "server metadata"
    LIVE = "live"
    READY = "ready"
    MODEL = "model metadata"
    MODEL_READY = "model ready"
    DOCUMENT = "OpenAPI document"
    INFER = "infer"

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it answers."""
        return ("POST",) if self is Endpoint.INFER else ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Address:
    """An endpoint, and the model and version that the path names."""

    endpoint: Endpoint
    model: str | None = None
    version: str | None = None


SERVER_PATHS = {
    "/v2": Address(Endpoint.SERVER),
    "/v2/": Address(Endpoint.SERVER),
    "/openapi.json": Address(Endpoint.DOCUMENT),
    "/v2/health/live": Address(Endpoint.LIVE),
    "/v2/health/ready": Address(Endpoint.READY),
}
_OF_A_MODEL = {
    "": Endpoint.MODEL,
    "ready": Endpoint.MODEL_READY,
    "openapi.json": Endpoint.DOCUMENT,
    "infer": Endpoint.INFER,
}


def address_of(raw_path: str) -> Address | None:
    """What a path as it was sent, without its query, means; None when it means nothing."""
    if (known := SERVER_PATHS.get(raw_path)) is not None:
        return known
    match raw_path.split("/"):
        case ["", "v2", "models", model, "versions", version, *rest] if model and version and len(rest) <= 1:
            return _of_a_model(model, unquote(version), rest)
        case ["", "v2", "models", model, *rest] if model and len(rest) <= 1:
            return _of_a_model(model, None, rest)
    return None


def _of_a_model(model: str, version: str | None, rest: list[str]) -> Address | None:
    # A trailing slash is another path, as everywhere but below /v2 itself.
    if rest == [""]:
        return None
    endpoint = _OF_A_MODEL.get("".join(rest))
    return None if endpoint is None else Address(endpoint, unquote(model), version)
