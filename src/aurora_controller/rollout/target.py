"""Which version an MLDeployment asks for, and whether it can be had. Pure.

Version objects, or their status, can be lost and come back (they are rebuilt from the store), so what is missing never
moves what is already pinned: a revision that serves, or that was given up, keeps its number among those that exist.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aurora_controller.api.v1alpha1.mldeployment import MLDeploymentSpec, StrategyType
from aurora_controller.api.v1alpha1.mlmodelversion import VersionState
from aurora_controller.kube.meta import Manifest, is_deleting

MODEL_NOT_FOUND: Final = "ModelNotFound"
VERSION_NOT_FOUND: Final = "VersionNotFound"
ALIAS_NOT_FOUND: Final = "AliasNotFound"
LATEST: Final = "latest"
CHAMPION: Final = "champion"
BY_VERSION: Final = "version"
BY_STABLE_VERSION: Final = "stableVersion"
_DEFAULT_CLAIM: Final = "aurora-models"


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version that may be served."""

    number: int
    digest: str
    claim_name: str
    size_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Target:
    """What is asked for, and by which field of the spec."""

    version: ModelVersion
    asked_by: str = BY_VERSION

    @property
    def is_from_git(self) -> bool:
        """Whether it is to become stable without anybody's request."""
        return self.asked_by == BY_STABLE_VERSION


@dataclass(frozen=True, kw_only=True)
class Missing:
    """Why there is nothing to aim at; picked up by a watch once it changes."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The versions of one model, as far as they may be served, and its aliases."""

    model: str
    versions: Mapping[int, ModelVersion]
    aliases: Mapping[str, int]
    lost: frozenset[int] = frozenset()
    """Numbers that something here refers to and whose objects do not exist just now."""

    @property
    def is_empty(self) -> bool:
        return not self.versions and not self.lost

    def find(self, number: int) -> ModelVersion | Missing:
        found = self.versions.get(number)
        if found is not None:
            return found
        if number in self.lost:
            return Missing(
                reason=VERSION_NOT_FOUND,
                message=f"The MLModelVersion of version {number} of MLModel {self.model!r} is gone; what serves goes "
                "on serving. It can be rebuilt from the store.",
            )
        if not self.versions:
            return self._nothing()
        ready = ", ".join(str(version) for version in sorted(self.versions)[-10:])
        return Missing(
            reason=VERSION_NOT_FOUND,
            message=f"Version {number} of MLModel {self.model!r} is not Ready. Ready are: {ready}.",
        )

    def latest(self) -> ModelVersion | Missing:
        return self._nothing() if self.is_empty else self.find(max([*self.versions, *self.lost]))

    def alias(self, name: str) -> ModelVersion | Missing:
        if name in self.aliases:
            return self.find(self.aliases[name])
        if self.is_empty:
            return self._nothing()
        return Missing(
            reason=ALIAS_NOT_FOUND,
            message=f"MLModel {self.model!r} has no alias {name!r}. Pin it in the MLModel's spec.aliases, or set "
            "spec.version to latest or a number.",
        )

    def _nothing(self) -> Missing:
        return Missing(
            reason=MODEL_NOT_FOUND,
            message=f"MLModel {self.model!r} has no Ready version in this namespace. Train one with an MLTrainingJob; "
            "it is picked up as soon as it exists.",
        )


def catalogue(
    model_name: str, versions: Sequence[Manifest], model: Manifest | None, pinned: Iterable[ModelVersion | int]
) -> Catalogue:
    """``pinned`` is what the status holds on to: versions with all their facts, or mere numbers."""
    known = {obj["spec"]["version"]: obj for obj in versions if _has_facts(obj) and not is_deleting(obj)}
    ready = {number: _facts(obj) for number, obj in known.items() if obj["status"].get("state") == VersionState.READY}
    lost: set[int] = set()
    for pin in pinned:
        number = pin if isinstance(pin, int) else pin.number
        if number in known:
            continue
        if isinstance(pin, int):
            lost.add(number)
        else:
            ready[number] = pin
    status: Mapping[str, Any] = (model or {}).get("status") or {}
    aliases = {alias["name"]: alias["version"] for alias in status.get("aliases") or ()}
    return Catalogue(model=model_name, versions=ready, aliases=aliases, lost=frozenset(lost - ready.keys()))


def _has_facts(obj: Manifest) -> bool:
    return bool((obj.get("status") or {}).get("digest"))


def _facts(obj: Manifest) -> ModelVersion:
    return ModelVersion(
        number=obj["spec"]["version"],
        digest=obj["status"]["digest"],
        claim_name=obj["spec"].get("claimName") or _DEFAULT_CLAIM,
        size_bytes=obj["status"].get("sizeBytes") or 0,
    )


def target(spec: MLDeploymentSpec, known: Catalogue, stable_version: int | None) -> Target | Missing:
    """What should be stable, or on trial beside it. ``stable_version`` is the one that is stable now.

    ``spec.stableVersion`` comes first until it is stable; then ``spec.version`` may be on trial. Without a trial
    (RollingUpdate) there is but one word to obey, or the two fields would replace each other for ever.
    """
    wanted = spec.stable_version
    if wanted is not None and (wanted != stable_version or spec.strategy.type is StrategyType.ROLLING_UPDATE):
        found = known.find(wanted)
        return found if isinstance(found, Missing) else Target(version=found, asked_by=BY_STABLE_VERSION)
    found = _by_version(spec.version, known)
    return found if isinstance(found, Missing) else Target(version=found)


def first(spec: MLDeploymentSpec, known: Catalogue) -> Target | Missing:
    """What a deployment without history begins with: git's word, then the champion, then its target."""
    champion = known.versions.get(known.aliases.get(CHAMPION, 0))
    if spec.stable_version is None and champion is not None:
        return Target(version=champion)
    return target(spec, known, None)


def _by_version(wanted: int | str, known: Catalogue) -> ModelVersion | Missing:
    if wanted == LATEST:
        return known.latest()
    if isinstance(wanted, int):
        return known.find(wanted)
    return known.find(int(wanted)) if wanted.isdecimal() else known.alias(wanted)
