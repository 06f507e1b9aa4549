"""MLModelVersion: one immutable version of a model. Written by controllers only."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field, model_validator

from aurora_controller.api.model import (
    ATOMIC_LIST,
    INT64,
    SET_LIST,
    ApiModel,
    Condition,
    Metadata,
    ResourceName,
    Time,
    list_by,
)
from aurora_controller.api.validation import Rule, rules

_NAME: Final = Rule(
    # Not compared with a built string: the API server cannot bound the length of string(int) and refuses its cost.
    expression=(
        "self.metadata.name.matches('-v[1-9][0-9]*$') && self.metadata.name.startsWith(self.spec.modelName + '-v') "
        "&& int(self.metadata.name.substring(size(self.spec.modelName) + 2)) == self.spec.version"
    ),
    message="metadata.name must be <modelName>-v<version>, so that nobody can reserve a number twice: rename it",
    field=".metadata",
    only_at_creation=True,
)
_IMMUTABLE_SPEC: Final = Rule(
    expression="self == oldSelf",
    message="a version never changes: train a new one with an MLTrainingJob",
)
_IMMUTABLE_DIGEST: Final = Rule(
    expression=(
        "!has(oldSelf.status) || !has(oldSelf.status.digest) "
        "|| (has(self.status) && has(self.status.digest) && self.status.digest == oldSelf.status.digest)"
    ),
    message="status.digest never changes once it is set, for others rely on these very bytes: train a new version",
)

Digest = Annotated[str, Field(max_length=71, pattern="^sha256:[0-9a-f]{64}$")]


def version_name(model: str, number: int) -> str:
    """Of an MLModelVersion."""
    return f"{model}-v{number}"


class VersionState(StrEnum):
    """What may be done with a version."""

    RESERVED = "Reserved"
    READY = "Ready"
    ABANDONED = "Abandoned"


class TrainedBy(ApiModel):
    """The MLTrainingJob behind a version."""

    name: Annotated[str, Field(description="Name of the MLTrainingJob.", min_length=1, max_length=253)]
    uid: Annotated[str, Field(description="Its uid: a re-created job is another one.", min_length=1, max_length=64)]


class MLModelVersionSpec(ApiModel):
    """Which version this is. Immutable."""

    model_name: Annotated[ResourceName, Field(description="The MLModel that this is a version of.")]
    version: Annotated[int, Field(description="Number of the version; never used twice.", ge=1, le=2**31 - 1)]
    run: Annotated[
        str,
        Field(
            description="Id of the run that reserved the number; the version in the store carries it.",
            min_length=1,
            max_length=128,
        ),
    ]
    trained_by: Annotated[TrainedBy, Field(description="The MLTrainingJob whose run this is.")]
    claim_name: Annotated[
        str,
        Field(description="PersistentVolumeClaim that holds the files of the version.", min_length=1, max_length=253),
    ] = "aurora-models"


def check_name(name: str, spec: MLModelVersionSpec) -> None:
    """Raises ValueError when the object bears another name than its version: two might claim one number."""
    wanted = version_name(spec.model_name, spec.version)
    if name != wanted:
        raise ValueError(f"metadata.name must be {wanted}")


class Tensor(ApiModel):
    """One named tensor; -1 in the shape is a free dimension."""

    name: Annotated[str, Field(description="Name of the tensor.")]
    datatype: Annotated[str, Field(description="Datatype of the Open Inference Protocol, such as FP64.")]
    shape: Annotated[
        list[int],
        Field(description="Shape; -1 is a free dimension.", json_schema_extra=ATOMIC_LIST),
    ]


class Signature(ApiModel):
    """What the model takes and gives, in short; the descriptor in the store has all of it."""

    feature_count: Annotated[int, Field(description="How many features a row has.")] = 0
    inputs: Annotated[
        list[Tensor],
        Field(description="Inputs, at most 20 of them.", json_schema_extra=ATOMIC_LIST),
    ] = Field(default_factory=list)
    outputs: Annotated[list[Tensor], Field(description="Outputs.", json_schema_extra=ATOMIC_LIST)] = Field(
        default_factory=list
    )


class MLModelVersionStatus(ApiModel):
    """Facts, written once at publication, and the state, kept by the registry."""

    observed_generation: Annotated[int | None, Field(description="The generation that this status is about.")] = None
    digest: Annotated[
        Digest | None,
        Field(description="SHA-256 of the version's descriptor, which holds those of all its files. Never changes."),
    ] = None
    size_bytes: Annotated[
        int | None,
        Field(description="Size of all files of the version, in bytes.", json_schema_extra=INT64),
    ] = None
    format: Annotated[str | None, Field(description="trees, onnx or joblib.")] = None
    algorithm: Annotated[str | None, Field(description="Algorithm that was trained.")] = None
    task: Annotated[str | None, Field(description="regression or classification.")] = None
    metrics: Annotated[dict[str, float], Field(description="Scores on the held-out rows.")] = Field(
        default_factory=dict
    )
    primary_metric: Annotated[str | None, Field(description="The score in the column, such as r2=0.81.")] = None
    signature: Annotated[Signature | None, Field(description="What the model takes and gives.")] = None
    created_at: Annotated[Time | None, Field(description="When the version was published.")] = None
    state: Annotated[
        VersionState | None,
        Field(description="Reserved: its run is not done. Ready: may be served. Abandoned: its run ended without it."),
    ] = None
    served_by: Annotated[
        list[str],
        Field(
            description="MLDeployments whose stable or canary revision this is.",
            json_schema_extra=SET_LIST,
        ),
    ] = Field(default_factory=list)
    serving: Annotated[str | None, Field(description="The same for the column, such as housing, eu (canary).")] = None
    conditions: Annotated[
        list[Condition],
        Field(
            description="Ready is True when the version may be served.",
            json_schema_extra=list_by("type"),
        ),
    ] = Field(default_factory=list)


class MLModelVersion(ApiModel):
    """One immutable version of a model: digest, metrics, signature and lineage."""

    model_config = ConfigDict(json_schema_extra=rules(_NAME, _IMMUTABLE_DIGEST))

    metadata: Metadata
    spec: Annotated[
        MLModelVersionSpec,
        Field(description="Which version this is. Immutable.", json_schema_extra=rules(_IMMUTABLE_SPEC)),
    ]
    status: MLModelVersionStatus = MLModelVersionStatus()

    @model_validator(mode="after")
    def _bears_its_name(self) -> "MLModelVersion":
        check_name(self.metadata.name, self.spec)
        return self
