"""What became of an attempt, told from its Job, its pods and the trainer's report.

The attempt is over when the container named ``trainer`` has terminated, whatever other containers of the pod do.
Jobs and pods come from two caches, and either may be ahead of the other: what one of them says of the end is
believed only when the other agrees or has had ``GRACE_SECONDS`` to do so. A readable report settles everything.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from pydantic import ValidationError

from aurora_controller.api.v1alpha1.mltrainingjob import Run
from aurora_controller.kube.clock import parse_time
from aurora_controller.kube.meta import Manifest, is_deleting
from aurora_controller.training.pods import (
    created_at,
    finished_at,
    has_passed_its_deadline,
    is_disrupted,
    is_finished,
    is_live,
    is_running,
    over_at,
    phase_of,
    trainer_end,
)
from aurora_controller.training.waiting import Wait, why_not_started
from aurora_runtime.contract import ExitCode, Outcome, TrainingReport, VersionFacts

GRACE_SECONDS: Final = 15.0
SLOW_STOP_SECONDS: Final = 60.0
"""Kubernetes gives a pod 30 s to stop. One that takes longer sits on a node that does not answer."""
_LOOK_AGAIN_SECONDS: Final = 5.0
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_WRITES_A_REPORT: Final = {
    ExitCode.OK,
    ExitCode.INVALID_INPUT,
    ExitCode.VERSION_TAKEN,
    ExitCode.STORAGE_UNAVAILABLE,
}
_MAX_QUOTE: Final = 300


class Cause(StrEnum):
    """Why an attempt ended without a report. The values are reasons of conditions."""

    OUT_OF_MEMORY = "OutOfMemory"
    CRASHED = "TrainerCrashed"
    POD_FAILED = "PodFailed"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    REPORT_LOST = "ReportLost"


@dataclass(frozen=True, kw_only=True)
class NotStarted:
    """The trainer has not run yet, and why."""

    wait: Wait


@dataclass(frozen=True, kw_only=True)
class Running:
    """The trainer runs."""


@dataclass(frozen=True, kw_only=True)
class Settling:
    """It is over, or being stopped, and the whole of it is not visible yet."""

    look_again_seconds: float
    held_up_by: str = ""
    """The pod that takes longer to stop than one should."""


@dataclass(frozen=True, kw_only=True)
class Reported:
    """The trainer has said how it ended."""

    report: TrainingReport


@dataclass(frozen=True, kw_only=True)
class Broken:
    """It ended and there is no report."""

    cause: Cause
    message: str


Attempt: TypeAlias = NotStarted | Running | Settling | Reported | Broken


def attempt_of(job: Manifest, pods: Sequence[Manifest], *, run: Run, claim: Manifest | None, now: datetime) -> Attempt:
    """``pods`` are those of ``job``."""
    reports = reports_of(pods, run)
    if reports:
        return Reported(report=reports[0])
    if is_deleting(job):
        return Settling(look_again_seconds=_LOOK_AGAIN_SECONDS)
    newest_first = sorted(pods, key=created_at, reverse=True)
    return _ending(job, newest_first, now) or _beginning(job, newest_first, claim, now)


def _ending(job: Manifest, newest_first: Sequence[Manifest], now: datetime) -> Settling | Broken | None:
    """The end without a report; None while it has not come."""
    live = [pod["metadata"]["name"] for pod in newest_first if is_live(pod)]
    if live and (is_finished(job) or has_passed_its_deadline(job)):
        over_since = over_at(job)
        is_slow = over_since is not None and (now - over_since).total_seconds() > SLOW_STOP_SECONDS
        return Settling(look_again_seconds=_LOOK_AGAIN_SECONDS, held_up_by=live[0] if is_slow else "")
    if has_passed_its_deadline(job):
        return Broken(cause=Cause.DEADLINE_EXCEEDED, message=_deadline_message(job))
    ended = [pod for pod in newest_first if not is_live(pod) and not is_disrupted(pod)]
    if ended:
        return _settled(_end_of(ended[0]), _end_time(ended[0]), now, is_certain=is_finished(job))
    if is_finished(job):
        gone = Broken(cause=Cause.REPORT_LOST, message="The pod is gone, and its report with it.")
        return _settled(gone, finished_at(job), now, is_certain=False)
    return None


def _beginning(
    job: Manifest, newest_first: Sequence[Manifest], claim: Manifest | None, now: datetime
) -> Running | NotStarted:
    pod = next((pod for pod in newest_first if is_live(pod)), None)
    if pod is not None and is_running(pod):
        return Running()
    return NotStarted(wait=why_not_started(job, newest_first, claim=claim, now=now))


def reports_of(pods: Iterable[Manifest], run: Run) -> list[TrainingReport]:
    """The reports that these pods left, as far as they can be read and are about ``run``."""
    messages = [(trainer_end(pod) or {}).get("message") or "" for pod in pods]
    return [report for report in (_read(message, run) for message in messages) if report is not None]


def _read(text: str, run: Run) -> TrainingReport | None:
    try:
        report = TrainingReport.model_validate_json(text)
    except ValidationError:
        return None
    if report.run_id != run.id:
        return None
    match report.outcome:
        case Outcome.SUCCEEDED:
            ours = report.facts is not None and (report.facts.run_id, report.facts.version) == (run.id, run.version)
            return report if ours and _are_recordable(report.facts) else None
        case Outcome.REUSED:
            return report if _are_recordable(report.facts) else None
        case _:
            return report


def _are_recordable(facts: VersionFacts | None) -> bool:
    """Whether the API server would take them: a report comes from a pod, which may run any image."""
    if facts is None or facts.version < 1 or not _DIGEST.fullmatch(facts.digest):
        return False
    try:
        parse_time(facts.created_at)
    except ValueError:
        return False
    return True


def _settled(end: Broken, ended_at: datetime | None, now: datetime, *, is_certain: bool) -> Settling | Broken:
    """``end``, once it is certain or old enough."""
    if is_certain or ended_at is None:
        return end
    left = GRACE_SECONDS - (now - ended_at).total_seconds()
    return end if left <= 0 else Settling(look_again_seconds=left)


def _end_time(pod: Manifest) -> datetime | None:
    text = (trainer_end(pod) or {}).get("finishedAt")
    return parse_time(text) if text else None


def _end_of(pod: Manifest) -> Broken:
    """How the trainer of a pod ended that left no report."""
    name, end = pod["metadata"]["name"], trainer_end(pod)
    if end is None:
        status = pod.get("status") or {}
        why = ": ".join(text for text in (status.get("reason"), status.get("message")) if text)
        return Broken(
            cause=Cause.POD_FAILED, message=f"Pod {name} ended in phase {phase_of(pod)}: {why or 'no reason given'}"
        )
    code = end.get("exitCode")
    if is_deleting(pod):
        return Broken(cause=Cause.REPORT_LOST, message=f"Pod {name} was deleted before its trainer could report.")
    if end.get("reason") == "OOMKilled":
        return Broken(
            cause=Cause.OUT_OF_MEMORY,
            message=f"The trainer in pod {name} used more memory than spec.resources.limits.memory allows.",
        )
    if code in _WRITES_A_REPORT:
        return Broken(
            cause=Cause.REPORT_LOST,
            message=f"The trainer in pod {name} exited with code {code} but no readable report.",
        )
    quote = (end.get("message") or "").strip()[-_MAX_QUOTE:]
    return Broken(
        cause=Cause.CRASHED,
        message=f"The trainer in pod {name} exited with code {code}" + (f": {quote}" if quote else "."),
    )


def _deadline_message(job: Manifest) -> str:
    seconds = job["spec"].get("activeDeadlineSeconds")
    return f"The attempt took longer than spec.timeoutSeconds ({seconds} s)."
