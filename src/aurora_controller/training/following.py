"""One attempt of a run: its Job is started, followed, and judged when it ends."""

from datetime import datetime, timedelta
from typing import assert_never

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.mltrainingjob import Run, RunPhase
from aurora_controller.kube.clock import format_time, parse_time
from aurora_controller.kube.meta import JOB, Manifest, is_deleting, key_of, labels_of
from aurora_controller.kube.reconcile import Create, Delete, EventNote
from aurora_controller.training.attempt import Broken, NotStarted, Reported, Running, Settling, attempt_of, reports_of
from aurora_controller.training.decision import BACKING_OFF, RUNNING, STOPPING, Decision, Standing, changed
from aurora_controller.training.desired import claim_of, generation_of, is_outdated, trainer_job, trainer_job_name
from aurora_controller.training.observation import Observation
from aurora_controller.training.pods import is_live, is_of_run, pods_of
from aurora_controller.training.progress import FIRST_RETRY_SECONDS, INTERVAL_SECONDS
from aurora_controller.training.reserving import blocked_by_claim, reserve, secure, take_again
from aurora_controller.training.retry import LONGEST_DELAY_SECONDS, GiveUp, NextAttempt, SameAttempt, verdict_on
from aurora_controller.training.stopping import LOOK_AGAIN_SECONDS, everything, stop
from aurora_runtime.contract import Outcome


def follow(observed: Observation, run: Run, now: datetime) -> Decision:
    """The next step of the run's current attempt."""
    name = trainer_job_name(observed.job, run)
    job = next((job for job in observed.jobs if key_of(job).name == name), None)
    if job is None:
        return (
            _heed_report(observed, run, now)
            or blocked_by_claim(observed)
            or secure(observed, run)
            or _make_room(observed, run)
            or _back_off(run, now)
            or _start(observed, run)
        )
    if run.version is not None and run.version not in observed.versions:
        return take_again(observed, run, run.version, claim_of(job))
    attempt = attempt_of(job, pods_of(job, observed.pods), run=run, claim=observed.claim, now=now)
    match attempt:
        case Settling():
            standing = _stopping(attempt.held_up_by) if attempt.held_up_by else None
            return Decision(run=run, standing=standing, requeue_after_seconds=attempt.look_again_seconds)
        case NotStarted():
            return _wait_for_start(observed, run, job, attempt)
        case Running():
            return _running(observed, run, name)
        case Reported() | Broken():
            return _ended(observed, run, attempt, job, now)
        case _:
            assert_never(attempt)


# Before there is a Job


def _heed_report(observed: Observation, run: Run, now: datetime) -> Decision | None:
    """Somebody may have removed the Job after its trainer had said all there is to say."""
    reports = reports_of((pod for pod in observed.pods if _is_of_attempt(pod, run)), run)
    return _ended(observed, run, Reported(report=reports[0]), None, now) if reports else None


def _make_room(observed: Observation, run: Run) -> Decision | None:
    """Two trainers of one job never run beside each other."""
    stopping = stop(observed, everything)
    if stopping is None:
        return None
    live = [key_of(pod).name for pod in observed.pods if is_live(pod)]
    standing = _stopping(", ".join(live)) if live else None
    return Decision(run=run, standing=standing, writes=stopping, requeue_after_seconds=LOOK_AGAIN_SECONDS)


def _stopping(pods: str) -> Standing:
    message = f"Waits until pod {pods} has stopped: two trainers of one job never run beside each other."
    return Standing(phase=RunPhase.PENDING, reason=STOPPING, message=message)


def _back_off(run: Run, now: datetime) -> Decision | None:
    if run.not_before is None:
        return None
    # Later than after any delay, it is a moment of a clock that was ahead of ours.
    moment = min(parse_time(run.not_before), now + timedelta(seconds=LONGEST_DELAY_SECONDS))
    left, waiting = (moment - now).total_seconds(), changed(run, not_before=format_time(moment))
    return Decision(run=waiting, standing=_backing_off(waiting), requeue_after_seconds=left) if left > 0 else None


def _start(observed: Observation, run: Run) -> Decision:
    manifest = trainer_job(observed, run)
    message = f"Attempt {run.attempt} at version {run.version} starts as Job {key_of(manifest).name}."
    return Decision(
        run=run,
        standing=None,
        writes=(Create(manifest=manifest),),
        events=(EventNote(type="Normal", reason="JobCreated", message=message),),
    )


# While there is one


def _wait_for_start(observed: Observation, run: Run, job: Manifest, attempt: NotStarted) -> Decision:
    if is_outdated(job, observed) and not is_deleting(job):
        # Nothing is lost with it, and the new spec may be what lets it start.
        return Decision(run=run, standing=None, writes=(Delete(existing=job, kind=JOB),))
    blocked = blocked_by_claim(observed)
    return blocked or Decision(
        run=run,
        standing=Standing.waiting(attempt.wait),
        requeue_after_seconds=attempt.wait.look_again_seconds,
    )


def _running(observed: Observation, run: Run, job_name: str) -> Decision:
    message = f"Attempt {run.attempt} trains version {run.version} in Job {job_name}."
    return Decision(
        run=changed(run, phase=RunPhase.RUNNING, not_before=None),
        standing=Standing(phase=RunPhase.RUNNING, reason=RUNNING, message=message),
        requeue_after_seconds=INTERVAL_SECONDS if observed.progress is not None else FIRST_RETRY_SECONDS,
    )


def _ended(observed: Observation, run: Run, end: Reported | Broken, job: Manifest | None, now: datetime) -> Decision:
    if isinstance(end, Reported) and end.report.outcome is Outcome.VERSION_TAKEN:
        # The store has the last word, and asking it costs no attempt.
        return reserve(observed, run, above=max(run.version or 0, end.report.highest_version or 0))
    generation = (generation_of(job) if job is not None else None) or observed.job.metadata.generation
    verdict = verdict_on(end, run=run, backoff_limit=observed.job.spec.backoff_limit, generation=generation, now=now)
    failure = verdict.failure
    match verdict:
        case GiveUp():
            return Decision(run=verdict.run, standing=Standing.failed(verdict.run))
        case NextAttempt():
            message = f"Attempt {run.attempt} failed: {failure.message}"
            writes: tuple[Delete, ...] = ()
        case SameAttempt():
            message = f"Attempt {run.attempt} is started again: {failure.message}"
            writes = (Delete(existing=job, kind=JOB),) if job is not None else ()
        case _:
            assert_never(verdict)
    return Decision(
        run=verdict.run,
        standing=_backing_off(verdict.run),
        writes=writes,
        events=(EventNote(type="Warning", reason=failure.reason, message=message),),
    )


def _backing_off(run: Run) -> Standing:
    last = f" The last one: {run.last_failure.reason}: {run.last_failure.message}" if run.last_failure else ""
    message = f"Attempt {run.attempt} starts at {run.not_before}.{last}"
    return Standing(phase=RunPhase.PENDING, reason=BACKING_OFF, message=message)


def _is_of_attempt(pod: Manifest, run: Run) -> bool:
    own = labels_of(pod)
    numbers = (own.get(labels.VERSION), own.get(labels.ATTEMPT))
    return is_of_run(pod, run.id) and numbers == (str(run.version), str(run.attempt))
