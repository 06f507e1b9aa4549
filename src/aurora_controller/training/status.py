"""What people and programs are told: the status of the job, its conditions and its events."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from aurora_controller.api.v1alpha1.mltrainingjob import Progress, RunPhase
from aurora_controller.api.v1alpha1.reasons import IMAGE_PULL_FAILED
from aurora_controller.kube.clock import format_time, parse_time
from aurora_controller.kube.conditions import (
    RECONCILING,
    STALLED,
    carried_over,
    conditions_of,
    find_condition,
    set_condition,
)
from aurora_controller.kube.meta import ConditionStatus, Manifest
from aurora_controller.kube.reconcile import EventNote
from aurora_controller.training.decision import Decision, Standing
from aurora_controller.training.observation import Observation
from aurora_controller.training.progress import INTERVAL_SECONDS

SUCCEEDED_CONDITION: Final = "Succeeded"
_PROGRESS_STEP_PERCENT: Final = 5
_SUCCEEDED: Final[Mapping[RunPhase, ConditionStatus]] = {RunPhase.SUCCEEDED: "True", RunPhase.FAILED: "False"}
_NOTHING_CAME_OUT: Final = dict.fromkeys(("version", "digest", "metrics", "primaryMetric", "reused"))
_NO_PROGRESS: Final = dict.fromkeys(("progress", "progressPercent"))


def next_status(observed: Observation, decision: Decision, standing: Standing, now: datetime) -> dict[str, Any]:
    """The keys of the status that this reconciler owns; None removes one, a missing one stays."""
    run = decision.run
    return {
        "observedGeneration": observed.job.metadata.generation,
        "conditions": _conditions(observed, standing, now),
        "phase": standing.phase.value,
        "run": run.to_json() if run is not None else None,
        **_progress(observed, decision, standing, now),
        **_result(observed, decision),
    }


def events_of(observed: Observation, decision: Decision, standing: Standing) -> list[EventNote]:
    """The decision's own, and one when trouble or an end is news."""
    before = find_condition(conditions_of(observed.manifest), SUCCEEDED_CONDITION)
    is_news = before is None or before.get("reason") != standing.reason
    is_end = standing.phase in {RunPhase.SUCCEEDED, RunPhase.FAILED, RunPhase.SUSPENDED}
    if not is_news or not (is_end or standing.is_trouble):
        return list(decision.events)
    is_bad = standing.is_trouble or standing.phase is RunPhase.FAILED
    note = EventNote(type="Warning" if is_bad else "Normal", reason=standing.reason, message=standing.message)
    return [*decision.events, note]


def _conditions(observed: Observation, standing: Standing, now: datetime) -> list[Manifest]:
    existing = conditions_of(observed.manifest)
    told = _told(find_condition(existing, SUCCEEDED_CONDITION), standing)
    is_settled = standing.phase not in {RunPhase.PENDING, RunPhase.RUNNING}
    kstatus = STALLED if standing.phase is RunPhase.FAILED else None if is_settled else RECONCILING
    generation = observed.job.metadata.generation
    conditions = set_condition(
        carried_over(existing),
        type=SUCCEEDED_CONDITION,
        status=_SUCCEEDED.get(standing.phase, "Unknown"),
        reason=standing.reason,
        message=told,
        generation=generation,
        now=now,
    )
    if kstatus is None:
        return conditions
    abnormal = set_condition(
        [item for item in existing if item["type"] == kstatus],
        type=kstatus,
        status="True",
        reason=standing.reason,
        message=told,
        generation=generation,
        now=now,
    )
    return [*conditions, *abnormal]


def _told(before: Mapping[str, Any] | None, standing: Standing) -> str:
    # The kubelet changes to and fro between the error and "back-off"; the first of them says all there is to say.
    if standing.reason == IMAGE_PULL_FAILED and before is not None and before.get("reason") == IMAGE_PULL_FAILED:
        image = standing.message.split(": ", 1)[0]
        if str(before.get("message")).startswith(image):
            return str(before["message"])
    return standing.message


def _progress(observed: Observation, decision: Decision, standing: Standing, now: datetime) -> dict[str, Any]:
    before, run = observed.run, decision.run
    if standing.phase is RunPhase.SUCCEEDED:
        return {"progress": None, "progressPercent": "100%"}
    if (
        run is None
        or before is None
        or (run.id, run.attempt, run.restarts)
        != (
            before.id,
            before.attempt,
            before.restarts,
        )
    ):
        return dict(_NO_PROGRESS)
    told, shown = observed.progress, observed.job.status.progress
    if standing.phase is not RunPhase.RUNNING or told is None or not _is_worth_showing(shown, told.percent, now):
        return {}
    if shown is not None and (shown.phase, shown.percent) == (told.phase.value, told.percent):
        return {}
    progress = Progress(phase=told.phase.value, percent=told.percent, observed_at=format_time(now))
    return {"progress": progress.to_json(), "progressPercent": f"{told.percent}%"}


def _is_worth_showing(shown: Progress | None, percent: int, now: datetime) -> bool:
    """Every status write wakes every watcher, so small steps have to wait."""
    if shown is None or abs(percent - shown.percent) >= _PROGRESS_STEP_PERCENT:
        return True
    seconds = (now - parse_time(shown.observed_at)).total_seconds()
    # A stamp of a clock that was ahead of ours says nothing.
    return not 0 <= seconds < INTERVAL_SECONDS


def _result(observed: Observation, decision: Decision) -> dict[str, Any]:
    result, before = decision.result, observed.run
    if result is not None:
        return {
            "version": result.version,
            "digest": result.digest,
            "metrics": dict(result.metrics),
            "primaryMetric": result.primary_metric,
            "reused": result.is_reused,
        }
    is_new_run = decision.run is not None and before is not None and decision.run.id != before.id
    return dict(_NOTHING_CAME_OUT) if is_new_run else {}
