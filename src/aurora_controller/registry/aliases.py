"""Where the aliases of a model stand, and how they came there. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aurora_controller.api.v1alpha1.mlmodel import AliasChange, MLModel
from aurora_controller.api.v1alpha1.mlmodelversion import VersionState
from aurora_controller.kube.clock import format_time
from aurora_controller.kube.conditions import remove_condition, set_condition
from aurora_controller.kube.meta import Manifest

ALIASES_RESOLVED: Final = "AliasesResolved"
PINNED: Final = "Pinned"
UNPINNED: Final = "Unpinned"
VERSION_NOT_READY: Final = "VersionNotReady"
HISTORY_LENGTH: Final = 20
UNKNOWN_WRITER: Final = "unknown"


@dataclass(frozen=True, kw_only=True)
class Aliases:
    """The pins of a model, set against its versions."""

    standing: Mapping[str, int]
    """Name → version, of those that stand for a Ready version; by name."""
    unresolved: Mapping[str, str]
    """Name → what is wrong with its pin; by name."""

    @classmethod
    def of(cls, pins: Mapping[str, int], states: Mapping[int, str]) -> "Aliases":
        ordered = sorted(pins.items())
        standing = {name: number for name, number in ordered if states.get(number) == VersionState.READY}
        unresolved = {name: _trouble(number, states) for name, number in ordered if name not in standing}
        return cls(standing=standing, unresolved=unresolved)

    def conditions(self, given: Sequence[Manifest], *, generation: int, now: datetime) -> list[Manifest]:
        """``given`` with AliasesResolved as it is now; absent when nothing is pinned."""
        if not self.standing and not self.unresolved:
            return remove_condition(given, ALIASES_RESOLVED)
        troubles = "; ".join(f"alias {name}: {trouble}" for name, trouble in self.unresolved.items())
        return set_condition(
            given,
            type=ALIASES_RESOLVED,
            status="False" if self.unresolved else "True",
            reason=VERSION_NOT_READY if self.unresolved else "Resolved",
            message=f"{troubles}. Pin a Ready version in spec.aliases." if troubles else "Every alias stands.",
            generation=generation,
            now=now,
        )


def _trouble(number: int, states: Mapping[int, str]) -> str:
    state = states.get(number)
    return f"there is no version {number}" if state is None else f"version {number} is {state}"


def have_moved(model: MLModel, aliases: Aliases) -> bool:
    """Whether the aliases stand elsewhere than the model's status tells."""
    return _told(model) != aliases.standing


def history(
    model: MLModel, aliases: Aliases, managed_fields: Sequence[Mapping[str, Any]], now: datetime
) -> list[AliasChange]:
    """The moves that were known, and those between the aliases told before and now; the last ones of all."""
    before, after = _told(model), aliases.standing
    moves = [
        AliasChange(
            name=name,
            from_version=before.get(name),
            to_version=after.get(name),
            at=format_time(now),
            by=_writer(managed_fields, name),
            reason=_reason(name, aliases),
        )
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]
    return [*model.status.alias_history, *moves][-HISTORY_LENGTH:]


def _told(model: MLModel) -> dict[str, int]:
    return {alias.name: alias.version for alias in model.status.aliases}


def _reason(name: str, aliases: Aliases) -> str:
    if name in aliases.standing:
        return PINNED
    return VERSION_NOT_READY if name in aliases.unresolved else UNPINNED


def _writer(managed_fields: Sequence[Mapping[str, Any]], alias: str) -> str:
    """The field manager that owns the pin; of a removed pin, the one that wrote to the spec last."""
    entries = [entry for entry in managed_fields if not entry.get("subresource")]
    owners = [entry for entry in entries if f"f:{alias}" in _pins_owned(entry)]
    latest: Mapping[str, Any] = max(owners or entries, key=lambda entry: entry.get("time", ""), default={})
    name: str = latest.get("manager", UNKNOWN_WRITER)
    return name


def _pins_owned(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    fields = entry.get("fieldsV1") or {}
    owned: Mapping[str, Any] = (fields.get("f:spec") or {}).get("f:aliases") or {}
    return owned
