"""Why a trainer has not started: what a person would otherwise dig out of ``kubectl describe``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from aurora_controller.api.v1alpha1.reasons import CLAIM_NOT_FOUND, CLAIM_UNBOUND, IMAGE_PULL_FAILED
from aurora_controller.kube.clock import parse_time
from aurora_controller.kube.conditions import conditions_of, find_condition
from aurora_controller.kube.meta import Manifest, is_deleting, key_of
from aurora_controller.kube.pods import IMAGE_REASONS, ORDINARY_REASONS
from aurora_controller.kube.store import text_at
from aurora_controller.training.pods import condition, created_at, is_disrupted, is_live, trainer_status

PENDING: Final = "Pending"

NO_POD_SECONDS: Final = 10.0
"""A Job without a pod for this long is refused one."""


@dataclass(frozen=True, kw_only=True)
class Wait:
    """What is waited for. Nothing of it costs an attempt, and all of it passes without help once it is mended."""

    reason: str
    message: str
    is_trouble: bool = False
    """Whether people should hear of it."""
    look_again_seconds: float | None = None
    """When the answer may change without any event."""


def missing_claim(name: str, namespace: str, claim: Manifest | None) -> Wait | None:
    """What is wrong with the claim before anything was started, if it cannot be used at all."""
    if claim is None:
        return Wait(
            reason=CLAIM_NOT_FOUND,
            message=f"PersistentVolumeClaim {name!r} does not exist in namespace {namespace!r}. "
            "Create it (ReadWriteMany), or name another in spec.storage.claimName.",
            is_trouble=True,
        )
    if is_deleting(claim):
        return Wait(
            reason=CLAIM_NOT_FOUND,
            message=f"PersistentVolumeClaim {name!r} in namespace {namespace!r} is being deleted.",
            is_trouble=True,
        )
    return None


def why_not_started(job: Manifest, newest_first: Sequence[Manifest], *, claim: Manifest | None, now: datetime) -> Wait:
    """For a Job whose trainer does not run and has not run."""
    pod = next((pod for pod in newest_first if is_live(pod)), None)
    if pod is not None:
        return _pod_wait(pod, claim)
    name = key_of(job).name
    if any(is_disrupted(pod) for pod in newest_first):
        return Wait(
            reason="Disrupted", message=f"The pod was stopped for the cluster's sake; Job {name} starts another."
        )
    if job["spec"].get("suspend"):
        return Wait(reason="JobSuspended", message=f"Job {name} is suspended by something outside of Aurora.")
    created = created_at(job)
    left = NO_POD_SECONDS - (now - parse_time(created)).total_seconds() if created else NO_POD_SECONDS
    if left > 0:
        return Wait(reason=PENDING, message=f"Job {name} is about to create its pod.", look_again_seconds=left)
    return Wait(
        reason="PodNotCreated",
        message=f"Job {name} has no pod: a quota, a limit range or an admission policy may refuse it. "
        f"`kubectl describe job {name}` tells.",
        is_trouble=True,
    )


def _pod_wait(pod: Manifest, claim: Manifest | None) -> Wait:
    name = key_of(pod).name
    scheduled = find_condition(conditions_of(pod), "PodScheduled") or {}
    if scheduled.get("status") == "False":
        return _unscheduled(name, str(scheduled.get("reason")), str(scheduled.get("message") or ""), claim)
    stuck = _stuck_container(pod)
    if stuck is not None:
        waiting = stuck["state"]["waiting"]
        text = f"{waiting['reason']}: {waiting.get('message') or 'no message'}"
        if waiting["reason"] in IMAGE_REASONS:
            return Wait(reason=IMAGE_PULL_FAILED, message=f"Image {stuck.get('image')!r}: {text}", is_trouble=True)
        return Wait(reason="ContainerNotStarted", message=f"Pod {name}: {text}", is_trouble=True)
    if condition(pod, "PodScheduled"):
        return Wait(reason=PENDING, message=f"Pod {name} is scheduled; its image and volumes are being prepared.")
    return Wait(reason=PENDING, message=f"Pod {name} waits to be scheduled.")


def _unscheduled(pod_name: str, reason: str, message: str, claim: Manifest | None) -> Wait:
    if reason == "SchedulingGated":
        return Wait(reason=reason, message=f"Pod {pod_name} has scheduling gates that are not Aurora's: {message}")
    phase = text_at(claim or {}, "status.phase") or "Pending"
    if claim is not None and phase != "Bound":
        key = key_of(claim)
        where = f"PersistentVolumeClaim {key.name!r} in namespace {key.namespace!r}"
        return Wait(
            reason=CLAIM_UNBOUND,
            message=f"{where} is {phase}, not Bound: {message}",
            is_trouble=True,
        )
    return Wait(reason="Unschedulable", message=f"Pod {pod_name}: {message}", is_trouble=True)


def _stuck_container(pod: Manifest) -> Mapping[str, Any] | None:
    """ContainerStatus of the trainer, or else of the first container, that waits for more than its turn."""
    status = pod.get("status") or {}
    others = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    for container in (trainer_status(pod), *others):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason", "") not in ORDINARY_REASONS:
            found: Mapping[str, Any] = container
            return found
    return None
