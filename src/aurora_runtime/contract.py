"""What the controller and the pods agree on: variables, paths, ports, and the training report.

This module is the whole interface between the two programs. It imports the standard library and
pydantic only, so that the controller's image carries no machine-learning stack.
"""

from enum import IntEnum, StrEnum
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

STORE_MOUNT_PATH: Final = "/var/lib/aurora/store"
"""Root of the store inside a pod. The claim's subPath ``<namespace>/<model>`` is mounted at ``<this>/<model>``."""
SCRATCH_MOUNT_PATH: Final = "/tmp"  # noqa: S108  an emptyDir: the only writable place of a pod
API_KEYS_MOUNT_PATH: Final = "/etc/aurora/api-keys"
"""A mounted Secret: one file per key, the file's name is the key's name, its content the key."""
TERMINATION_MESSAGE_PATH: Final = "/dev/termination-log"
MAX_TERMINATION_MESSAGE_BYTES: Final = 3584

TRAINER_CONTAINER: Final = "trainer"
SERVER_CONTAINER: Final = "server"

HTTP_PORT: Final = 8080
METRICS_PORT: Final = 9090
HTTP_PORT_NAME: Final = "http"
METRICS_PORT_NAME: Final = "metrics"
PROGRESS_PATH: Final = "/progress"
COUNTERS_PATH: Final = "/counters"

TRAINING_TASK_VARIABLE: Final = "AURORA_TRAINING_TASK"
"""JSON of a TrainingTask."""


class Variable(StrEnum):
    """Environment variables of a serving pod."""

    STORE = "AURORA_STORE"
    MODEL = "AURORA_MODEL"
    VERSION = "AURORA_VERSION"
    DIGEST = "AURORA_DIGEST"
    REVISION = "AURORA_REVISION"
    API_KEYS_DIR = "AURORA_API_KEYS_DIR"
    DRAIN_SECONDS = "AURORA_DRAIN_SECONDS"
    LOG_LEVEL = "AURORA_LOG_LEVEL"
    ACCESS_LOG_SHARE = "AURORA_ACCESS_LOG_SHARE"
    PAYLOAD_LOG = "AURORA_PAYLOAD_LOG"
    """JSON of PayloadLogging."""
    LIBRARY_VERSIONS = "AURORA_LIBRARY_VERSIONS"
    MAX_BODY_BYTES = "AURORA_MAX_BODY_BYTES"
    QUEUE_LIMIT = "AURORA_QUEUE_LIMIT"
    THREADS = "AURORA_THREADS"
    BATCH_ROWS = "AURORA_BATCH_ROWS"
    REQUEST_TIMEOUT_SECONDS = "AURORA_REQUEST_TIMEOUT_SECONDS"


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


class Contract(BaseModel):
    """Frozen JSON with camelCase keys; unknown keys are ignored so that either side may be newer."""

    # Validators are built when first asked for: each program needs a few of these, and starts without the others.
    model_config = ConfigDict(
        frozen=True, extra="ignore", populate_by_name=True, alias_generator=_camel, defer_build=True
    )

    def to_json(self) -> str:
        """Compact JSON without unset optional values."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


class DataOptions(Contract):
    """How the rows are split. ``test_fraction`` of them are held out."""

    test_fraction: float = 0.2
    seed: int = 0


class TrainingInputs(Contract):
    """What decides the trained model: two tasks with equal inputs train the same thing."""

    dataset: str
    data_revision: str | None = None
    data: DataOptions = DataOptions()
    algorithm: str
    task: str = "auto"
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    image: str | None = None


class TrainedBy(Contract):
    """The MLTrainingJob behind a version."""

    namespace: str = ""
    name: str = ""
    uid: str = ""


class TrainingTask(Contract):
    """What one trainer process is asked to do."""

    model: str
    version: int = Field(ge=1)
    run_id: str
    inputs: TrainingInputs
    trained_by: TrainedBy = TrainedBy()
    may_reuse: bool = False
    """True for the first run of a job without history: when the store holds a version of this job and these
    inputs, it is verified and reported as Reused instead of being trained again."""


class Outcome(StrEnum):
    """How a trainer ended, and so who acts next."""

    SUCCEEDED = "Succeeded"
    REUSED = "Reused"
    VERSION_TAKEN = "VersionTaken"
    INVALID_INPUT = "InvalidInput"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    FAILED = "Failed"


class ExitCode(IntEnum):
    """Exit codes of the trainer, one per outcome, and of the server."""

    OK = 0
    FAILED = 1
    INVALID_INPUT = 64
    VERSION_TAKEN = 65
    STORAGE_UNAVAILABLE = 74
    ARTIFACT_REFUSED = 78


EXIT_CODES: Final[dict[Outcome, ExitCode]] = {
    Outcome.SUCCEEDED: ExitCode.OK,
    Outcome.REUSED: ExitCode.OK,
    Outcome.VERSION_TAKEN: ExitCode.VERSION_TAKEN,
    Outcome.INVALID_INPUT: ExitCode.INVALID_INPUT,
    Outcome.STORAGE_UNAVAILABLE: ExitCode.STORAGE_UNAVAILABLE,
    Outcome.FAILED: ExitCode.FAILED,
}


class TensorSummary(Contract):
    """One named tensor of a signature; ``-1`` in the shape is a free dimension."""

    name: str
    datatype: str
    shape: list[int]


class VersionFacts(Contract):
    """What is recorded of a published version, once."""

    version: int
    run_id: str
    digest: str
    """``sha256:<hex>`` of ``descriptor.json``."""
    size_bytes: int
    format: str
    """``onnx`` or ``joblib``."""
    algorithm: str
    task: str
    """``regression`` or ``classification``."""
    metrics: dict[str, float]
    primary_metric: str
    """Key of ``metrics`` that is shown in columns."""
    inputs: list[TensorSummary] = Field(default_factory=list)
    """At most 20 of them; the descriptor has the rest."""
    outputs: list[TensorSummary] = Field(default_factory=list)
    feature_count: int = 0
    created_at: str
    """RFC 3339, UTC, of the publication."""


class TrainingReport(Contract):
    """The trainer's last word: its last line on stdout and its termination message."""

    outcome: Outcome
    run_id: str
    message: str = ""
    facts: VersionFacts | None = None
    """Present when the outcome is Succeeded or Reused."""
    highest_version: int | None = None
    """Highest version number in the store, with VersionTaken and Reused."""
    duration_seconds: float = 0.0

    def to_termination_message(self) -> str:
        """JSON of at most MAX_TERMINATION_MESSAGE_BYTES: signatures go first, then the message is cut."""
        text = self.to_json()
        if len(text.encode()) <= MAX_TERMINATION_MESSAGE_BYTES:
            return text
        facts = self.facts and self.facts.model_copy(update={"inputs": [], "outputs": []})
        report = self.model_copy(update={"facts": facts})
        excess = len(report.to_json().encode()) - MAX_TERMINATION_MESSAGE_BYTES
        if excess > 0:
            keep = max(0, len(self.message.encode()) - excess - 16)
            report = report.model_copy(update={"message": self.message.encode()[:keep].decode(errors="ignore") + " …"})
        return report.to_json()


class Phase(StrEnum):
    """What a trainer is doing."""

    LOADING = "Loading"
    FITTING = "Fitting"
    EVALUATING = "Evaluating"
    CONVERTING = "Converting"
    PUBLISHING = "Publishing"


class TrainingProgress(Contract):
    """Body of ``GET /progress`` on the trainer's metrics port."""

    run_id: str
    phase: Phase
    percent: int = Field(ge=0, le=100)


class PayloadLogging(Contract):
    """Which payloads a server logs, and what of them is left out."""

    model_config = ConfigDict(extra="forbid")
    """A field that is not understood may be one that hides something: better no server than one that tells it."""

    percent: int = Field(ge=1, le=100)
    """Of the answered predictions."""
    redact: list[str] = Field(default_factory=list)
    """Inputs and outputs whose values are replaced."""


class ServingCounters(Contract):
    """Body of ``GET /counters`` on the server's metrics port: cumulative since ``start_time``."""

    model: str
    version: int
    revision: str
    start_time: float
    """Unix seconds of the process start: a later value means that the counters began again."""
    requests: int
    """Inference requests that were answered, whatever the code."""
    errors: int
    """Those answered with a 5xx code."""
    in_flight: int
