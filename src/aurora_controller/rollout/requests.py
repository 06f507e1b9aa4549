"""Promote and abort annotations: whether they count, and what to write instead. Pure.

A request names the revision and the number of the rollout it is about, so that it counts once: an annotation that is
left behind, or restored from a backup, does nothing to a later rollout. Abort wins over promote.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.mldeployment import HistoryEntry, LastRequest
from aurora_controller.rollout.state import SWITCHED, State


class Action(StrEnum):
    """What a person may ask of an open rollout."""

    PROMOTE = "promote"
    ABORT = "abort"


ANNOTATIONS: Final = {Action.ABORT: labels.ABORT, Action.PROMOTE: labels.PROMOTE}
"""In the order in which they are obeyed."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the annotations say, and what stands against it."""

    promote: str | None = None
    abort: str | None = None
    is_paused: bool = False
    stable_version: int | None = None
    """``spec.stableVersion``."""

    def value(self, action: Action) -> str | None:
        return self.abort if action is Action.ABORT else self.promote


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is to be done, and what is told."""

    action: Action | None = None
    told: LastRequest | None = None
    """None leaves what was told before."""


def key_of_rollout(state: State) -> str | None:
    """What a request about the open rollout is written as."""
    return f"{state.canary.name}@{state.rollout}" if state.canary is not None else None


def answer(asked: Asked, state: State, history: Sequence[HistoryEntry]) -> Answer:
    """The same annotations and the same state always get the same answer, so nothing is told twice."""
    key = key_of_rollout(state)
    for action in ANNOTATIONS:
        value = asked.value(action)
        if value is not None and value == key:
            against = _objection(action, asked, state)
            told = LastRequest(action=action, value=value, accepted=against is None, message=against or "")
            return Answer(action=action if against is None else None, told=told)
    ended = {f"{entry.revision}@{entry.rollout}" for entry in history}
    for action in ANNOTATIONS:
        value = asked.value(action)
        if value is not None and value not in ended:
            message = _instead(action, key)
            return Answer(told=LastRequest(action=action, value=value, accepted=False, message=message))
    return Answer()


def _objection(action: Action, asked: Asked, state: State) -> str | None:
    if action is Action.ABORT:
        if state.phase in SWITCHED:
            stable = state.stable.version if state.stable is not None else "of before"
            return f"The traffic has moved already; to go back, set spec.version to {stable}."
        return None
    if asked.is_paused:
        return "spec.paused holds promotions back; the request counts once it is false."
    if asked.stable_version is not None and state.canary is not None and asked.stable_version != state.canary.version:
        return (
            f"spec.stableVersion says {asked.stable_version}; set it to {state.canary.version} instead of annotating."
        )
    return None


def _instead(action: Action, key: str | None) -> str:
    if key is None:
        return "No canary is open."
    return f"Not the open rollout; write {ANNOTATIONS[action]}={key}"
