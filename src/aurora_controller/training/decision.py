"""What one look at an MLTrainingJob leads to, and how it is told to people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from aurora_controller.api.v1alpha1.mltrainingjob import Failure, Run, RunPhase
from aurora_controller.kube.reconcile import EventNote, Write
from aurora_controller.training.waiting import Wait

DONE: Final = (RunPhase.SUCCEEDED, RunPhase.FAILED)

SUCCEEDED: Final = "Succeeded"
REUSED: Final = "Reused"
SUSPENDED: Final = "Suspended"
SUSPENDING: Final = "Suspending"
SUPERSEDED: Final = "Superseded"
BACKING_OFF: Final = "BackingOff"
RUNNING: Final = "Running"
STOPPING: Final = "Stopping"
VERSION_CONFLICT: Final = "VersionConflict"
PREDECESSOR_PRESENT: Final = "PredecessorPresent"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Where the job stands, in one line for people and one word for programs."""

    phase: RunPhase
    reason: str
    message: str
    is_trouble: bool = False
    """Whether it deserves a warning although it may pass by itself."""

    @classmethod
    def waiting(cls, wait: Wait) -> "Standing":
        return cls(phase=RunPhase.PENDING, reason=wait.reason, message=wait.message, is_trouble=wait.is_trouble)

    @classmethod
    def failed(cls, run: Run) -> "Standing":
        """Of a failed run, told from the run alone: its condition may have been overwritten meanwhile."""
        failure = run.last_failure or Failure(reason="Failed", message="The run failed.")
        return cls(phase=RunPhase.FAILED, reason=failure.reason, message=failure.message)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came out of a run."""

    version: int
    digest: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    primary_metric: str
    is_reused: bool


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The next step. Each of its writes is decided from what is visible, never from another write of the step."""

    run: Run | None
    """``status.run`` from now on."""
    standing: Standing | None
    """None leaves the status as it is, until the writes of this step are visible."""
    result: Result | None = None
    """Given once, when the run succeeds."""
    writes: tuple[Write, ...] = ()
    events: tuple[EventNote, ...] = ()
    requeue_after_seconds: float | None = None


def changed(run: Run, **update: object) -> Run:
    return run.model_copy(update=update)
