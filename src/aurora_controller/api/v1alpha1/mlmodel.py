"""MLModel: the versions of one model, its aliases, and who serves what."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field

from aurora_controller.api.model import ATOMIC_LIST, INT64, ApiModel, Condition, Metadata, Time, list_by
from aurora_controller.api.validation import LABEL_PATTERN, MAX_NAME_LENGTH, NAME, Rule, rules

LATEST: Final = "latest"
"""Always the highest Ready version; no alias may be called so."""
CHAMPION: Final = "champion"
"""The alias that has a column of its own."""

_ALIAS_NAMES: Final = Rule(
    expression=(
        f"self.all(name, size(name) <= {MAX_NAME_LENGTH} && name != '{LATEST}' && name.matches('{LABEL_PATTERN}'))"
    ),
    message=(
        f"an alias has at most {MAX_NAME_LENGTH} characters, only lower-case letters, digits and dashes, begins with a "
        f"letter and is not {LATEST}, which always is the highest Ready version: rename it"
    ),
)


class MLModelSpec(ApiModel):
    """What people decide about a model; everything has a default."""

    description: Annotated[str | None, Field(description="What the model is for.", max_length=4096)] = None
    aliases: Annotated[
        dict[str, Annotated[int, Field(description="The version that the name stands for.", ge=1, le=2**31 - 1)]],
        Field(
            description="Names pinned to versions, such as champion: 3. MLDeployments may follow a name.",
            max_length=32,
            json_schema_extra=rules(_ALIAS_NAMES),
        ),
    ] = Field(default_factory=dict)


class Alias(ApiModel):
    """A name and the version it stands for."""

    name: Annotated[str, Field(description="The alias.")]
    version: Annotated[int, Field(description="The version it stands for.")]


class AliasChange(ApiModel):
    """One move of an alias."""

    name: Annotated[str, Field(description="The alias that moved.")]
    from_version: Annotated[int | None, Field(description="Where it stood before; absent when it was new.")] = None
    to_version: Annotated[int | None, Field(description="Where it stands since; absent when it was removed.")] = None
    at: Annotated[Time, Field(description="When the move was seen.")]
    by: Annotated[str, Field(description="Who moved it: the field manager that last wrote the aliases.")]
    reason: Annotated[str, Field(description="Why it moved.")]


class ServedBy(ApiModel):
    """An MLDeployment and the version it serves in one role."""

    name: Annotated[str, Field(description="Name of the MLDeployment.")]
    role: Annotated[str, Field(description="stable or canary.")]
    version: Annotated[int, Field(description="The version it serves.")]


class MLModelStatus(ApiModel):
    """What exists of this model."""

    observed_generation: Annotated[int | None, Field(description="The generation that this status is about.")] = None
    latest_version: Annotated[int | None, Field(description="Highest version that is Ready.")] = None
    latest_digest: Annotated[str | None, Field(description="Digest of that version.")] = None
    latest_metrics: Annotated[dict[str, float], Field(description="Scores of that version on its held-out rows.")] = (
        Field(default_factory=dict)
    )
    highest_version: Annotated[
        int | None, Field(description="Highest number ever reserved; the next version gets a higher one.")
    ] = None
    ready_versions: Annotated[int, Field(description="How many versions are Ready.")] = 0
    size_bytes: Annotated[
        int,
        Field(description="Size of all Ready versions in the store, in bytes.", json_schema_extra=INT64),
    ] = 0
    aliases: Annotated[
        list[Alias],
        Field(
            description="Where the aliases stand.",
            json_schema_extra=ATOMIC_LIST,
        ),
    ] = Field(default_factory=list)
    champion: Annotated[int | None, Field(description="Version of the alias champion, for the column.")] = None
    alias_history: Annotated[
        list[AliasChange],
        Field(
            description="The last 20 moves of aliases, newest last.",
            json_schema_extra=ATOMIC_LIST,
        ),
    ] = Field(default_factory=list)
    served_by: Annotated[
        list[ServedBy],
        Field(description="Who serves which version.", json_schema_extra=ATOMIC_LIST),
    ] = Field(default_factory=list)
    serving: Annotated[str | None, Field(description="Who serves, for the column.")] = None
    conditions: Annotated[
        list[Condition],
        Field(
            description="Ready is True when a version may be served.",
            json_schema_extra=list_by("type"),
        ),
    ] = Field(default_factory=list)


class MLModel(ApiModel):
    """A model: its versions, aliases and who serves them. Created on demand."""

    model_config = ConfigDict(json_schema_extra=rules(NAME))

    metadata: Metadata
    spec: MLModelSpec = MLModelSpec()
    status: MLModelStatus = MLModelStatus()
