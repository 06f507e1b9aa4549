"""That value → the states of the versions and the status of the model. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aurora_controller.api.v1alpha1.mlmodel import Alias, AliasChange, MLModel, MLModelStatus
from aurora_controller.api.v1alpha1.mlmodelversion import VersionState
from aurora_controller.kube.clock import format_time
from aurora_controller.kube.conditions import conditions_of, set_condition
from aurora_controller.kube.meta import ConditionStatus, Manifest
from aurora_controller.registry.observation import Observation, RunOfJob

READY: Final = "Ready"
ALIASES_RESOLVED: Final = "AliasesResolved"
CHAMPION: Final = "champion"
_HISTORY: Final = 20


def state_of(version: Manifest, runs: Sequence[RunOfJob]) -> VersionState:
    """Ready once its facts are recorded. A mere reservation is abandoned when its run cannot end with it any more."""
    if (version.get("status") or {}).get("digest"):
        return VersionState.READY
    run_id, job_uid = version["spec"]["run"], version["spec"]["trainedBy"]["uid"]
    run = next((run for run in runs if run.job_uid == job_uid), None)
    if run is None:
        return VersionState.ABANDONED
    if run.id is None or run.id == run_id:
        return VersionState.RESERVED
    return VersionState.ABANDONED if run.number >= _number_in(run_id, job_uid) else VersionState.RESERVED


def _number_in(run_id: str, job_uid: str) -> int:
    """The run's number in ``<job uid>-<number>-<hash>``; 0 for an id of another form."""
    number = run_id.removeprefix(f"{job_uid}-").partition("-")[0]
    return int(number) if number.isdecimal() else 0


def version_status(version: Manifest, observed: Observation, now: datetime) -> dict[str, Any]:
    """The keys that the registry owns; the facts are the training reconciler's."""
    state = state_of(version, observed.runs)
    number, generation = version["spec"]["version"], version["metadata"].get("generation", 1)
    servers = sorted({served.name for served in observed.served_by if served.version == number})
    status, message = _READY_BY_STATE[state]
    conditions = set_condition(
        conditions_of(version),
        type=READY,
        status=status,
        reason=state.value,
        message=message,
        generation=generation,
        now=now,
    )
    return {
        "observedGeneration": generation,
        "state": state.value,
        "servedBy": servers or None,
        "conditions": conditions,
    }


_READY_BY_STATE: Final[Mapping[VersionState, tuple[ConditionStatus, str]]] = {
    VersionState.READY: ("True", "The version is published and may be served."),
    VersionState.RESERVED: ("Unknown", "The run that reserved this number is not done."),
    VersionState.ABANDONED: ("False", "The run that reserved this number ended without a version of it."),
}


def model_status(observed: Observation, manifest: Manifest, now: datetime) -> dict[str, Any]:
    """All keys of the model's status; None removes one."""
    model = MLModel.model_validate(manifest)
    ready = {v["spec"]["version"]: v for v in observed.versions if state_of(v, observed.runs) is VersionState.READY}
    numbers = [version["spec"]["version"] for version in observed.versions]
    latest: Mapping[str, Any] = ready[max(ready)]["status"] if ready else {}
    aliases = {name: number for name, number in sorted(model.spec.aliases.items()) if number in ready}
    status = MLModelStatus(
        observed_generation=model.metadata.generation,
        latest_version=max(ready) if ready else None,
        latest_digest=latest.get("digest"),
        latest_metrics=latest.get("metrics") or {},
        # Never falls: a number that was once reserved is not given again, though its object be gone.
        highest_version=max([*numbers, model.status.highest_version or 0]) or None,
        ready_versions=len(ready),
        size_bytes=sum(version["status"].get("sizeBytes", 0) for version in ready.values()),
        aliases=[Alias(name=name, version=number) for name, number in aliases.items()],
        champion=aliases.get(CHAMPION),
        alias_history=_history(model, aliases, manifest, now),
        served_by=list(observed.served_by),
        serving=_column(observed),
    )
    content: dict[str, Any] = {_key(name): None for name in MLModelStatus.model_fields}
    return content | status.to_json() | {"conditions": _conditions(model, manifest, ready, aliases, now)}


def _key(field: str) -> str:
    alias = MLModelStatus.model_fields[field].alias
    return alias or field


def _column(observed: Observation) -> str | None:
    return ", ".join(f"{one.name}:{one.version}({one.role})" for one in observed.served_by) or None


def _history(model: MLModel, aliases: Mapping[str, int], manifest: Manifest, now: datetime) -> list[AliasChange]:
    """The moves that were known, and those between the aliases told before and now."""
    before = {alias.name: alias.version for alias in model.status.aliases}
    moves = [
        AliasChange(
            name=name,
            from_version=before.get(name),
            to_version=aliases.get(name),
            at=format_time(now),
            by=_last_writer(manifest),
            reason="Pinned" if name in aliases else "Unpinned",
        )
        for name in sorted(before.keys() | aliases.keys())
        if before.get(name) != aliases.get(name)
    ]
    return [*model.status.alias_history, *moves][-_HISTORY:]


def _last_writer(manifest: Manifest) -> str:
    """The field manager that wrote last, where the object still says so."""
    writers = [entry for entry in manifest["metadata"].get("managedFields") or () if not entry.get("subresource")]
    latest = max(writers, key=lambda entry: entry.get("time", ""), default={})
    name: str = latest.get("manager", "spec.aliases")
    return name


def _conditions(
    model: MLModel, manifest: Manifest, ready: Mapping[int, Manifest], aliases: Mapping[str, int], now: datetime
) -> list[Manifest]:
    generation = model.metadata.generation
    message = f"Version {max(ready)} is the latest of {len(ready)}." if ready else "No version is Ready yet."
    conditions = set_condition(
        conditions_of(manifest),
        type=READY,
        status="True" if ready else "False",
        reason="VersionReady" if ready else "NoVersion",
        message=message,
        generation=generation,
        now=now,
    )
    broken = {name: number for name, number in model.spec.aliases.items() if name not in aliases}
    named = ", ".join(f"{name} → {number}" for name, number in sorted(broken.items()))
    return set_condition(
        conditions,
        type=ALIASES_RESOLVED,
        status="False" if broken else "True",
        reason="VersionNotReady" if broken else "Resolved",
        message=f"No Ready version for: {named}. Pin an existing version." if broken else "Every alias stands.",
        generation=generation,
        now=now,
    )
