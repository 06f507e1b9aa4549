"""From a published version to its recorded facts: the last steps of a run, and the only step of an adopted one."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION
from aurora_controller.api.v1alpha1.mltrainingjob import Failure, Run, RunPhase
from aurora_controller.api.v1alpha1.readings import Version
from aurora_controller.kube.clock import format_time
from aurora_controller.kube.meta import Manifest, key_of
from aurora_controller.kube.reconcile import Confirm, Create, Delete, PatchStatus
from aurora_controller.training.attempt import reports_of
from aurora_controller.training.decision import (
    DONE,
    REUSED,
    SUCCEEDED,
    VERSION_CONFLICT,
    Decision,
    Result,
    Standing,
    changed,
)
from aurora_controller.training.desired import claim_of, next_run_id, recorded_facts, reservation
from aurora_controller.training.inputs import fingerprint, recorded_inputs, snapshot_of
from aurora_controller.training.observation import Observation, fingerprint_in
from aurora_controller.training.pods import is_of_run
from aurora_controller.training.reserving import wait_for_repair
from aurora_runtime.contract import Outcome, VersionFacts

_LOOK_AGAIN_SECONDS: Final = 1.0


def adopt(observed: Observation, now: datetime) -> Decision | None:
    """The answer of a job without history whose version is already recorded: nothing is trained."""
    if observed.run is not None:
        return None
    wanted = fingerprint(observed.inputs)
    fitting = [
        version
        for version in observed.versions.values()
        if version.spec.trained_by.name == observed.job.metadata.name
        and fingerprint_in(version) == wanted
        and version.spec.claim_name == observed.job.spec.storage.claim_name
        and version.status.digest is not None
        and not version.is_deleting
    ]
    if not fitting:
        return None
    run = Run(
        id=next_run_id(observed),
        number=1,
        inputs=snapshot_of(observed.inputs),
        generation=observed.job.metadata.generation,
    )
    adopted = max(fitting, key=lambda version: version.number)
    # A job made again right after all its versions were deleted may still see them, and would never look again.
    confirm = Confirm(existing=adopted.manifest, kind=ML_MODEL_VERSION)
    return replace(_succeeded(run, adopted, now), writes=(confirm,))


def register(observed: Observation, now: datetime) -> Decision | None:
    """What to do once the version of the run in flight is in the store; None when it is not known to be."""
    run = observed.run
    if run is None or run.phase in DONE:
        return None
    own = observed.versions.get(run.version or 0)
    if own is not None and own.spec.run == run.id and own.status.digest is not None and not own.is_deleting:
        return _succeeded(run, own, now)
    # Of all attempts: an earlier one may have left a report as well, such as that its number was taken.
    for report in reports_of((pod for pod in observed.pods if is_of_run(pod, run.id)), run):
        if report.facts is not None and report.outcome in {Outcome.SUCCEEDED, Outcome.REUSED}:
            return _record(observed, run, report.facts, now)
    return None


def _record(observed: Observation, run: Run, facts: VersionFacts, now: datetime) -> Decision:
    version = observed.versions.get(facts.version)
    if version is None:
        unreadable = observed.unreadable_version(facts.version)
        lost = Create(manifest=_lost_version(observed, run, facts))
        return _step(run, lost) if unreadable is None else wait_for_repair(observed, unreadable)
    if version.is_deleting:
        return Decision(run=run, standing=None, requeue_after_seconds=_LOOK_AGAIN_SECONDS)
    if version.spec.run != facts.run_id and version.status.digest is None:
        # Somebody reserved the number after its object was lost. The store holds our version, so theirs can never
        # be published there: their trainer is told and takes another number.
        return _step(run, Delete(existing=version.manifest, kind=ML_MODEL_VERSION))
    if version.spec.run != facts.run_id or version.status.digest not in {None, facts.digest}:
        return _conflict(run, version, facts, now)
    if version.status.digest is None:
        status = recorded_facts(facts)
        return _step(run, PatchStatus(existing=version.manifest, kind=ML_MODEL_VERSION, status=status))
    return _succeeded(run, version, now)


def _step(run: Run, write: Create | Delete | PatchStatus) -> Decision:
    # The object may carry another job's label, so its event may not come back to this one.
    return Decision(run=run, standing=None, writes=(write,), requeue_after_seconds=_LOOK_AGAIN_SECONDS)


def _lost_version(observed: Observation, run: Run, facts: VersionFacts) -> Manifest:
    """The object of a published version that nobody has an object for."""
    job = observed.job
    claims = [claim_of(item) for item in observed.jobs if is_of_run(item, run.id)]
    return reservation(
        job,
        number=facts.version,
        run=facts.run_id,
        # The run's own: the spec may ask for others by now.
        inputs=recorded_inputs(run) or observed.inputs,
        claim_name=claims[-1] if claims else job.spec.storage.claim_name,
    )


def _succeeded(run: Run, version: Version, now: datetime) -> Decision:
    is_reused = version.spec.run != run.id
    result = Result(
        version=version.number,
        digest=version.status.digest or "",
        metrics=version.status.metrics,
        primary_metric=version.status.primary_metric or "",
        is_reused=is_reused,
    )
    return Decision(
        run=changed(
            run,
            version=version.number,
            phase=RunPhase.SUCCEEDED,
            not_before=None,
            finished_at=format_time(now),
        ),
        standing=success(version.number, result.primary_metric, is_reused=is_reused),
        result=result,
    )


def success(version: int | None, primary_metric: str | None, *, is_reused: bool) -> Standing:
    score = f" ({primary_metric})" if primary_metric else ""
    if is_reused:
        message = f"Version {version}{score} already carries this job's name and inputs; nothing was trained."
    else:
        message = f"Version {version}{score} is published and recorded."
    return Standing(phase=RunPhase.SUCCEEDED, reason=REUSED if is_reused else SUCCEEDED, message=message)


def _conflict(run: Run, version: Version, facts: VersionFacts, now: datetime) -> Decision:
    name = key_of(version.manifest).name
    message = (
        f"The store holds version {facts.version} of run {facts.run_id} ({facts.digest}), but {name} records "
        f"run {version.spec.run} ({version.status.digest}) on claim {version.spec.claim_name!r}. "
        "They cannot both be that version: delete the wrong one, then change the spec to try again."
    )
    failure = Failure(reason=VERSION_CONFLICT, message=message)
    failed = changed(run, phase=RunPhase.FAILED, last_failure=failure, finished_at=format_time(now))
    return Decision(run=failed, standing=Standing.failed(failed))
