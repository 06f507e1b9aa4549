"""State of a rollout ↔ the object's status, and the facts that decide its next step. Pure."""

from datetime import datetime

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.mldeployment import Aborted, MLDeploymentStatus, Previous, RevisionStatus
from aurora_controller.kube.clock import format_time, parse_time
from aurora_controller.kube.meta import SERVICE
from aurora_controller.rollout.desired import splits_traffic, workload_name
from aurora_controller.rollout.observation import Observation
from aurora_controller.rollout.plan import Facts, GivenUp, Leaving, State
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.target import Missing


def state_of(observed: Observation, now: datetime) -> State:
    """As the status remembers it; with an empty status, stable is what the stable Service points at."""
    status = observed.deployment.status
    stable = _revision(status.stable)
    if stable is None and status.canary is None:
        behind = serving_revision(observed)
        live = observed.live.get(behind) if behind is not None else None
        stable = live.revision if live is not None else None
    previous, aborted = status.previous, status.aborted
    return State(
        rollout=status.rollout,
        phase=status.phase,
        since=parse_time(status.phase_since) if status.phase_since else now,
        stable=stable,
        canary=_revision(status.canary),
        leaving=_leaving(observed, previous) if previous is not None else None,
        given_up=GivenUp(revision=aborted.revision, rollout=aborted.rollout, at=parse_time(aborted.at))
        if aborted is not None
        else None,
    )


def _revision(status: RevisionStatus | None) -> Revision | None:
    return None if status is None else Revision(name=status.revision, version=status.version, digest=status.digest)


def _leaving(observed: Observation, previous: Previous) -> Leaving | None:
    live = observed.live.get(previous.revision)
    if live is None:
        return None  # its pods are gone already
    return Leaving(revision=live.revision, until=parse_time(previous.until))


def serving_revision(observed: Observation) -> str | None:
    """The revision that the stable Service selects."""
    service = observed.children.get((SERVICE, observed.deployment.metadata.name))
    revision: str | None = (service["spec"].get("selector") or {}).get(labels.REVISION) if service is not None else None
    return revision


def facts_of(observed: Observation, state: State) -> Facts:
    """What the next step depends on."""
    deployment = observed.deployment
    spec, annotations = deployment.spec, deployment.metadata.annotations
    stable = observed.live.get(state.stable.name) if state.stable is not None else None
    canary = observed.live.get(state.canary.name) if state.canary is not None else None
    trouble = canary.trouble if canary is not None else None
    return Facts(
        target=None if isinstance(observed.target, Missing) else Revision.of(deployment, observed.target),
        first=Revision.of(deployment, observed.first) if observed.first is not None and state.stable is None else None,
        is_paused=spec.paused,
        strategy=spec.strategy.type,
        is_routed=splits_traffic(observed),
        replicas=spec.replicas,
        stable_version=spec.stable_version,
        promote=annotations.get(labels.PROMOTE),
        abort=annotations.get(labels.ABORT),
        stable_ready=stable.ready if stable is not None else 0,
        stable_replicas=stable.replicas if stable is not None else 0,
        canary_ready=canary.ready if canary is not None else 0,
        canary_endpoints=_canary_endpoints(observed, state),
        canary_is_crashing=trouble is not None and trouble.is_crashing,
        is_switched=_is_switched(observed, state),
        leaving_is_idle=_is_idle(observed, state),
        settle_seconds=observed.settle_seconds,
        rollback_window_seconds=spec.strategy.rollback_window_seconds,
    )


def _canary_endpoints(observed: Observation, state: State) -> int:
    if state.canary is None:
        return 0
    service = observed.endpoints.get(workload_name(observed, state.canary), {})
    return service.get(state.canary.name, 0)


def _is_switched(observed: Observation, state: State) -> bool:
    """The stable Service selects the canary and nothing but its pods is behind it."""
    if state.canary is None or serving_revision(observed) != state.canary.name:
        return False
    behind = {name for name, count in observed.endpoints.get(observed.deployment.metadata.name, {}).items() if count}
    return behind == {state.canary.name}


def _is_idle(observed: Observation, state: State) -> bool:
    if state.leaving is None:
        return False
    live = observed.live.get(state.leaving.revision.name)
    if live is None or live.ready == 0:
        return True  # nothing is left that could answer
    return observed.tally is not None and state.leaving.revision.name in observed.tally.idle


def remembered(observed: Observation, state: State, weight: int) -> MLDeploymentStatus:
    """The part of the status that holds the state."""
    previous = state.leaving and Previous(
        revision=state.leaving.revision.name,
        version=state.leaving.revision.version,
        until=format_time(state.leaving.until),
    )
    given_up = state.given_up and Aborted(
        revision=state.given_up.revision, rollout=state.given_up.rollout, at=format_time(state.given_up.at)
    )
    return MLDeploymentStatus(
        rollout=state.rollout,
        phase=state.phase,
        phase_since=format_time(state.since),
        stable=_told(observed, state.stable, 100 - weight),
        canary=_told(observed, state.canary, weight),
        previous=previous,
        aborted=given_up,
    )


def _told(observed: Observation, revision: Revision | None, weight: int) -> RevisionStatus | None:
    if revision is None:
        return None
    live = observed.live.get(revision.name)
    return RevisionStatus(
        revision=revision.name,
        version=revision.version,
        digest=revision.digest,
        replicas=live.replicas if live is not None else 0,
        ready_replicas=live.ready if live is not None else 0,
        weight=weight,
    )
