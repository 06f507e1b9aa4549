"""Brings an MLDeployment to one stable revision, by way of a canary that people or git decide about."""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from aurora_controller.analysis.counting import Tally
from aurora_controller.analysis.scrape import CounterReader, PodAddress
from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment, RolloutPhase
from aurora_controller.kube.conditions import conditions_of, is_true
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    ObjectKey,
    PolicyRule,
    key_of,
    labels_of,
    uid_of,
)
from aurora_controller.kube.ownership import child_name
from aurora_controller.kube.reconcile import Apply, Create, Delete, PatchStatus, Plan, Request, Watch, Write
from aurora_controller.rollout.desired import api_key_secret, asked_weight, desired_children, obsolete
from aurora_controller.rollout.health import is_ready
from aurora_controller.rollout.observation import (
    Live,
    ObjectReader,
    Observation,
    children_of,
    holder_of,
    live_revisions,
    read_deployment,
    ready_endpoints,
    route_of,
    target_of,
    trouble_with_claim,
)
from aurora_controller.rollout.plan import Facts, State, canary_weight, next_step, seconds_to_next_step
from aurora_controller.rollout.state import facts_of, state_of
from aurora_controller.rollout.status import READY, Block, blocked_status, events_of, next_status, trouble_events
from aurora_controller.rollout.target import Missing
from aurora_controller.traffic.router import Router

_MANAGED: Final = f"{labels.MANAGED_BY}={labels.MANAGED_BY_AURORA}"
_READ: Final = ("get", "list", "watch")
_OWN: Final = (*_READ, "create", "patch", "delete")
RESYNC_SECONDS: Final = 60.0
"""Secrets are not watched, so that no rule is needed that could read them all: a lost one is noticed by then."""
DRAIN_LOOK_SECONDS: Final = 5.0
CANARY_LOOK_SECONDS: Final = 15.0
LOOK_APART_SECONDS: Final = 3.0
"""Two looks closer than this would take a quiet moment for the end of the traffic."""


class SecretReader(Protocol):
    """A live look at one Secret."""

    async def get_or_none(self, kind: Kind, key: ObjectKey) -> Manifest | None: ...


@dataclass(frozen=True, kw_only=True)
class _Count:
    subject: str
    tally: Tally
    silent: int = 0
    looked: float = float("-inf")


class RolloutReconciler:
    """Reads the cache, asks pods for their counters while a decision depends on them, and decides purely."""

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
        secret_reader: SecretReader,
        counters: CounterReader,
        router: Router,
        runtime_image: str,
        host_template: str = "",
        settle_seconds: float = 5.0,
    ) -> None:
        """``host_template`` may hold ``{name}`` and ``{namespace}``; empty routes any host."""
        self._cache = cache
        self._secrets = secret_reader
        self._counters = counters
        self._router = router
        self._runtime_image = runtime_image
        self._host_template = host_template
        self._settle_seconds = settle_seconds
        # What pods counted, per object and rollout. Lost with the process: the count then begins again.
        self._tallies: dict[str, _Count] = {}
        self.watches: Sequence[Watch] = (
            Watch(kind=ML_DEPLOYMENT, requests=self._rivals),
            Watch(kind=ML_MODEL_VERSION, requests=self._followers),
            Watch(kind=ML_MODEL, requests=self._followers_of_model),
            *(
                Watch(kind=kind, requests=_owner_by_label, label_selector=_MANAGED)
                for kind in (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, POD, ENDPOINT_SLICE)
            ),
            Watch(kind=PERSISTENT_VOLUME_CLAIM, requests=self._unready),
        )

    async def observe(self, request: Request) -> Observation | None:
        read = read_deployment(self._cache, request)
        if read is None:
            return None
        manifest, deployment = read
        children = children_of(self._cache, manifest)
        live = live_revisions(self._cache, manifest, children)
        target, first, versions = target_of(self._cache, deployment)
        route = route_of(deployment, self._host_template)
        secret_exists = await self._has_secret(deployment)
        tally, silent = await self._count(manifest, deployment, live)
        return Observation(
            manifest=manifest,
            deployment=deployment,
            target=target,
            first=first,
            versions=versions,
            route=route,
            route_holder=holder_of(self._cache, manifest, route, self._host_template) if route is not None else None,
            children=children,
            live=live,
            endpoints=ready_endpoints(self._cache, manifest),
            claim_trouble=trouble_with_claim(self._cache, request.namespace, target),
            secret_exists=secret_exists,
            new_key=None if secret_exists else secrets.token_urlsafe(32),
            tally=tally,
            silent_pods=silent,
            runtime_image=self._runtime_image,
            settle_seconds=self._settle_seconds,
        )

    def plan(self, observed: Observation, now: datetime) -> Plan:
        state = state_of(observed, now)
        block = _why_blocked(observed, state)
        if block is not None:
            status = blocked_status(observed, block, now)
            return Plan(
                writes=(PatchStatus(existing=observed.manifest, kind=ML_DEPLOYMENT, status=status),),
                events=trouble_events(observed, status),
                requeue_after_seconds=RESYNC_SECONDS,
            )
        step = next_step(state, facts_of(observed, state), now)
        facts = facts_of(observed, step.state)
        weight = canary_weight(step.state, facts, asked_weight(observed))
        wanted = desired_children(observed, step.state, self._router, weight)
        status = next_status(observed, step, weight, now)
        writes: list[Write] = []
        if not observed.secret_exists:
            writes.append(Create(manifest=api_key_secret(observed)))
        for kind, manifest in wanted:
            writes.append(
                Apply(manifest=manifest, existing=observed.children.get((kind, manifest["metadata"]["name"])))
            )
        writes += [Delete(existing=child, kind=kind) for kind, child in obsolete(observed, wanted)]
        writes.append(PatchStatus(existing=observed.manifest, kind=ML_DEPLOYMENT, status=status))
        return Plan(
            writes=writes,
            events=events_of(observed, step, status),
            requeue_after_seconds=_next_look(step.state, facts, now),
        )

    async def _has_secret(self, deployment: MLDeployment) -> bool:
        name = deployment.spec.auth.secret_name or child_name(deployment.metadata.name, "api-keys")
        return await self._secrets.get_or_none(SECRET, ObjectKey(deployment.metadata.namespace, name)) is not None

    async def _count(
        self, manifest: Manifest, deployment: MLDeployment, live: Mapping[str, Live]
    ) -> tuple[Tally | None, int]:
        """Asks the ready pods while a canary is open or a revision is leaving, and not more often than needed."""
        status, uid = deployment.status, uid_of(manifest)
        if status.canary is None and status.previous is None:
            self._tallies.pop(uid, None)
            return None, 0
        # A share is only worth something for one weight: another weight begins another count.
        subject = f"{status.rollout}:{status.canary.weight if status.canary is not None else 'leaving'}"
        known = self._tallies.get(uid)
        if known is None or known.subject != subject:
            known = _Count(subject=subject, tally=Tally(began=time.time()))
        if time.monotonic() - known.looked < LOOK_APART_SECONDS:
            return known.tally, known.silent
        addresses = [
            PodAddress(uid=uid_of(pod), ip=pod["status"]["podIP"])
            for revision in live.values()
            for pod in revision.pods
            if is_ready(pod) and (pod.get("status") or {}).get("podIP")
        ]
        scrape = await self._counters.read(addresses)
        known = _Count(
            subject=subject, tally=known.tally.seen(scrape.answers), silent=scrape.silent, looked=time.monotonic()
        )
        self._tallies[uid] = known
        return known.tally, known.silent

    def _followers(self, version: Manifest) -> Iterable[Request]:
        return self._deployments_of(key_of(version).namespace, version["spec"]["modelName"])

    def _followers_of_model(self, model: Manifest) -> Iterable[Request]:
        return self._deployments_of(key_of(model).namespace, key_of(model).name)

    def _deployments_of(self, namespace: str, model: str) -> Iterable[Request]:
        return (
            key_of(deployment)
            for deployment in self._cache.list(ML_DEPLOYMENT, namespace)
            if deployment["spec"]["modelName"] == model
        )

    def _unready(self, claim: Manifest) -> Iterable[Request]:
        """A claim that appears or is bound matters to those that do not serve yet."""
        return (
            key_of(deployment)
            for deployment in self._cache.list(ML_DEPLOYMENT, key_of(claim).namespace)
            if not is_true(conditions_of(deployment), READY)
        )

    def _rivals(self, deployment: Manifest) -> Iterable[Request]:
        """A route that is given up may be what others of the same model name wait for."""
        return (
            key_of(other)
            for other in self._cache.list(ML_DEPLOYMENT)
            if other["spec"]["modelName"] == deployment["spec"]["modelName"] and key_of(other) != key_of(deployment)
        )


def _why_blocked(observed: Observation, state: State) -> Block | None:
    """What must change elsewhere before anything is created or changed here."""
    deployment = observed.deployment
    if observed.route_holder is not None and (INGRESS, deployment.metadata.name) not in observed.children:
        holder = observed.route_holder
        message = (
            f"{observed.route} is held by MLDeployment {holder.name!r} in namespace {holder.namespace!r}: "
            "set another spec.routing.host, or delete that one."
        )
        return Block(reason="RouteConflict", message=message)
    named = deployment.spec.auth.secret_name
    if named is not None and not observed.secret_exists:
        message = f"Secret {named!r} of spec.auth.secretName does not exist: create it with one API key per entry."
        return Block(reason="SecretNotFound", message=message)
    if isinstance(observed.target, Missing) and state.stable is None and state.canary is None:
        return Block(reason=observed.target.reason, message=observed.target.message)
    return None


def _next_look(state: State, facts: Facts, now: datetime) -> float:
    """When to look again if no event comes first."""
    looks = [RESYNC_SECONDS]
    step = seconds_to_next_step(state, facts, now)
    if step is not None:
        looks.append(step + 0.05)
    if state.leaving is not None:
        looks.append(max(DRAIN_LOOK_SECONDS, (state.leaving.until - now).total_seconds()))
    if state.phase is RolloutPhase.CANARY:
        looks.append(CANARY_LOOK_SECONDS)
    return min(looks)


def _owner_by_label(child: Manifest) -> Iterable[Request]:
    name = labels_of(child).get(labels.DEPLOYMENT)
    return (ObjectKey(key_of(child).namespace, name),) if name else ()
