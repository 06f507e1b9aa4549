"""What reconcilers read of objects that are not their own: no more than they act on, see ``api/reading.py``.

So a fault in the rest of an object is nobody's business but its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from aurora_controller.api.model import ApiModel
from aurora_controller.api.reading import Unreadable, read
from aurora_controller.api.v1alpha1.kinds import MODEL_NAME
from aurora_controller.api.v1alpha1.mlmodel import Alias
from aurora_controller.api.v1alpha1.mlmodelversion import Digest, MLModelVersionSpec, check_name
from aurora_controller.kube.meta import Manifest, is_deleting
from aurora_controller.kube.store import text_at


class Name(ApiModel):
    """Of metadata, whose shape the watch has checked."""

    name: str


class VersionStatusReading(ApiModel):
    """What is recorded of a published version, and what the registry says of it."""

    digest: Digest | None = None
    """Present once the version is published."""
    state: Literal["Reserved", "Ready", "Abandoned"] | None = None
    size_bytes: int | None = None
    metrics: dict[str, float] = Field(default_factory=dict)
    primary_metric: str | None = None


class VersionReading(ApiModel):
    """An MLModelVersion."""

    metadata: Name
    spec: MLModelVersionSpec
    status: VersionStatusReading = VersionStatusReading()

    @model_validator(mode="after")
    def _bears_its_name(self) -> "VersionReading":
        check_name(self.metadata.name, self.spec)
        return self


@dataclass(frozen=True, kw_only=True)
class Version:
    """An MLModelVersion that can be read."""

    manifest: Manifest
    spec: MLModelVersionSpec
    status: VersionStatusReading

    @property
    def number(self) -> int:
        return self.spec.version

    @property
    def is_deleting(self) -> bool:
        return is_deleting(self.manifest)


def versions_of(model: str, manifests: Iterable[Manifest]) -> tuple[list[Version], list[Unreadable]]:
    """Those of ``model``, and those that may be of it and cannot be read."""
    versions: list[Version] = []
    unreadable: list[Unreadable] = []
    for manifest in manifests:
        if text_at(manifest, MODEL_NAME) not in {model, None}:
            continue
        content = read(VersionReading, manifest)
        if isinstance(content, Unreadable):
            unreadable.append(content)
        else:
            versions.append(Version(manifest=manifest, spec=content.spec, status=content.status))
    return versions, unreadable


class ModelStatusReading(ApiModel):
    aliases: list[Alias] = Field(default_factory=list)
    highest_version: int | None = None


class ModelReading(ApiModel):
    """An MLModel."""

    status: ModelStatusReading = ModelStatusReading()

    @property
    def numbers(self) -> set[int]:
        """Version numbers that its status names."""
        return _present(self.status.highest_version)


class RunReading(ApiModel):
    id: str
    number: int
    version: int | None = None
    phase: str = ""
    """A RunPhase."""


class JobStatusReading(ApiModel):
    run: RunReading | None = None
    version: int | None = None


class JobReading(ApiModel):
    """An MLTrainingJob."""

    status: JobStatusReading = JobStatusReading()

    @property
    def numbers(self) -> set[int]:
        """Version numbers that its status names."""
        return _present(self.status.version, self.status.run.version if self.status.run is not None else None)


class ServedVersion(ApiModel):
    version: int


class ServingStatusReading(ApiModel):
    stable: ServedVersion | None = None
    canary: ServedVersion | None = None
    previous: list[ServedVersion] = Field(default_factory=list)


class ServingReading(ApiModel):
    """The versions that an MLDeployment serves."""

    status: ServingStatusReading = ServingStatusReading()

    @property
    def roles(self) -> list[tuple[str, int]]:
        """Role, stable before canary, and version."""
        revisions = {"stable": self.status.stable, "canary": self.status.canary}
        return [(role, revision.version) for role, revision in revisions.items() if revision is not None]

    @property
    def numbers(self) -> set[int]:
        """Version numbers that its status names."""
        return {version for _, version in self.roles} | {revision.version for revision in self.status.previous}


class RoutingReading(ApiModel):
    type: str | None = None
    """A RoutingType."""
    class_name: str | None = None
    host: str | None = None


class RouteSpecReading(ApiModel):
    model_name: str
    routing: RoutingReading = RoutingReading()


class RouteReading(ApiModel):
    """The route that an MLDeployment asks for."""

    spec: RouteSpecReading


def numbers_in(reading: "type[ModelReading | JobReading | ServingReading]", manifest: Manifest) -> set[int]:
    """Version numbers that the status of an object names; none where it cannot be read."""
    content = read(reading, manifest)
    return set() if isinstance(content, Unreadable) else content.numbers


def _present(*numbers: int | None) -> set[int]:
    return {number for number in numbers if number is not None}
