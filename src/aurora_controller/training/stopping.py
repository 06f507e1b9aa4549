"""Stopping what runs: Jobs are deleted, and gone means that no pod of them trains any more."""

from collections.abc import Callable
from typing import Final

from aurora_controller.kube.meta import JOB, Manifest, is_deleting
from aurora_controller.kube.reconcile import Delete
from aurora_controller.training.observation import Observation
from aurora_controller.training.pods import is_disrupted, is_finished, is_live, pods_of, trainer_end

LOOK_AGAIN_SECONDS: Final = 5.0


def stop(observed: Observation, concerns: Callable[[Manifest], bool]) -> tuple[Delete, ...] | None:
    """Deletes of the Jobs that may still train; empty while their pods are going; None when all of it is gone."""
    active = [job for job in observed.jobs if concerns(job) and _may_train(job, observed)]
    live = [pod for pod in observed.pods if concerns(pod) and is_live(pod)]
    if not active and not live:
        return None
    return tuple(Delete(existing=job, kind=JOB) for job in active if not is_deleting(job))


def everything(_: Manifest) -> bool:
    return True


def _may_train(job: Manifest, observed: Observation) -> bool:
    """False for a finished Job, and for one that only other containers of its pod keep alive."""
    has_trained = any(trainer_end(pod) is not None and not is_disrupted(pod) for pod in pods_of(job, observed.pods))
    return not is_finished(job) and not has_trained
