"""What a published version says about itself: the content of ``descriptor.json``.

The digest of a version is the SHA-256 of the bytes of this file, which in turn lists the digest of every
other file: one short string vouches for all of it. The file is read back as bytes and never re-rendered,
so a newer reader with more fields still finds the same digest.
"""

import json
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, FiniteFloat, StringConstraints, ValidationError, model_validator

from aurora_runtime.contract import Contract, TensorSummary, TrainedBy, TrainingInputs, VersionFacts
from aurora_runtime.store.digest import Digest
from aurora_runtime.store.layout import DESCRIPTOR_FILE, FILE_NAME_PATTERN, MODEL_NAME_PATTERN

SCHEMA_VERSION: Final = 1
INPUT_TENSOR: Final = "input"
"""Name of the one tensor of shape [-1, features] that may stand for one tensor per feature."""
PREDICTION: Final = "prediction"
LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"

_MAX_TENSORS_IN_FACTS: Final = 20

Format = Literal["trees", "onnx", "joblib"]
Task = Literal["regression", "classification"]
DataType = Literal[
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BYTES"
]


def _not_the_descriptor(name: str) -> str:
    if name == DESCRIPTOR_FILE:
        raise ValueError(f"{DESCRIPTOR_FILE} cannot list itself")
    return name


FileName = Annotated[str, StringConstraints(pattern=rf"^{FILE_NAME_PATTERN}$"), AfterValidator(_not_the_descriptor)]


class StoredFile(Contract):
    """One file of a version, beside ``descriptor.json``."""

    name: FileName
    sha256: Digest
    size_bytes: int = Field(ge=0)


class TensorSpec(Contract):
    """One input (a feature, shape [-1]) or output. ``minimum`` and ``maximum`` are those of the training rows."""

    name: str
    datatype: DataType
    shape: list[int]
    """-1 is the number of rows."""
    minimum: FiniteFloat | None = None
    maximum: FiniteFloat | None = None
    categories: list[int | FiniteFloat | str] | None = None
    """Of ``label``: its possible values; of ``probabilities``: the value each column belongs to."""


class Signature(Contract):
    """Features in the order of the columns of the input matrix, and the outputs."""

    inputs: list[TensorSpec] = Field(min_length=1)
    outputs: list[TensorSpec] = Field(min_length=1)

    @property
    def feature_names(self) -> list[str]:
        return [tensor.name for tensor in self.inputs]


class Tolerance(Contract):
    """``|actual - expected| <= absolute + relative * |expected|``, as numpy.isclose has it."""

    relative: FiniteFloat = Field(ge=0)
    absolute: FiniteFloat = Field(ge=0)


class GoldenRows(Contract):
    """Held-out rows with the training estimator's own answers: a server replays them before it is ready."""

    inputs: list[list[FiniteFloat]]
    """[rows][features], in the order of the signature."""
    expected: dict[str, list[Any]]
    """Name of an output → its rows."""
    tolerance: Tolerance


class Parity(Contract):
    """How far the stored model's answers are from the training estimator's, over ``rows`` held-out rows."""

    rows: int = Field(ge=1)
    max_abs_error: FiniteFloat = Field(ge=0)
    tolerance: Tolerance


class DatasetLineage(Contract):
    """Which rows a model was trained on."""

    name: str
    fingerprint: Digest
    """Over names, shapes and values of all rows, before the split."""
    rows: int
    columns: int
    train_rows: int
    test_rows: int
    revision: str | None = None


class Lineage(Contract):
    """Where a version comes from, beside its inputs."""

    dataset: DatasetLineage
    libraries: dict[str, str]
    """Library → version, of everything that shapes the model or loads it."""
    python: str
    code_version: str
    fit_seconds: FiniteFloat = Field(ge=0)


class Draft(Contract):
    """A descriptor before its files are known: everything its author has to say."""

    schema_version: int = SCHEMA_VERSION
    model: Annotated[str, StringConstraints(pattern=rf"^{MODEL_NAME_PATTERN}$")]
    version: int = Field(ge=1)
    run_id: str
    trained_by: TrainedBy
    inputs: TrainingInputs
    task: Task
    algorithm: str
    hyperparameters: dict[str, Any]
    """Every hyperparameter with its value, defaults included."""
    format: Format
    model_file: FileName
    signature: Signature
    golden_rows: GoldenRows
    metrics: dict[str, FiniteFloat]
    primary_metric: str
    parity: Parity
    joblib_reason: str | None = None
    """Why the model is a pickle."""
    prediction_buckets: list[FiniteFloat] = Field(default_factory=list)
    """Ascending edges that part the held-out predictions into shares of about equal size (regression)."""
    lineage: Lineage
    created_at: str
    """RFC 3339, UTC."""

    @model_validator(mode="after")
    def _primary_metric_exists(self) -> Self:
        if self.primary_metric not in self.metrics:
            raise ValueError(f"primary metric {self.primary_metric!r} is not among the metrics")
        return self


class Descriptor(Draft):
    """Content of ``descriptor.json``."""

    files: list[StoredFile] = Field(min_length=1)
    """Every file of the version but ``descriptor.json``, by name."""

    @model_validator(mode="after")
    def _files_are_consistent(self) -> Self:
        names = [file.name for file in self.files]
        if len(set(names)) != len(names):
            raise ValueError("a file is listed twice")
        if self.model_file not in names:
            raise ValueError(f"model file {self.model_file!r} is not among the files")
        return self

    @classmethod
    def of(cls, draft: Draft, files: list[StoredFile]) -> "Descriptor":
        """The draft with its files."""
        return cls.model_validate({**draft.model_dump(), "files": sorted(files, key=lambda file: file.name)})

    @classmethod
    def from_bytes(cls, data: bytes) -> "Descriptor":
        """Raises ValueError when the bytes are not a descriptor that this code understands."""
        try:
            content = json.loads(data.decode())
        except (UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"not JSON: {error}") from error
        found = content.get("schemaVersion") if isinstance(content, dict) else None
        if isinstance(found, int) and found > SCHEMA_VERSION:
            raise ValueError(f"schema version {found} is newer than {SCHEMA_VERSION}, the newest this release reads")
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "content"
            raise ValueError(f"{where}: {first['msg']}") from error

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, no NaN, UTF-8."""
        # Not pydantic's JSON mode: it turns NaN into null without a word.
        content = self.model_dump(by_alias=True, exclude_none=True)
        return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()

    @property
    def size_bytes(self) -> int:
        """Size of all listed files."""
        return sum(file.size_bytes for file in self.files)

    def facts(self, digest: Digest) -> VersionFacts:
        """What the controller records of this version."""
        return VersionFacts(
            version=self.version,
            run_id=self.run_id,
            digest=digest,
            size_bytes=self.size_bytes,
            format=self.format,
            algorithm=self.algorithm,
            task=self.task,
            metrics=self.metrics,
            primary_metric=self.primary_metric,
            inputs=_summaries(self.signature.inputs),
            outputs=_summaries(self.signature.outputs),
            feature_count=len(self.signature.inputs),
            created_at=self.created_at,
        )


def _summaries(tensors: list[TensorSpec]) -> list[TensorSummary]:
    return [
        TensorSummary(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        for tensor in tensors[:_MAX_TENSORS_IN_FACTS]
    ]
