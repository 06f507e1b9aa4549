"""How an MLDeployment's pods serve: limits, batching, logging, and what other libraries than at training lead to."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from aurora_controller.api.model import SET_LIST, ApiModel

TensorName = Annotated[str, Field(description="Name of an input or output.", min_length=1, max_length=256)]


class LogLevel(StrEnum):
    """Least level that a server logs."""

    DEBUG = "Debug"
    INFO = "Info"
    WARNING = "Warning"
    ERROR = "Error"


class LibraryVersions(StrEnum):
    """What becomes of a model that was written by other libraries than those of the image."""

    AUTO = "Auto"
    WARN = "Warn"
    REFUSE = "Refuse"


class ServerLimits(ApiModel):
    """What one pod takes at once; what is beyond it is refused, not queued."""

    threads: Annotated[
        int | None,
        Field(
            description="Predictions that run at the same time; the pod's cores, at most 4, when unset.", ge=1, le=64
        ),
    ] = None
    queue_limit: Annotated[
        int | None,
        Field(description="Requests that may wait for a prediction before 503; 128 when unset.", ge=1, le=10_000),
    ] = None
    request_timeout_seconds: Annotated[
        int | None,
        Field(description="How long a prediction may wait and take before 504; 30 when unset.", ge=1, le=3600),
    ] = None
    max_body_bytes: Annotated[
        int | None,
        Field(description="Largest request body before 413, in bytes; 8388608 when unset.", ge=1024, le=1024**3),
    ] = None


class ServerBatching(ApiModel):
    """Requests that wait anyway are predicted together. Nobody waits for others to come."""

    max_rows: Annotated[
        int | None,
        Field(description="Rows that are predicted together; 1: each request alone; 64 when unset.", ge=1, le=10_000),
    ] = None


class ServerPayloadLogging(ApiModel):
    """Which payloads a pod logs: inputs and outputs of answered predictions, at most 256 values each."""

    percent: Annotated[int, Field(description="Percent of the answered predictions that are logged.", ge=1, le=100)]
    redact: Annotated[
        list[TensorName],
        Field(
            description="Inputs and outputs whose values are replaced. The pod ends when its model lacks one of them.",
            max_length=256,
            json_schema_extra=SET_LIST,
        ),
    ] = Field(default_factory=list)


class ServerLogging(ApiModel):
    """What a pod logs. Never keys or headers, and payloads only where they are asked for."""

    level: Annotated[LogLevel | None, Field(description="Least level that is logged; Info when unset.")] = None
    access_log_percent: Annotated[
        int | None,
        Field(
            description="Percent of the successful requests that are logged; 0 when unset. Errors always are.",
            ge=0,
            le=100,
        ),
    ] = None
    payloads: Annotated[
        ServerPayloadLogging | None, Field(description="Which payloads are logged; none when unset.")
    ] = None


class Server(ApiModel):
    """How a pod serves. What is unset is left to the runtime image."""

    limits: Annotated[ServerLimits, Field(description="What one pod takes at once.")] = ServerLimits()
    batching: Annotated[ServerBatching, Field(description="How waiting requests are merged.")] = ServerBatching()
    logging: Annotated[ServerLogging, Field(description="What a pod logs.")] = ServerLogging()
    library_versions: Annotated[
        LibraryVersions | None,
        Field(
            description=(
                "When libraries differ from those at training. Auto (when unset): refuse a pickle of another minor "
                "version of scikit-learn, else warn. Warn: always serve. Refuse: any difference ends the pod."
            ),
        ),
    ] = None
