"""Which version an MLDeployment asks for, and whether it can be had. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aurora_controller.api.v1alpha1.mldeployment import MLDeploymentSpec
from aurora_controller.kube.meta import Manifest

MODEL_NOT_FOUND: Final = "ModelNotFound"
VERSION_NOT_FOUND: Final = "VersionNotFound"
ALIAS_NOT_FOUND: Final = "AliasNotFound"
LATEST: Final = "latest"
CHAMPION: Final = "champion"


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version that may be served."""

    number: int
    digest: str
    claim_name: str


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Why there is nothing to serve; picked up by a watch once it changes."""

    reason: str
    message: str


def servable(versions: Sequence[Manifest]) -> dict[int, ModelVersion]:
    """Versions with facts that the registry calls Ready, by number."""
    return {
        obj["spec"]["version"]: ModelVersion(
            number=obj["spec"]["version"],
            digest=obj["status"]["digest"],
            claim_name=obj["spec"].get("claimName", "aurora-models"),
        )
        for obj in versions
        if (obj.get("status") or {}).get("digest") and obj["status"].get("state") == "Ready"
    }


def target_version(
    spec: MLDeploymentSpec, versions: Mapping[int, ModelVersion], aliases: Mapping[str, int]
) -> ModelVersion | Missing:
    """The version that ``spec.version`` stands for now."""
    if not versions:
        return Missing(
            reason=MODEL_NOT_FOUND,
            message=f"MLModel {spec.model_name!r} has no Ready version in this namespace. "
            "Train one with an MLTrainingJob; it is picked up as soon as it exists.",
        )
    wanted = spec.version
    if wanted == LATEST:
        return versions[max(versions)]
    if isinstance(wanted, str) and wanted.isdecimal():
        wanted = int(wanted)
    if isinstance(wanted, int):
        return versions.get(wanted) or _no_version(spec.model_name, wanted, versions)
    if wanted not in aliases:
        return Missing(
            reason=ALIAS_NOT_FOUND,
            message=f"MLModel {spec.model_name!r} has no alias {wanted!r}. Pin it in the MLModel's spec.aliases, "
            "or set spec.version to latest or a number.",
        )
    return versions.get(aliases[wanted]) or _no_version(spec.model_name, aliases[wanted], versions)


def _no_version(model: str, number: int, versions: Mapping[int, ModelVersion]) -> Missing:
    known = ", ".join(str(version) for version in sorted(versions)[-10:])
    return Missing(
        reason=VERSION_NOT_FOUND, message=f"Version {number} of MLModel {model!r} is not Ready; Ready are: {known}."
    )


def aliases_of(model: Manifest | None) -> Mapping[str, int]:
    """Where the model's aliases stand."""
    status: Mapping[str, Any] = (model or {}).get("status") or {}
    return {alias["name"]: alias["version"] for alias in status.get("aliases") or ()}


def first_stable(
    spec: MLDeploymentSpec, versions: Mapping[int, ModelVersion], aliases: Mapping[str, int]
) -> ModelVersion | None:
    """What a deployment without history begins with, where that differs from its target: git's word, then champion."""
    for number in (spec.stable_version, aliases.get(CHAMPION) if spec.version == LATEST else None):
        if number is not None and number in versions:
            return versions[number]
    return None
