"""What Jobs and pods say of themselves, in the words of this package. Pure readings, no decisions."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from aurora_controller.api import labels
from aurora_controller.kube.clock import parse_time
from aurora_controller.kube.conditions import conditions_of, find_condition
from aurora_controller.kube.meta import Manifest, labels_of, uid_of
from aurora_controller.kube.pods import container_status
from aurora_runtime.contract import TRAINER_CONTAINER

DEADLINE_EXCEEDED = "DeadlineExceeded"


def condition(obj: Manifest, type_: str) -> Mapping[str, Any] | None:
    """The condition of this type when it is True."""
    found = find_condition(conditions_of(obj), type_)
    return found if found is not None and found["status"] == "True" else None


def is_finished(job: Manifest) -> bool:
    return condition(job, "Complete") is not None or condition(job, "Failed") is not None


def finished_at(job: Manifest) -> datetime | None:
    """When the Job controller saw its end."""
    end = condition(job, "Complete") or condition(job, "Failed")
    text = end and end.get("lastTransitionTime")
    return parse_time(text) if text else None


def has_passed_its_deadline(job: Manifest) -> bool:
    """True from the moment its pods are being stopped for it."""
    ends = (condition(job, "FailureTarget"), condition(job, "Failed"))
    return any(end is not None and end.get("reason") == DEADLINE_EXCEEDED for end in ends)


def over_at(job: Manifest) -> datetime | None:
    """When it ended, or its pods were asked to."""
    end = condition(job, "FailureTarget") or condition(job, "Complete") or condition(job, "Failed")
    text = end and end.get("lastTransitionTime")
    return parse_time(text) if text else None


def trainer_status(pod: Manifest) -> Mapping[str, Any]:
    """ContainerStatus of the trainer; empty before the kubelet has seen the pod. Sidecars are nobody's business."""
    return container_status(pod, TRAINER_CONTAINER)


def trainer_end(pod: Manifest) -> Mapping[str, Any] | None:
    """ContainerStateTerminated of the trainer."""
    end: Mapping[str, Any] | None = (trainer_status(pod).get("state") or {}).get("terminated")
    return end


def is_running(pod: Manifest) -> bool:
    return (trainer_status(pod).get("state") or {}).get("running") is not None


def started_at(pod: Manifest) -> str | None:
    """When the trainer started, as the kubelet wrote it."""
    state = trainer_status(pod).get("state") or {}
    started: str | None = (state.get("running") or state.get("terminated") or {}).get("startedAt")
    return started


def phase_of(pod: Manifest) -> str:
    phase: str = (pod.get("status") or {}).get("phase", "Pending")
    return phase


def is_live(pod: Manifest) -> bool:
    """Whether its trainer runs or may still run."""
    return phase_of(pod) not in {"Succeeded", "Failed"} and trainer_end(pod) is None


def is_disrupted(pod: Manifest) -> bool:
    """Whether it was stopped for the cluster's sake (drain, preemption, node pressure): the Job replaces it."""
    return condition(pod, "DisruptionTarget") is not None


def created_at(obj: Manifest) -> str:
    created: str = obj["metadata"].get("creationTimestamp") or ""
    return created


def is_of_run(obj: Manifest, run: str) -> bool:
    return labels_of(obj).get(labels.RUN) == run


def pods_of(job: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    """Those that this very Job owns: an earlier Job of the same name may have left some."""
    uid = uid_of(job)
    return [pod for pod in pods if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or ())]


def ended_at(job: Manifest, pods: Iterable[Manifest]) -> datetime | None:
    """When the Job or, if other containers keep it alive, its trainer ended; None while it may still run."""
    if is_finished(job):
        return finished_at(job)
    ends = [(trainer_end(pod) or {}).get("finishedAt") for pod in pods_of(job, pods) if not is_disrupted(pod)]
    return max((parse_time(end) for end in ends if end), default=None)
