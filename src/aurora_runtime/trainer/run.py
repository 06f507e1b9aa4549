"""One task → one report: takes what is there, trains what is not, and says who acts next when it fails."""

import structlog

from aurora_runtime.contract import Outcome, TrainingReport, TrainingTask
from aurora_runtime.store import layout
from aurora_runtime.store.errors import (
    ArtifactRefused,
    ModelNotFound,
    StorageUnavailable,
    UnsafePath,
    VersionExists,
)
from aurora_runtime.store.model_store import ModelStore, PublishedVersion
from aurora_runtime.trainer.clock import Clock
from aurora_runtime.trainer.errors import InvalidInput
from aurora_runtime.trainer.progress import Progress
from aurora_runtime.trainer.reuse import find_reusable
from aurora_runtime.trainer.training import train

log = structlog.get_logger(__name__)


def run(task: TrainingTask, *, store: ModelStore, clock: Clock, cores: int, progress: Progress) -> TrainingReport:
    """Never raises: whatever happens is an outcome."""
    began = clock.monotonic()
    try:
        report = _run(task, store=store, clock=clock, cores=cores, progress=progress)
    except Exception as error:  # noqa: BLE001  the last line of defence: the report is how anybody hears of it
        report = failure(task.run_id, error)
    return report.model_copy(update={"duration_seconds": round(clock.monotonic() - began, 3)})


def _run(task: TrainingTask, *, store: ModelStore, clock: Clock, cores: int, progress: Progress) -> TrainingReport:
    _check_names(task, store)
    mine = _published_by_this_run(store, task)
    if mine is not None:
        log.info("version was published by this run before", model=task.model, version=task.version)
        return _success(task, mine, message="published by an earlier attempt of this run, verified again")
    if task.may_reuse and (found := find_reusable(store, task)) is not None:
        log.info("version reused", model=task.model, version=found.descriptor.version)
        message = f"version {found.descriptor.version} was trained by this job from the same inputs"
        return TrainingReport(
            outcome=Outcome.REUSED,
            run_id=task.run_id,
            message=message,
            facts=found.descriptor.facts(found.digest),
            highest_version=store.highest(task.model),
        )
    # Better now than after an hour of fitting.
    store.check_free(task.model, task.version)
    store.check_writable(model=task.model, run_id=task.run_id)
    published = train(task, store=store, clock=clock, cores=cores, progress=progress)
    return _success(task, published, message="")


def _check_names(task: TrainingTask, store: ModelStore) -> None:
    try:
        layout.version_folder(store.root, task.model, task.version)
        layout.staged_version_folder(store.root, task.model, task.run_id, "check")
    except UnsafePath as error:
        raise InvalidInput(str(error)) from error


def _published_by_this_run(store: ModelStore, task: TrainingTask) -> PublishedVersion | None:
    """The task's version, when an earlier attempt of this run published it and its bytes are still what they were."""
    try:
        published = store.open(task.model, task.version)
        if published.descriptor.run_id != task.run_id:
            return None
        store.verify(published)
    except ModelNotFound:
        return None
    except ArtifactRefused as error:
        log.warning("version is damaged", model=task.model, version=task.version, reason=str(error))
        return None
    # The attempt that published it may have died before the name was safe.
    store.sync(task.model)
    return published


def _success(task: TrainingTask, published: PublishedVersion, *, message: str) -> TrainingReport:
    return TrainingReport(
        outcome=Outcome.SUCCEEDED,
        run_id=task.run_id,
        message=message,
        facts=published.descriptor.facts(published.digest),
    )


def failure(run_id: str, error: Exception) -> TrainingReport:
    """What a run that ended with ``error`` reports."""
    outcome = _outcome_of(error)
    message = str(error) or type(error).__name__
    highest = error.highest if isinstance(error, VersionExists) else None
    if isinstance(error, MemoryError):
        message = f"out of memory ({error}); raise resources.limits.memory"
    if outcome is Outcome.FAILED:
        log.error("training failed", exc_info=error)
    else:
        log.error("training ended", outcome=outcome.value, reason=message)
    return TrainingReport(outcome=outcome, run_id=run_id, message=message, highest_version=highest)


def _outcome_of(error: Exception) -> Outcome:
    match error:
        case InvalidInput():
            return Outcome.INVALID_INPUT
        case VersionExists():
            return Outcome.VERSION_TAKEN
        case StorageUnavailable():
            return Outcome.STORAGE_UNAVAILABLE
        case _:
            return Outcome.FAILED
