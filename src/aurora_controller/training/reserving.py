"""A number for a run. An atomic create takes it, so two runs never hold the same; gaps are normal."""

from typing import Final

from aurora_controller.api import labels
from aurora_controller.api.reading import Unreadable
from aurora_controller.api.v1alpha1.mlmodelversion import version_name
from aurora_controller.api.v1alpha1.mltrainingjob import Run, RunPhase
from aurora_controller.api.v1alpha1.readings import Version
from aurora_controller.api.v1alpha1.reasons import VERSION_UNREADABLE
from aurora_controller.kube.meta import labels_of
from aurora_controller.kube.reconcile import Create, EventNote
from aurora_controller.training.decision import Decision, Standing, changed
from aurora_controller.training.desired import reservation
from aurora_controller.training.observation import Observation
from aurora_controller.training.pods import is_of_run
from aurora_controller.training.stopping import LOOK_AGAIN_SECONDS
from aurora_controller.training.waiting import PENDING, Wait, missing_claim

_REPAIR_SECONDS: Final = 60.0
"""The version may bear another job's label, so its event may not come to this one."""


def reserve(observed: Observation, run: Run, *, above: int) -> Decision:
    """A number greater than ``above``: the one that ``run`` already holds, or else the next that is free."""
    blocked = blocked_by_claim(observed)
    if blocked is not None:
        return blocked
    held = [
        version.number
        for version in observed.versions.values()
        if _is_usable(version, observed, run) and version.number > above and not version.is_deleting
    ]
    if not held:
        return _take(observed, run, max(observed.highest_number, above) + 1, _claim_name(observed))
    number = max(held)
    message = f"Version {number} is reserved for run {run.number}."
    name = version_name(observed.job.spec.model_name, number)
    return Decision(
        run=changed(run, version=number, phase=RunPhase.PENDING, attempt=_last_attempt(observed, run, number)),
        standing=Standing(phase=RunPhase.PENDING, reason=PENDING, message=message),
        events=(EventNote(type="Normal", reason="ReservedVersion", message=f"{message} It is {name}."),),
    )


def secure(observed: Observation, run: Run) -> Decision | None:
    """What to do before an attempt may start; None when the run holds its number where the attempt will publish."""
    if run.version is None:
        return reserve(observed, run, above=0)
    version = observed.versions.get(run.version)
    if version is None:
        return take_again(observed, run, run.version, _claim_name(observed))
    if version.is_deleting:
        return Decision(run=run, standing=None, requeue_after_seconds=LOOK_AGAIN_SECONDS)
    return None if _is_usable(version, observed, run) else reserve(observed, run, above=run.version)


def take_again(observed: Observation, run: Run, number: int, claim_name: str) -> Decision:
    """The object of the run's number was deleted by somebody: without it the number looks free."""
    return _take(observed, run, number, claim_name)


def wait_for_repair(observed: Observation, unreadable: Unreadable) -> Decision:
    """The version of this very run cannot be read, and its name is taken: nothing goes on without it."""
    wait = Wait(
        reason=VERSION_UNREADABLE,
        message=f"{unreadable}. Correct it, or delete it: it is made again.",
        is_trouble=True,
        look_again_seconds=_REPAIR_SECONDS,
    )
    return Decision(run=observed.run, standing=Standing.waiting(wait), requeue_after_seconds=wait.look_again_seconds)


def blocked_by_claim(observed: Observation) -> Decision | None:
    """A run waits for its claim before it takes a number: the claim's name cannot be changed in a version."""
    wait = missing_claim(_claim_name(observed), observed.job.metadata.namespace, observed.claim)
    return Decision(run=observed.run, standing=Standing.waiting(wait)) if wait is not None else None


def _take(observed: Observation, run: Run, number: int, claim_name: str) -> Decision:
    unreadable = observed.unreadable_version(number)
    if unreadable is not None:
        return wait_for_repair(observed, unreadable)
    manifest = reservation(observed.job, number=number, run=run.id, inputs=observed.inputs, claim_name=claim_name)
    return Decision(run=observed.run, standing=None, writes=(Create(manifest=manifest),))


def _is_usable(version: Version, observed: Observation, run: Run) -> bool:
    return version.spec.run == run.id and version.spec.claim_name == _claim_name(observed)


def _claim_name(observed: Observation) -> str:
    return observed.job.spec.storage.claim_name


def _last_attempt(observed: Observation, run: Run, number: int) -> int:
    """The run's attempt, unless Jobs of it are further: a status that was lost must not begin them again."""
    started = [
        labels_of(job).get(labels.ATTEMPT, "")
        for job in observed.jobs
        if is_of_run(job, run.id) and labels_of(job).get(labels.VERSION) == str(number)
    ]
    return max([run.attempt, *(int(text) for text in started if text.isdecimal())])
