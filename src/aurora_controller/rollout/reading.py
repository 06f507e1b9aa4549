"""An observation → the facts that decide. Pure."""

from collections.abc import Mapping

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.mldeployment import DEFAULT_CANARY_WEIGHT, Strategy, StrategyType
from aurora_controller.kube.conditions import conditions_of, find_condition
from aurora_controller.kube.meta import INGRESS, SERVICE, Manifest
from aurora_controller.kube.ownership import child_name
from aurora_controller.rollout.facts import Facts, RevisionFacts
from aurora_controller.rollout.observation import Endpoints, Live, Observation
from aurora_controller.rollout.requests import Asked
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.state import State
from aurora_controller.rollout.target import Missing, Target, first, target
from aurora_controller.traffic.router import Router, Split

_NOBODY = Endpoints()


def facts_of(observed: Observation, state: State, router: Router) -> Facts:
    deployment, spec = observed.deployment, observed.deployment.spec
    annotations = deployment.metadata.annotations
    wanted = wanted_of(observed, state)
    begins = first(spec, observed.catalogue)
    route = router.split_of([child for (kind, _), child in observed.children.items() if kind == INGRESS])
    routed = _revision_behind(observed, route)
    return Facts(
        target=_revision(observed, wanted),
        asked_by=wanted.asked_by if isinstance(wanted, Target) else "",
        first=_revision(observed, begins),
        serving=_known(observed, selected_by_service(observed)),
        routed_canary=_known(observed, routed),
        selected=selected_by_service(observed),
        is_switched=_is_switched(observed, state),
        route=route,
        route_leads_to_canary=state.canary is not None and routed == state.canary.name,
        stable=_facts_about(observed, state.stable, observed.deployment.metadata.name),
        canary=_facts_about(observed, state.canary, canary_service_name(observed, state.canary)),
        existing={name: _facts(one, _NOBODY) for name, one in observed.live.items()},
        versions={name: one.version for name, one in observed.live.items()},
        quiet=observed.quiet,
        can_split=observed.route is not None,
        is_rolling=spec.strategy.type is StrategyType.ROLLING_UPDATE,
        weight=asked_weight(spec.strategy),
        replicas=spec.replicas,
        asked=Asked(
            promote=annotations.get(labels.PROMOTE),
            abort=annotations.get(labels.ABORT),
            is_paused=spec.paused,
            stable_version=spec.stable_version,
        ),
        history=deployment.status.history,
        settle_seconds=observed.settle_seconds,
        rollback_window_seconds=spec.strategy.rollback_window_seconds,
    )


def wanted_of(observed: Observation, state: State) -> Target | Missing:
    stable_version = state.stable.version if state.stable is not None else None
    return target(observed.deployment.spec, observed.catalogue, stable_version)


def asked_weight(strategy: Strategy) -> int:
    return DEFAULT_CANARY_WEIGHT if strategy.canary_weight is None else strategy.canary_weight


def workload_name(observed: Observation, revision: str) -> str:
    """Name of a revision's Deployment, and of its Service while it is a canary."""
    return child_name(observed.deployment.metadata.name, revision)


def canary_service_name(observed: Observation, canary: Revision | None) -> str:
    return workload_name(observed, canary.name) if canary is not None else ""


def selected_by_service(observed: Observation) -> str | None:
    """The revision that the stable Service selects."""
    service = observed.children.get((SERVICE, observed.deployment.metadata.name))
    return _selected(service) if service is not None else None


def _selected(service: Manifest) -> str | None:
    selector: Mapping[str, str] = service["spec"].get("selector") or {}
    return selector.get(labels.REVISION)


def _revision_behind(observed: Observation, route: Split | None) -> str | None:
    """The revision that a canary route leads to."""
    if route is None or route.canary_service is None:
        return None
    service = observed.children.get((SERVICE, route.canary_service))
    if service is not None:
        return _selected(service)
    prefix = f"{observed.deployment.metadata.name}-"
    return route.canary_service.removeprefix(prefix) or None


def _revision(observed: Observation, wanted: Target | Missing) -> Revision | None:
    if isinstance(wanted, Missing):
        return None
    return Revision.of(observed.deployment.spec, wanted.version, runtime_image=observed.runtime_image)


def _known(observed: Observation, name: str | None) -> Revision | None:
    """The revision of this name, as its Deployment remembers it."""
    live = observed.live.get(name) if name is not None else None
    return live.frozen.revision if live is not None and live.frozen is not None else None


def _is_switched(observed: Observation, state: State) -> bool:
    if state.canary is None or selected_by_service(observed) != state.canary.name:
        return False
    behind = observed.endpoints.get(observed.deployment.metadata.name, _NOBODY)
    return behind.present == {state.canary.name} and behind.ready.get(state.canary.name, 0) > 0


def _facts_about(observed: Observation, revision: Revision | None, service: str) -> RevisionFacts:
    live = observed.live.get(revision.name) if revision is not None else None
    return _facts(live, observed.endpoints.get(service, _NOBODY)) if live is not None else RevisionFacts()


def _facts(live: Live, endpoints: Endpoints) -> RevisionFacts:
    trouble = live.trouble
    return RevisionFacts(
        ready=endpoints.ready.get(live.name, 0),
        available=_available(live.workload),
        pods_ready=live.ready,
        asked=live.asked,
        is_available=_available(live.workload) > 0 or _was_complete(live.workload),
        is_crashing=trouble is not None and trouble.is_crash,
    )


def _available(workload: Manifest) -> int:
    available: int = (workload.get("status") or {}).get("availableReplicas") or 0
    return available


def _was_complete(workload: Manifest) -> bool:
    progressing = find_condition(conditions_of(workload), "Progressing")
    return progressing is not None and progressing.get("reason") == "NewReplicaSetAvailable"
