"""Brings an MLDeployment to one stable revision, by way of a canary that people or git decide about.

observe reads the cache, now and then one Secret (``keys.py``) and, while a decision depends on it, the pods' counters.
plan is pure: the state in the status and the facts give the next state (``plan.py``), that gives the world that should
be (``world.py``), and that the writes (``desired.py``) and the status.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from aurora_controller.analysis.accounting import Count, Reading
from aurora_controller.analysis.scrape import CounterReader, Scrape
from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, MODEL_NAME
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment, RolloutPhase
from aurora_controller.kube.clock import Clock
from aurora_controller.kube.conditions import conditions_of, is_true
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SERVICE,
    Manifest,
    ObjectKey,
    PolicyRule,
    key_of,
    labels_of,
)
from aurora_controller.kube.reconcile import ObjectReader, PatchStatus, Plan, Request, Watch
from aurora_controller.kube.store import text_at
from aurora_controller.rollout.conditions import READY, blocked, obstacle_of
from aurora_controller.rollout.counting import (
    LOOK_APART_SECONDS,
    RETRY_SECONDS,
    addresses,
    next_count,
    question,
    quiet_revisions,
    seconds_to_count,
)
from aurora_controller.rollout.desired import writes
from aurora_controller.rollout.facts import Facts
from aurora_controller.rollout.health import Trouble
from aurora_controller.rollout.keys import KeysReader
from aurora_controller.rollout.observation import (
    Live,
    Observation,
    catalogue_of,
    children_of,
    claims_of,
    endpoints_of,
    live_revisions,
    read_deployment,
)
from aurora_controller.rollout.plan import next_step, seconds_to_next_step
from aurora_controller.rollout.reading import facts_of
from aurora_controller.rollout.requests import key_of_rollout
from aurora_controller.rollout.routes import held_route, holder_of, rivals_of, route_of
from aurora_controller.rollout.state import State, count_in, remembered
from aurora_controller.rollout.status import events_of, next_status, troubles
from aurora_controller.rollout.target import Missing, first
from aurora_controller.rollout.world import weighed, world
from aurora_controller.traffic.router import RouteKey, Router

_MANAGED: Final = f"{labels.MANAGED_BY}={labels.MANAGED_BY_AURORA}"
_READ: Final = ("get", "list", "watch")
_OWN: Final = (*_READ, "create", "patch", "delete")
OBSTACLE_RETRY_SECONDS: Final = 10.0
"""While a person has to mend the route, or the Secret that the spec names."""


@dataclass(frozen=True, kw_only=True)
class _Look:
    """The last time the pods of one MLDeployment were asked."""

    at: float
    readings: Sequence[Reading]


class RolloutReconciler:
    """``host_template`` may hold ``{name}`` and ``{namespace}``; empty routes any host."""

    name = "rollout"
    kind = ML_DEPLOYMENT
    primary_condition = READY
    rules: Sequence[PolicyRule] = (
        PolicyRule(labels.GROUP, ("mldeployments",), _READ),
        PolicyRule(labels.GROUP, ("mldeployments/status",), ("patch",)),
        PolicyRule(labels.GROUP, ("mlmodels", "mlmodelversions"), _READ),
        PolicyRule("apps", ("deployments",), _OWN),
        PolicyRule("", ("services",), _OWN),
        PolicyRule("networking.k8s.io", ("ingresses",), _OWN),
        PolicyRule("policy", ("poddisruptionbudgets",), _OWN),
        PolicyRule("discovery.k8s.io", ("endpointslices",), _READ),
        PolicyRule("", ("pods", "persistentvolumeclaims"), _READ),
        PolicyRule("", ("secrets",), ("get", "create")),
    )

    def __init__(
        self,
        *,
        cache: ObjectReader,
        keys: KeysReader,
        counters: CounterReader,
        router: Router,
        runtime_image: str,
        clock: Clock,
        host_template: str = "",
        settle_seconds: float = 5.0,
    ) -> None:
        self._cache = cache
        self._keys = keys
        self._counters = counters
        self._runtime_image = runtime_image
        self._host_template = host_template
        self._settle_seconds = settle_seconds
        self._router = router
        self._clock = clock
        self._looks: dict[Request, _Look] = {}
        self.watches: Sequence[Watch] = (
            Watch(kind=ML_DEPLOYMENT, requests=self._rivals),
            Watch(kind=ML_MODEL_VERSION, requests=self._followers_of_version),
            Watch(kind=ML_MODEL, requests=self._followers_of_model),
            *(
                Watch(kind=kind, requests=_owner_by_label, label_selector=_MANAGED)
                for kind in (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, POD, ENDPOINT_SLICE)
            ),
            Watch(kind=PERSISTENT_VOLUME_CLAIM, requests=self._users_of_claim),
        )

    async def observe(self, request: Request) -> Observation | None:
        read = read_deployment(self._cache, request)
        if read is None:
            self._looks.pop(request, None)
            self._keys.forget(request)
            return None
        manifest, deployment = read
        children = children_of(self._cache, manifest)
        live = live_revisions(self._cache, manifest, children)
        known = catalogue_of(self._cache, deployment)
        route = self._route_of(manifest)
        holder = None
        if route is not None:
            holder = holder_of(self._cache, manifest, route, router=self._router, host_template=self._host_template)
        before = self._looks.get(request)
        scrape = await self._ask_pods(request, deployment, live)
        return Observation(
            manifest=manifest,
            deployment=deployment,
            catalogue=known,
            keys=await self._keys.read(manifest, deployment, [pod for one in live.values() for pod in one.pods]),
            # Without the route that it asks for, it keeps the one it has, if any.
            route=held_route(self._cache, manifest, self._router) if holder is not None else route,
            contested=route if holder is not None else None,
            route_holder=holder,
            children=children,
            live=live,
            endpoints=endpoints_of(self._cache, request),
            claims=claims_of(self._cache, deployment, known, live),
            scrape=scrape,
            quiet=quiet_revisions(live.values(), before.readings if before is not None else None, scrape),
            runtime_image=self._runtime_image,
            settle_seconds=self._settle_seconds,
        )

    def plan(self, observed: Observation, now: datetime) -> Plan:
        status = observed.deployment.status
        before = remembered(status, now)
        facts = facts_of(observed, before, self._router)
        obstacle = _why_blocked(observed, before, facts)
        if obstacle is not None:
            return _blocked(observed, obstacle, now)
        step = next_step(before, facts, now)
        # The step may have changed whom the facts are about.
        facts = facts_of(observed, step.state, self._router)
        step = replace(step, state=weighed(step.state, facts, now))
        wanted = world(step.state, facts, now)
        count = next_count(before, step.state, count_in(status.traffic.observed, now), observed.scrape, now)
        told = next_status(observed, step, facts, world=wanted, count=count, now=now)
        patch = PatchStatus(existing=observed.manifest, kind=ML_DEPLOYMENT, status=told)
        return Plan(
            writes=[*writes(observed, step.state, wanted, self._router), patch],
            events=events_of(observed, step, told),
            requeue_after_seconds=_next_look(observed, step.state, facts, count, now),
        )

    async def _ask_pods(self, request: Request, deployment: MLDeployment, live: Mapping[str, Live]) -> Scrape | None:
        """None when nothing depends on it, or when they were asked a moment ago."""
        now, status = self._clock.now(), deployment.status
        asked = question(
            status,
            now,
            settle_seconds=self._settle_seconds,
            is_deciding=_is_deciding(deployment, remembered(status, now)),
        )
        if not asked.revisions:
            self._looks.pop(request, None)
            return None
        look = self._looks.get(request)
        pause = asked.pause_seconds if look is None or look.readings else RETRY_SECONDS
        if look is not None and self._clock.monotonic() - look.at < pause:
            return None
        pods = addresses(live[name] for name in sorted(asked.revisions & live.keys()))
        scrape = await self._counters.read(pods) if pods else Scrape()
        self._looks[request] = _Look(at=self._clock.monotonic(), readings=scrape.readings)
        return scrape

    def _followers_of_version(self, version: Manifest) -> Iterable[Request]:
        # One that names no model may have the label of those who cannot do without it.
        model = text_at(version, MODEL_NAME) or labels_of(version).get(labels.MODEL, "")
        return self._followers(key_of(version).namespace, model)

    def _followers_of_model(self, model: Manifest) -> Iterable[Request]:
        return self._followers(key_of(model).namespace, key_of(model).name)

    def _followers(self, namespace: str, model: str) -> Iterable[Request]:
        return map(key_of, self._cache.with_field(ML_DEPLOYMENT, MODEL_NAME, model, namespace))

    def _users_of_claim(self, claim: Manifest) -> Iterable[Request]:
        """A claim that appears or is bound matters to those that are not served, or have a canary."""
        return (
            key_of(deployment)
            for deployment in self._cache.list(ML_DEPLOYMENT, key_of(claim).namespace)
            if not is_true(conditions_of(deployment), READY) or text_at(deployment, "status.canary.revision")
        )

    def _rivals(self, deployment: Manifest) -> Iterable[Request]:
        """Those that ask for the same route: one that gives it up is what the others wait for."""
        route = self._route_of(deployment)
        if route is None:
            return ()
        return map(
            key_of,
            rivals_of(self._cache, deployment, route, router=self._router, host_template=self._host_template),
        )

    def _route_of(self, deployment: Manifest) -> RouteKey | None:
        return route_of(self._cache, deployment, router=self._router, host_template=self._host_template)


def _why_blocked(observed: Observation, state: State, facts: Facts) -> Trouble | None:
    """Why nothing is created at all. What exists already is looked after, whatever stands in its way."""
    if state.stable is not None or facts.serving is not None:
        return None
    obstacle = obstacle_of(observed)
    if obstacle is not None:
        return obstacle
    begins = first(observed.deployment.spec, observed.catalogue)
    return Trouble(reason=begins.reason, message=begins.message) if isinstance(begins, Missing) else None


def _blocked(observed: Observation, obstacle: Trouble, now: datetime) -> Plan:
    told = blocked(observed, obstacle, now)
    status = {"observedGeneration": observed.deployment.metadata.generation, "conditions": told}
    return Plan(
        writes=[PatchStatus(existing=observed.manifest, kind=ML_DEPLOYMENT, status=status)],
        events=troubles(observed.manifest, told),
        requeue_after_seconds=observed.keys.look_again_seconds,
    )


def _is_deciding(deployment: MLDeployment, state: State) -> bool:
    """Whether a request about the open rollout waits to be obeyed."""
    annotations, key = deployment.metadata.annotations, key_of_rollout(state)
    is_asked = key is not None and key in (annotations.get(labels.PROMOTE), annotations.get(labels.ABORT))
    return is_asked and state.phase is RolloutPhase.CANARY


def _next_look(observed: Observation, state: State, facts: Facts, count: Count | None, now: datetime) -> float:
    """When to look again if no event comes first."""
    looks = [observed.keys.look_again_seconds]
    if obstacle_of(observed) is not None:
        looks.append(OBSTACLE_RETRY_SECONDS)
    step = seconds_to_next_step(state, facts, now)
    counting = seconds_to_count(state, count, now, facts.settle_seconds)
    if step is not None:
        looks.append(step)
    if counting is not None and counting > 0:
        looks.append(counting + 0.1)
    elif counting is not None and count is None:
        looks.append(RETRY_SECONDS if observed.scrape is not None else LOOK_APART_SECONDS)
    return min(looks)


def _owner_by_label(child: Manifest) -> Iterable[Request]:
    name = labels_of(child).get(labels.DEPLOYMENT)
    return (ObjectKey(key_of(child).namespace, name),) if name else ()
