"""That value → the status of the MLModel. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aurora_controller.api.reading import Unreadable
from aurora_controller.api.v1alpha1.mlmodel import CHAMPION, Alias, MLModel, MLModelStatus, ServedBy
from aurora_controller.api.v1alpha1.mlmodelversion import VersionState, version_name
from aurora_controller.api.v1alpha1.readings import VersionStatusReading
from aurora_controller.kube.conditions import carried_over, conditions_of, set_condition
from aurora_controller.kube.meta import Manifest
from aurora_controller.registry.aliases import Aliases, history
from aurora_controller.registry.observation import CANARY, Model, Observation, Server
from aurora_controller.registry.states import READY

VERSION_READY: Final = "VersionReady"
NO_READY_VERSION: Final = "NoReadyVersion"


def aliases_of(observed: Observation) -> Aliases:
    pins = {} if observed.model is None else observed.model.content.spec.aliases
    states = {version.number: version.status.state or VersionState.RESERVED for version in observed.versions}
    unreadable = {one.name for one in observed.unreadable}
    pinned_unreadable = {number for number in pins.values() if version_name(observed.key.name, number) in unreadable}
    return Aliases.of(pins, states | dict.fromkeys(pinned_unreadable, "unreadable"))


def model_status(observed: Observation, present: Model, now: datetime) -> dict[str, Any]:
    """All keys of the status of the model that is ``present``; None removes one."""
    model = present.content
    # As its own status tells it, so that nobody hears here of a version that he finds not to be Ready there.
    facts = {
        version.number: version.status
        for version in observed.versions
        if version.status.state == VersionState.READY.value
    }
    latest = max(facts, default=None)
    aliases = aliases_of(observed)
    status = MLModelStatus(
        observed_generation=model.metadata.generation,
        latest_version=latest,
        latest_digest=facts[latest].digest if latest is not None else None,
        latest_metrics=facts[latest].metrics if latest is not None else {},
        highest_version=_highest(model, observed),
        ready_versions=len(facts),
        size_bytes=sum(of_version.size_bytes or 0 for of_version in facts.values()),
        aliases=[Alias(name=name, version=number) for name, number in aliases.standing.items()],
        champion=aliases.standing.get(CHAMPION),
        alias_history=history(model, aliases, observed.managed_fields, now),
        served_by=[ServedBy(name=one.name, role=one.role, version=one.version) for one in observed.servers],
        serving=_column(observed.servers),
    )
    generation = model.metadata.generation
    ready = _ready(present.manifest, facts, observed.unreadable, generation, now)
    conditions = aliases.conditions(ready, generation=generation, now=now)
    return _every_key() | status.to_json() | {"conditions": conditions}


def _every_key() -> dict[str, Any]:
    return {field.alias or name: None for name, field in MLModelStatus.model_fields.items()}


def _highest(model: MLModel, observed: Observation) -> int | None:
    """Never falls while anything remembers: a number is not given twice, though its object be gone."""
    known = {version.number for version in observed.versions} | observed.referred_numbers
    return max([*known, model.status.highest_version or 0]) or None


def _ready(
    manifest: Manifest,
    facts: Mapping[int, VersionStatusReading],
    unreadable: Sequence[Unreadable],
    generation: int,
    now: datetime,
) -> list[Manifest]:
    message = f"Version {max(facts)} is the latest of {len(facts)}." if facts else "No version is Ready yet."
    message = " ".join([message, *(f"{one}." for one in unreadable)])
    return set_condition(
        carried_over(conditions_of(manifest)),
        type=READY,
        status="True" if facts else "False",
        reason=VERSION_READY if facts else NO_READY_VERSION,
        message=message,
        generation=generation,
        now=now,
    )


def _column(servers: Sequence[Server]) -> str | None:
    """``name:version`` of each deployment, with its canary's version in brackets."""
    words = [f"{server.name}:{server.version}" + (" (canary)" if server.role == CANARY else "") for server in servers]
    return ", ".join(words) or None
