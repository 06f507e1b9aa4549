"""The story of an MLTrainingJob, pure: what is observed → the next step.

    reserve a version → record the run in status → start a Job → follow it → record the facts → succeed

Every step looks at what is visible and takes the first one that is missing, so it does not matter after which
write a controller died: the next one finds the same story at the same place.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from aurora_controller.api.v1alpha1.mltrainingjob import Run, RunPhase
from aurora_controller.kube.meta import Manifest, key_of
from aurora_controller.training.decision import (
    DONE,
    PREDECESSOR_PRESENT,
    SUPERSEDED,
    SUSPENDED,
    SUSPENDING,
    Decision,
    Standing,
    changed,
)
from aurora_controller.training.desired import next_run_id, next_run_number
from aurora_controller.training.following import follow
from aurora_controller.training.inputs import answers, snapshot_of
from aurora_controller.training.observation import Observation
from aurora_controller.training.pods import is_of_run, started_at
from aurora_controller.training.registration import adopt, register, success
from aurora_controller.training.reserving import reserve
from aurora_controller.training.stopping import LOOK_AGAIN_SECONDS, everything, stop
from aurora_controller.training.waiting import PENDING


def decide(observed: Observation, now: datetime) -> Decision:
    """The next step of the job."""
    decision = _next_step(observed, now)
    return replace(decision, run=_with_start(decision.run, observed.pods))


def _next_step(observed: Observation, now: datetime) -> Decision:
    # A version that is in the store is recorded even when the inputs have changed or the job is suspended meanwhile.
    first = adopt(observed, now) or _wait_for_predecessors(observed) or register(observed, now)
    if first is not None:
        return first
    run = observed.run
    if run is None or not answers(run, observed.inputs):
        return _suspend(observed) if observed.job.spec.suspend else _begin(observed)
    return _rest(observed, run) or _go_on(observed, run) or follow(observed, run, now)


def _with_start(run: Run | None, pods: Iterable[Manifest]) -> Run | None:
    """A trainer may have ended before anybody saw it running; its pod tells when it started all the same."""
    if run is None or run.started_at is not None:
        return run
    starts = [start for pod in pods if is_of_run(pod, run.id) and (start := started_at(pod)) is not None]
    return changed(run, started_at=min(starts, default=None))


def _begin(observed: Observation) -> Decision:
    """A run for inputs that no run answers, once that of the earlier ones is stopped."""
    run_id = next_run_id(observed)
    stopping = stop(observed, lambda item: not is_of_run(item, run_id))
    if stopping is not None:
        message = "The inputs have changed; the run of the earlier ones is being stopped."
        return Decision(
            run=observed.run,
            standing=Standing(phase=RunPhase.PENDING, reason=SUPERSEDED, message=message),
            writes=stopping,
            requeue_after_seconds=LOOK_AGAIN_SECONDS,
        )
    run = Run(
        id=run_id,
        number=next_run_number(observed.run),
        inputs=snapshot_of(observed.inputs),
        generation=observed.job.metadata.generation,
    )
    return reserve(observed, run, above=0)


def _rest(observed: Observation, run: Run) -> Decision | None:
    """What a run that is done still has to say."""
    status = observed.job.status
    if run.phase is RunPhase.SUCCEEDED:
        standing = success(status.version, status.primary_metric, is_reused=bool(status.reused))
        return Decision(run=run, standing=standing)
    is_tried_again = run.generation != observed.job.metadata.generation and not observed.job.spec.suspend
    if run.phase is RunPhase.FAILED and not is_tried_again:
        return Decision(run=run, standing=Standing.failed(run))
    return None


def _go_on(observed: Observation, run: Run) -> Decision | None:
    """Suspends, and goes on after a suspension or a failure: the same version again by another attempt."""
    if observed.job.spec.suspend:
        return _suspend(observed)
    if run.phase not in {RunPhase.SUSPENDED, RunPhase.FAILED}:
        return None
    again = changed(
        run,
        phase=RunPhase.PENDING,
        attempt=run.attempt + 1,
        failures=0,
        oom_kills=0,
        restarts=0,
        not_before=None,
        finished_at=None,
        generation=observed.job.metadata.generation,
    )
    message = f"Attempt {again.attempt} at version {again.version} is about to start."
    return Decision(run=again, standing=Standing(phase=RunPhase.PENDING, reason=PENDING, message=message))


def _suspend(observed: Observation) -> Decision:
    run = observed.run
    stopping = stop(observed, everything)
    if stopping is not None:
        return Decision(
            run=run,
            standing=Standing(phase=RunPhase.PENDING, reason=SUSPENDING, message="The trainer is being stopped."),
            writes=stopping,
            requeue_after_seconds=LOOK_AGAIN_SECONDS,
        )
    if run is not None and run.phase not in DONE:
        run = changed(run, phase=RunPhase.SUSPENDED)
    message = "Nothing is trained until spec.suspend is false."
    return Decision(run=run, standing=Standing(phase=RunPhase.SUSPENDED, reason=SUSPENDED, message=message))


def _wait_for_predecessors(observed: Observation) -> Decision | None:
    if not observed.predecessors:
        return None
    names = ", ".join(sorted(f"{item['kind']} {key_of(item).name}" for item in observed.predecessors))
    message = f"An earlier MLTrainingJob of this name is still being removed: {names}."
    return Decision(
        run=observed.run,
        standing=Standing(phase=RunPhase.PENDING, reason=PREDECESSOR_PRESENT, message=message),
        requeue_after_seconds=LOOK_AGAIN_SECONDS,
    )
