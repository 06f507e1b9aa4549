"""MLTrainingJob: what to train, and which version came out."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from aurora_controller.api.model import (
    OPEN_OBJECT,
    ApiModel,
    Condition,
    Metadata,
    Placement,
    ResourceName,
    ResourceRequirements,
    Storage,
    Time,
    list_by,
)
from aurora_controller.api.validation import IMMUTABLE_MODEL_NAME, NAME, rules


class Task(StrEnum):
    """What is predicted: a number or a class."""

    AUTO = "auto"
    REGRESSION = "regression"
    CLASSIFICATION = "classification"


class Data(ApiModel):
    """How the rows of the dataset are used."""

    test_fraction: Annotated[
        float, Field(description="Share of the rows held out to score the model.", ge=0.05, le=0.5)
    ] = 0.2
    seed: Annotated[
        int,
        Field(
            description="Seed of the split and of the algorithm: the same seed gives the same model.",
            ge=0,
            le=2**31 - 1,
        ),
    ] = 0


class MLTrainingJobSpec(ApiModel):
    """What to train."""

    model_name: Annotated[
        ResourceName,
        Field(
            description="The MLModel that gets the new version. Immutable.",
            json_schema_extra=rules(IMMUTABLE_MODEL_NAME),
        ),
    ]
    # Dataset, algorithm and hyperparameters are open strings in the schema: the runtime image knows what it can train,
    # and answers an unknown name with a condition that lists the known ones.
    dataset: Annotated[
        str,
        Field(
            description=(
                "What to train on, one of the built-in datasets: synthetic (California-Housing-like; california-"
                "housing is the same), diabetes, iris, wine, breast_cancer, digits."
            ),
            min_length=1,
            max_length=1024,
        ),
    ]
    data_revision: Annotated[
        str | None,
        Field(
            description="Free text; a change of it trains anew on data that changed behind the same name.",
            max_length=256,
        ),
    ] = None
    data: Annotated[Data, Field(description="How the rows are split into training and held-out rows.")] = Data()
    algorithm: Annotated[
        str,
        Field(
            description=(
                "random_forest, extra_trees, gradient_boosting, hist_gradient_boosting, linear, ridge, logistic, knn, "
                "svm or mlp."
            ),
            min_length=1,
            max_length=64,
        ),
    ]
    task: Annotated[Task, Field(description="What is predicted; auto takes what the dataset is made for.")] = Task.AUTO
    hyperparameters: Annotated[
        dict[str, Any],
        Field(
            description=(
                "Arguments of the algorithm, by scikit-learn's names. An unknown name fails the run and lists the "
                "allowed ones."
            ),
            max_length=64,
            json_schema_extra=OPEN_OBJECT,
        ),
    ] = Field(default_factory=dict)
    resources: Annotated[
        ResourceRequirements, Field(description="Compute resources of the trainer; applies to the next attempt.")
    ] = ResourceRequirements(requests={"cpu": "500m", "memory": "1Gi"}, limits={"memory": "2Gi"})
    placement: Annotated[Placement, Field(description="Where the trainer runs; applies to the next attempt.")] = (
        Placement()
    )
    image: Annotated[
        str | None,
        Field(
            description="Runtime image of the trainer; the controller's own when unset. Setting it trains anew.",
            min_length=1,
            max_length=512,
        ),
    ] = None
    storage: Annotated[Storage, Field(description="Where the version is published.")] = Storage()
    backoff_limit: Annotated[
        int, Field(description="How often a run is tried again after a failure of the infrastructure.", ge=0, le=20)
    ] = 3
    timeout_seconds: Annotated[
        int, Field(description="How long one attempt may take, in seconds.", ge=10, le=604800)
    ] = 3600
    ttl_seconds_after_finished: Annotated[
        int | None,
        Field(
            description=(
                "How long the finished Job and its pods are kept for their logs, in seconds; 0 removes them at once. "
                "The MLTrainingJob itself stays."
            ),
            ge=0,
            le=31536000,
        ),
    ] = 3600
    suspend: Annotated[bool, Field(description="Stops the run and starts none until it is false again.")] = False


class RunPhase(StrEnum):
    """Where a run stands."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    SUSPENDED = "Suspended"


class Failure(ApiModel):
    """How an attempt ended."""

    reason: Annotated[str, Field(description="One CamelCase word that programs can act on.")]
    message: Annotated[str, Field(description="What happened and who acts next, for people.")]


class Run(ApiModel):
    """One answer to one set of inputs."""

    id: Annotated[str, Field(description="Identity of the run; the version in the store carries it.")]
    number: Annotated[int, Field(description="Counts the runs of this job, from 1.")]
    inputs: Annotated[
        dict[str, Any],
        Field(
            description="The inputs that this run answers.",
            json_schema_extra=OPEN_OBJECT,
        ),
    ]
    version: Annotated[int | None, Field(description="The model version reserved for this run.")] = None
    attempt: Annotated[int, Field(description="Number of the current attempt, from 1.")] = 1
    failures: Annotated[int, Field(description="Attempts of this run that failed by infrastructure.")] = 0
    oom_kills: Annotated[int, Field(description="How many of them were killed for lack of memory.")] = 0
    restarts: Annotated[
        int, Field(description="How often the current attempt was started again because its report was lost.")
    ] = 0
    last_failure: Annotated[Failure | None, Field(description="How the last failed attempt ended.")] = None
    phase: Annotated[RunPhase, Field(description="Where the run stands.")] = RunPhase.PENDING
    generation: Annotated[int, Field(description="Generation of the spec that the current attempt belongs to.")] = 0
    not_before: Annotated[Time | None, Field(description="When the next attempt may start.")] = None
    started_at: Annotated[
        Time | None,
        Field(description="When the first attempt of this run started."),
    ] = None
    finished_at: Annotated[Time | None, Field(description="When the run ended.")] = None


class Progress(ApiModel):
    """How far the trainer is, as it says itself."""

    phase: Annotated[str, Field(description="What the trainer is doing.")]
    percent: Annotated[int, Field(description="Share of the work that is done.", ge=0, le=100)]
    observed_at: Annotated[Time, Field(description="When the trainer was asked.")]


class MLTrainingJobStatus(ApiModel):
    """Which version came out, its metrics, and how it went."""

    observed_generation: Annotated[int | None, Field(description="The generation that this status is about.")] = None
    conditions: Annotated[
        list[Condition],
        Field(
            description="Succeeded sums the run up; Reconciling and Stalled appear only while true.",
            json_schema_extra=list_by("type"),
        ),
    ] = Field(default_factory=list)
    phase: Annotated[
        str | None, Field(description="One word for people: Pending, Running, Succeeded, Failed or Suspended.")
    ] = None
    run: Annotated[Run | None, Field(description="The run that answers the spec's inputs.")] = None
    progress: Annotated[Progress | None, Field(description="How far the trainer is.")] = None
    progress_percent: Annotated[str | None, Field(description="Progress for the column, such as 40%.")] = None
    version: Annotated[int | None, Field(description="The version that came out of the run.")] = None
    digest: Annotated[str | None, Field(description="Digest of that version.")] = None
    metrics: Annotated[dict[str, float], Field(description="Scores on the held-out rows.")] = Field(
        default_factory=dict
    )
    primary_metric: Annotated[str | None, Field(description="The score in the column, such as r2=0.81.")] = None
    reused: Annotated[
        bool | None, Field(description="True when the version was found in the store instead of being trained.")
    ] = None


class MLTrainingJob(ApiModel):
    """Trains a model once per change of its inputs and publishes an immutable version of it."""

    model_config = ConfigDict(json_schema_extra=rules(NAME))

    metadata: Metadata
    spec: MLTrainingJobSpec
    status: MLTrainingJobStatus = MLTrainingJobStatus()
