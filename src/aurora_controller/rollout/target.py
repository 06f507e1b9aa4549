"""Which version an MLDeployment asks for, and whether it can be had. Pure.

Version objects, or their status, can be lost and come back (they are rebuilt from the store), so what is missing never
moves what is already pinned: a revision that serves, or that was given up, keeps its number among those that exist.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from aurora_controller.api.reading import Unreadable
from aurora_controller.api.v1alpha1.mldeployment import MLDeploymentSpec, StrategyType
from aurora_controller.api.v1alpha1.mlmodelversion import VersionState, version_name
from aurora_controller.api.v1alpha1.readings import ModelReading, Version
from aurora_controller.api.v1alpha1.reasons import MODEL_UNREADABLE, VERSION_UNREADABLE

MODEL_NOT_FOUND: Final = "ModelNotFound"
VERSION_NOT_FOUND: Final = "VersionNotFound"
ALIAS_NOT_FOUND: Final = "AliasNotFound"
LATEST: Final = "latest"
CHAMPION: Final = "champion"
BY_VERSION: Final = "version"
BY_STABLE_VERSION: Final = "stableVersion"


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
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)
    """MLModelVersions that cannot be read, by name."""
    unreadable_model: Unreadable | None = None
    """The MLModel, when its aliases cannot be told."""

    @property
    def is_empty(self) -> bool:
        return not self.versions and not self.lost

    def find(self, number: int) -> ModelVersion | Missing:
        found = self.versions.get(number)
        if found is not None:
            return found
        unreadable = self.unreadable.get(version_name(self.model, number))
        if unreadable is not None:
            return _unreadable(VERSION_UNREADABLE, unreadable)
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
        if self.unreadable_model is not None:
            return _unreadable(MODEL_UNREADABLE, self.unreadable_model)
        if self.is_empty:
            return self._nothing()
        return Missing(
            reason=ALIAS_NOT_FOUND,
            message=f"MLModel {self.model!r} has no alias {name!r}. Pin it in the MLModel's spec.aliases, or set "
            "spec.version to latest or a number.",
        )

    def _nothing(self) -> Missing:
        if self.unreadable:
            return _unreadable(VERSION_UNREADABLE, *self.unreadable.values())
        return Missing(
            reason=MODEL_NOT_FOUND,
            message=f"MLModel {self.model!r} has no Ready version in this namespace. Train one with an MLTrainingJob; "
            "it is picked up as soon as it exists.",
        )


def _unreadable(reason: str, *objects: Unreadable) -> Missing:
    """What was left out may be the very one that is asked for."""
    return Missing(reason=reason, message=" ".join(f"{one}." for one in objects))


def catalogue(
    model_name: str,
    versions: Sequence[Version],
    unreadable: Sequence[Unreadable],
    model: ModelReading | Unreadable,
    pinned: Iterable[ModelVersion | int],
) -> Catalogue:
    """``pinned`` is what the status holds on to: versions with all their facts, or mere numbers."""
    known = {one.number: one for one in versions if one.status.digest is not None and not one.is_deleting}
    ready = {
        number: _facts(one, one.status.digest)
        for number, one in known.items()
        if one.status.digest is not None and one.status.state == VersionState.READY.value
    }
    lost: set[int] = set()
    for pin in pinned:
        number = pin if isinstance(pin, int) else pin.number
        if number in known:
            continue
        if isinstance(pin, int):
            lost.add(number)
        else:
            ready[number] = pin
    aliases = [] if isinstance(model, Unreadable) else model.status.aliases
    return Catalogue(
        model=model_name,
        versions=ready,
        aliases={alias.name: alias.version for alias in aliases},
        lost=frozenset(lost - ready.keys()),
        unreadable={one.name: one for one in unreadable},
        unreadable_model=model if isinstance(model, Unreadable) else None,
    )


def _facts(version: Version, digest: str) -> ModelVersion:
    return ModelVersion(
        number=version.number,
        digest=digest,
        claim_name=version.spec.claim_name,
        size_bytes=version.status.size_bytes or 0,
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
    if spec.stable_version is None and known.unreadable_model is not None:
        # Its champion, if it has one, must not be passed over for a version that nobody has tried.
        return _unreadable(MODEL_UNREADABLE, known.unreadable_model)
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
