"""What may be done with each version, and what its object says of it. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aurora_controller.api.v1alpha1.mlmodelversion import MLModelVersionSpec, VersionState
from aurora_controller.api.v1alpha1.mltrainingjob import RunPhase
from aurora_controller.api.v1alpha1.readings import RunReading
from aurora_controller.kube.conditions import carried_over, conditions_of, set_condition
from aurora_controller.kube.meta import ConditionStatus
from aurora_controller.registry.observation import CANARY, Server, VersionObservation

READY: Final = "Ready"
PUBLISHED: Final = "Published"
RUN_NOT_DONE: Final = "RunNotDone"
RUN_ENDED_WITHOUT_IT: Final = "RunEndedWithoutIt"


def state_of(observed: VersionObservation) -> VersionState:
    """Ready once its facts are recorded; a mere reservation is abandoned when no run can fulfil it any more."""
    if observed.content.status.digest is not None:
        return VersionState.READY
    holder = observed.holder
    may_come = holder is not None and _may_fulfil(holder.run, observed.content.spec)
    return VersionState.RESERVED if may_come else VersionState.ABANDONED


def _may_fulfil(run: RunReading | None, version: MLModelVersionSpec) -> bool:
    """Whether the reservation may still come true. A failed run counts: it can be tried again, with the same number."""
    if run is None:
        return True
    if run.id != version.run:
        # The number is reserved before the status tells of the run, so a younger run's reservation is alive.
        return run.number < _run_number(version)
    if run.version is None or run.version == version.version:
        return True
    # The same run holds another number: the store refused this one, or a version of these inputs was found there.
    return run.phase != RunPhase.SUCCEEDED and run.version < version.version


def _run_number(version: MLModelVersionSpec) -> int:
    """From the run's id, ``<job uid>-<number>-<hash>``; 0 when it has another form."""
    number = version.run.removeprefix(f"{version.trained_by.uid}-").partition("-")[0]
    return int(number) if number.isdecimal() else 0


def version_status(observed: VersionObservation, now: datetime) -> dict[str, Any]:
    """The keys that the registry owns; the facts are the training reconciler's."""
    state = state_of(observed)
    generation = observed.content.metadata.generation
    status, reason, message = _READY_BY_STATE[state]
    conditions = set_condition(
        carried_over(conditions_of(observed.manifest)),
        type=READY,
        status=status,
        reason=reason,
        message=message,
        generation=generation,
        now=now,
    )
    return {
        "observedGeneration": generation,
        "state": state.value,
        "servedBy": sorted({server.name for server in observed.servers}) or None,
        "serving": _column(observed.servers),
        "conditions": conditions,
    }


def _column(servers: Sequence[Server]) -> str | None:
    words = [f"{server.name} (canary)" if server.role == CANARY else server.name for server in servers]
    return ", ".join(words) or None


_READY_BY_STATE: Final[Mapping[VersionState, tuple[ConditionStatus, str, str]]] = {
    VersionState.READY: ("True", PUBLISHED, "The version is published and may be served."),
    VersionState.RESERVED: ("Unknown", RUN_NOT_DONE, "The run that reserved this number is not done."),
    VersionState.ABANDONED: (
        "False",
        RUN_ENDED_WITHOUT_IT,
        "The run that reserved this number ended without it. The number stays taken; the object may be deleted.",
    ),
}
