"""Why pods are not ready: what a person would otherwise dig out of ``kubectl describe``. Pure readings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aurora_controller.api.v1alpha1.reasons import CLAIM_NOT_FOUND, CLAIM_UNBOUND, IMAGE_PULL_FAILED
from aurora_controller.kube.conditions import conditions_of, find_condition, is_true
from aurora_controller.kube.meta import Manifest, is_deleting, key_of
from aurora_controller.kube.pods import IMAGE_REASONS, ORDINARY_REASONS, container_status
from aurora_controller.kube.store import text_at
from aurora_runtime.contract import SERVER_CONTAINER, ExitCode

CRASHING: Final = "Crashing"
ARTIFACT_REFUSED: Final = "ArtifactRefused"
CRASHES: Final = 2
"""Restarts of one pod from which its revision counts as crashing."""
_MAX_WORDS: Final = 1024


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Reason and message for a condition."""

    reason: str
    message: str

    @property
    def is_crash(self) -> bool:
        """Whether the server itself fails, again and again."""
        return self.reason in (CRASHING, ARTIFACT_REFUSED)


def is_ready(pod: Manifest) -> bool:
    return not is_deleting(pod) and is_true(conditions_of(pod), "Ready")


def address_of(pod: Manifest) -> str:
    """Its IP; empty before it has one."""
    address: str = (pod.get("status") or {}).get("podIP") or ""
    return address


def pods_trouble(pods: Sequence[Manifest]) -> Trouble | None:
    """The worst that any pod suffers: a failing server before everything else."""
    found = [trouble for pod in pods if not is_deleting(pod) and (trouble := _trouble(pod)) is not None]
    return next((trouble for trouble in found if trouble.is_crash), found[0] if found else None)


def workload_trouble(workload: Manifest) -> Trouble | None:
    """Why its Deployment cannot even make pods: quota, admission, or no progress for too long."""
    failure = find_condition(conditions_of(workload), "ReplicaFailure")
    if failure is not None and failure["status"] == "True":
        return Trouble(reason=failure.get("reason") or "ReplicaFailure", message=str(failure.get("message") or ""))
    return None


def claim_trouble(name: str, namespace: str, claim: Manifest | None) -> Trouble | None:
    """What is wrong with the claim that holds the model."""
    if claim is None:
        return Trouble(
            reason=CLAIM_NOT_FOUND,
            message=f"PersistentVolumeClaim {name!r} does not exist in namespace {namespace!r}; it holds the model. "
            "Create it (ReadWriteMany) with the same storage.",
        )
    phase = text_at(claim, "status.phase") or "Pending"
    if is_deleting(claim):
        phase = "being deleted"
    if phase != "Bound":
        return Trouble(
            reason=CLAIM_UNBOUND,
            message=f"PersistentVolumeClaim {name!r} in namespace {namespace!r} is {phase}, not Bound.",
        )
    return None


def _trouble(pod: Manifest) -> Trouble | None:
    if is_ready(pod) and not _has_crashed_often(_server(pod)):
        return None
    scheduled = find_condition(conditions_of(pod), "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        reason = scheduled.get("reason") or "Unschedulable"
        return Trouble(reason=reason, message=f"Pod {key_of(pod).name}: {scheduled.get('message') or reason}")
    return _server_trouble(pod, _server(pod))


def _server_trouble(pod: Manifest, server: Mapping[str, Any]) -> Trouble | None:
    waiting: Mapping[str, Any] = (server.get("state") or {}).get("waiting") or {}
    reason: str = waiting.get("reason") or ""
    if reason in IMAGE_REASONS:
        # The kubelet alternates between the error and its back-off; the message stays still, so that it is told once.
        return Trouble(
            reason=IMAGE_PULL_FAILED, message=f"Image {server.get('image')!r} cannot be pulled; correct spec.image."
        )
    end = _last_end(server)
    if end.get("exitCode") == ExitCode.ARTIFACT_REFUSED:
        return Trouble(reason=ARTIFACT_REFUSED, message=f"The server refuses the model: {_last_words(end)}")
    if reason == "CrashLoopBackOff" or _has_crashed_often(server):
        return Trouble(reason=CRASHING, message=f"The server ends again and again: {_last_words(end)}")
    if reason not in ORDINARY_REASONS:
        return Trouble(reason=reason, message=f"Pod {key_of(pod).name}: {waiting.get('message') or reason}")
    return None


def _has_crashed_often(server: Mapping[str, Any]) -> bool:
    restarts: int = server.get("restartCount") or 0
    return restarts >= CRASHES


def _server(pod: Manifest) -> Mapping[str, Any]:
    return container_status(pod, SERVER_CONTAINER)


def _last_end(server: Mapping[str, Any]) -> Mapping[str, Any]:
    """ContainerStateTerminated of its latest end."""
    state, last = server.get("state") or {}, server.get("lastState") or {}
    end: Mapping[str, Any] = state.get("terminated") or last.get("terminated") or {}
    return end


def _last_words(end: Mapping[str, Any]) -> str:
    """The last line of its termination message, which for an unexpected end is the last line of its log."""
    lines = str(end.get("message") or "").strip().splitlines()
    told = _event_in(lines[-1])[:_MAX_WORDS] if lines else end.get("reason") or "it left no message"
    return f"{told} (exit code {end['exitCode']})" if "exitCode" in end else str(told)


def _event_in(line: str) -> str:
    """What a JSON log line is about, without its time stamp: the same end is then told in the same words."""
    try:
        content = json.loads(line)
    except ValueError:
        return line
    if not isinstance(content, dict) or "event" not in content:
        return line
    return ": ".join(str(content[key]) for key in ("event", "error") if content.get(key))
