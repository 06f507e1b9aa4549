"""How the pods of a revision are, and what to tell people of those that are not well. Pure readings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aurora_controller.kube.conditions import conditions_of, find_condition, is_true
from aurora_controller.kube.meta import Manifest, is_deleting, key_of
from aurora_runtime.contract import SERVER_CONTAINER

CRASHING: Final = "Crashing"
CLAIM_NOT_FOUND: Final = "PersistentVolumeClaimNotFound"
CLAIM_UNBOUND: Final = "PersistentVolumeClaimUnbound"
IMAGE_PULL_FAILED: Final = "ImagePullFailed"
_IMAGE_REASONS: Final = ("ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName")
_CRASHES: Final = 2
"""Restarts of one pod after which a revision counts as crashing."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why pods are not ready, by the reason and message of a condition."""

    reason: str
    message: str

    @property
    def is_crashing(self) -> bool:
        return self.reason == CRASHING


def is_ready(pod: Manifest) -> bool:
    return not is_deleting(pod) and is_true(conditions_of(pod), "Ready")


def trouble_of(pods: Sequence[Manifest]) -> Trouble | None:
    """The worst that any of the pods suffers: crashes before everything else."""
    troubles = [trouble for pod in pods if not is_deleting(pod) and (trouble := _trouble(pod)) is not None]
    return next((trouble for trouble in troubles if trouble.is_crashing), troubles[0] if troubles else None)


def claim_trouble(name: str, namespace: str, claim: Manifest | None) -> Trouble | None:
    """What is wrong with the claim that holds the model."""
    if claim is None:
        return Trouble(
            reason=CLAIM_NOT_FOUND,
            message=f"PersistentVolumeClaim {name!r} does not exist in namespace {namespace!r}; it holds the model: "
            "create it (ReadWriteMany).",
        )
    phase = (claim.get("status") or {}).get("phase")
    if phase in ("Pending", "Lost"):
        return Trouble(
            reason=CLAIM_UNBOUND,
            message=f"PersistentVolumeClaim {name!r} in namespace {namespace!r} is {phase}, not Bound.",
        )
    return None


def _trouble(pod: Manifest) -> Trouble | None:
    scheduled = find_condition(conditions_of(pod), "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return Trouble(reason="Unschedulable", message=f"Pod {key_of(pod).name}: {scheduled.get('message', '')}")
    server = _server(pod)
    waiting: Mapping[str, Any] = (server.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _IMAGE_REASONS:
        # The kubelet alternates between error and back-off: naming the image alone keeps the message still.
        return Trouble(reason=IMAGE_PULL_FAILED, message=f"Image {server.get('image')!r} cannot be pulled.")
    if server.get("restartCount", 0) >= _CRASHES or reason == "CrashLoopBackOff":
        return Trouble(reason=CRASHING, message=f"The server crashes: {_last_words(server)}")
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return Trouble(reason=reason, message=f"Pod {key_of(pod).name}: {waiting.get('message', '')}")
    return None


def _server(pod: Manifest) -> Mapping[str, Any]:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status.get("name") == SERVER_CONTAINER:
            found: Mapping[str, Any] = status
            return found
    return {}


def _last_words(server: Mapping[str, Any]) -> str:
    state, last = server.get("state") or {}, server.get("lastState") or {}
    end: Mapping[str, Any] = state.get("terminated") or last.get("terminated") or {}
    lines = str(end.get("message") or "").strip().splitlines()
    words = lines[-1] if lines else ""
    code = f"exit code {end['exitCode']}" if "exitCode" in end else "no exit code"
    told = words or end.get("reason") or "it left no message"
    return f"{told} ({code})"
