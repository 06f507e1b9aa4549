"""Which failures are tried again, at whose expense, and after how long."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias

from aurora_controller.api.v1alpha1.mltrainingjob import Failure, Run, RunPhase
from aurora_controller.kube.clock import format_time
from aurora_controller.training.attempt import Broken, Cause, Reported
from aurora_runtime.contract import Outcome

FIRST_DELAY_SECONDS: Final = 10.0
LONGEST_DELAY_SECONDS: Final = 300.0
MAX_RESTARTS: Final = 3
"""So often an attempt is started again for a lost report; then the loss counts as its failure."""
MAX_OOM_KILLS: Final = 1
"""So often a run is tried again with the memory that was not enough."""


@dataclass(frozen=True, kw_only=True)
class SameAttempt:
    """Nobody's fault: the attempt is started again under its own number."""

    run: Run
    failure: Failure


@dataclass(frozen=True, kw_only=True)
class NextAttempt:
    """The infrastructure failed: another attempt may do better."""

    run: Run
    failure: Failure


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """A person acts next."""

    run: Run
    failure: Failure


Verdict: TypeAlias = SameAttempt | NextAttempt | GiveUp


def verdict_on(end: Reported | Broken, *, run: Run, backoff_limit: int, generation: int, now: datetime) -> Verdict:
    """What follows from an attempt that brought no version. ``generation`` is that of the attempt's spec."""
    failure = failure_of(end)
    run = run.model_copy(update={"generation": generation, "last_failure": failure})
    if _is_hopeless(end, run):
        return _give_up(run, failure, now)
    restarts = _restarts_after(end, run)
    if restarts is not None:
        return _same_attempt(run, failure, now, restarts=restarts)
    if run.failures >= backoff_limit:
        tried = f" All retries are used up (spec.backoffLimit is {backoff_limit})." if backoff_limit else ""
        return _give_up(run, Failure(reason=failure.reason, message=failure.message + tried), now)
    if isinstance(end, Broken) and end.cause is Cause.OUT_OF_MEMORY:
        run = run.model_copy(update={"oom_kills": run.oom_kills + 1})
    return _next_attempt(run, failure, now)


def _is_hopeless(end: Reported | Broken, run: Run) -> bool:
    """Whether the same spec would fail again."""
    if isinstance(end, Reported):
        return end.report.outcome is Outcome.INVALID_INPUT
    if end.cause is Cause.DEADLINE_EXCEEDED:
        return run.phase is RunPhase.RUNNING
    return end.cause is Cause.OUT_OF_MEMORY and run.oom_kills >= MAX_OOM_KILLS


def _restarts_after(end: Reported | Broken, run: Run) -> int | None:
    """How often the same attempt will have been restarted when it is started again; None when it is not."""
    if isinstance(end, Broken) and end.cause is Cause.DEADLINE_EXCEEDED:
        # Its time went by in waiting for an image or a node, which is no failure of the run.
        return run.restarts
    is_lost = isinstance(end, Broken) and end.cause is Cause.REPORT_LOST
    return run.restarts + 1 if is_lost and run.restarts < MAX_RESTARTS else None


def failure_of(end: Reported | Broken) -> Failure:
    if isinstance(end, Broken):
        return Failure(reason=end.cause.value, message=end.message)
    reason = "TrainingFailed" if end.report.outcome is Outcome.FAILED else end.report.outcome.value
    return Failure(reason=reason, message=end.report.message or "The trainer gave no message.")


def delay_seconds(failures_before: int) -> float:
    """10 s, 20 s, 40 s, … at most five minutes."""
    return min(FIRST_DELAY_SECONDS * 2.0**failures_before, LONGEST_DELAY_SECONDS)


def _give_up(run: Run, failure: Failure, now: datetime) -> GiveUp:
    ended = run.model_copy(
        update={
            "phase": RunPhase.FAILED,
            "last_failure": failure,
            "not_before": None,
            "finished_at": format_time(now),
        }
    )
    return GiveUp(run=ended, failure=failure)


def _same_attempt(run: Run, failure: Failure, now: datetime, *, restarts: int) -> SameAttempt:
    again = run.model_copy(
        update={
            "phase": RunPhase.PENDING,
            "restarts": restarts,
            "not_before": _moment(now, delay_seconds(run.restarts)),
        }
    )
    return SameAttempt(run=again, failure=failure)


def _next_attempt(run: Run, failure: Failure, now: datetime) -> NextAttempt:
    following = run.model_copy(
        update={
            "phase": RunPhase.PENDING,
            "attempt": run.attempt + 1,
            "failures": run.failures + 1,
            "restarts": 0,
            "not_before": _moment(now, delay_seconds(run.failures)),
        }
    )
    return NextAttempt(run=following, failure=failure)


def _moment(now: datetime, seconds: float) -> str:
    return format_time(now + timedelta(seconds=seconds))
