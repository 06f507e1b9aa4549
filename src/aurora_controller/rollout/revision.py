"""A revision: one version of the model under one pod template.

Its name is derived from the digest and from what the user set of the template, compared as values: neither a default
that a newer schema adds, nor another spelling of a quantity, nor a newer controller makes a new revision. What the
name stands for travels with it, so that the Deployment of a revision can be made again when the spec has moved on.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from aurora_controller.api.model import Placement, ResourceRequirements
from aurora_controller.api.v1alpha1.mldeployment import MLDeploymentSpec, RevisionStatus
from aurora_controller.api.v1alpha1.server import Server
from aurora_controller.kube.quantity import parse_quantity
from aurora_controller.rollout.target import ModelVersion

SETTINGS: Final = ("image", "resources", "server", "placement")
"""Fields of the spec whose change makes another revision."""
_HASH_LENGTH: Final = 8


@dataclass(frozen=True, kw_only=True)
class Revision:
    """What a pod serves, and how it is run."""

    name: str
    """``<version>-<hash8>``."""
    version: int
    digest: str
    claim_name: str = ""
    size_bytes: int = 0
    image: str = ""
    """Runtime image, decided when the revision was made."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the user set of image, resources, server and placement: JSON of the spec without defaults."""

    @classmethod
    def of(cls, spec: MLDeploymentSpec, version: ModelVersion, *, runtime_image: str) -> "Revision":
        settings = user_settings(spec)
        return cls(
            name=f"{version.number}-{_hash({'digest': version.digest, **_as_values(settings)})}",
            version=version.number,
            digest=version.digest,
            claim_name=version.claim_name,
            size_bytes=version.size_bytes,
            image=spec.image or runtime_image,
            settings=settings,
        )

    @classmethod
    def from_status(cls, status: RevisionStatus) -> "Revision":
        return cls(
            name=status.revision,
            version=status.version,
            digest=status.digest,
            claim_name=status.claim_name,
            size_bytes=status.size_bytes,
            image=status.image,
            settings=status.settings,
        )

    @property
    def resources(self) -> ResourceRequirements:
        given = self.settings.get("resources")
        default: ResourceRequirements = MLDeploymentSpec.model_fields["resources"].default
        return default if given is None else ResourceRequirements.model_validate(given)

    @property
    def placement(self) -> Placement:
        return Placement.model_validate(self.settings.get("placement") or {})

    @property
    def server(self) -> Server:
        return Server.model_validate(self.settings.get("server") or {})

    @property
    def model_version(self) -> ModelVersion:
        return ModelVersion(
            number=self.version, digest=self.digest, claim_name=self.claim_name, size_bytes=self.size_bytes
        )

    def today(self, runtime_image: str) -> "Revision":
        """The same revision as it would be made now: its image follows the controller unless the user set one."""
        return Revision(
            name=self.name,
            version=self.version,
            digest=self.digest,
            claim_name=self.claim_name,
            size_bytes=self.size_bytes,
            image=self.settings.get("image") or runtime_image,
            settings=self.settings,
        )


def user_settings(spec: MLDeploymentSpec) -> dict[str, Any]:
    """What differs from the schema's defaults, in camelCase."""
    return spec.model_dump(mode="json", by_alias=True, include=set(SETTINGS), exclude_defaults=True, exclude_none=True)


def _as_values(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the name is made of: resources by amount, and not at all when they amount to the default."""
    values, resources = dict(settings), settings.get("resources")
    if resources is not None:
        values["resources"] = _amounts(resources)
        default: ResourceRequirements = MLDeploymentSpec.model_fields["resources"].default
        if values["resources"] == _amounts(default.to_json()):
            del values["resources"]
    return values


def _amounts(resources: Mapping[str, Mapping[str, int | str]]) -> dict[str, dict[str, str]]:
    return {part: {name: _amount(value) for name, value in given.items()} for part, given in resources.items() if given}


def _amount(quantity: int | str) -> str:
    """One spelling per amount: 500m and 0.5 are the same."""
    try:
        return format(parse_quantity(quantity).normalize(), "f")
    except ValueError:
        return str(quantity)  # the API server will say what is wrong with it


def _hash(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
