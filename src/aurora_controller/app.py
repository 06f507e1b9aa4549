"""The whole wiring: every object is built here and handed to those who use it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final
from uuid import uuid4

import aiohttp
from prometheus_client import disable_created_metrics

from aurora_controller.analysis.scrape import HttpCounterReader
from aurora_controller.api import labels
from aurora_controller.api.unknown_fields import UnknownFields
from aurora_controller.api.v1alpha1.kinds import (
    ML_DEPLOYMENT,
    ML_MODEL,
    ML_MODEL_VERSION,
    ML_TRAINING_JOB,
    MODEL_NAME,
    TRAINED_BY,
)
from aurora_controller.api.v1alpha1.resources import CUSTOM_RESOURCES
from aurora_controller.kube.cache import Cache
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.clock import Clock, SystemClock
from aurora_controller.kube.config import ClusterConfig, load_config
from aurora_controller.kube.consistency import ConsistencyStore
from aurora_controller.kube.controller import Controller
from aurora_controller.kube.election_thread import ElectionThread
from aurora_controller.kube.events import EventRecorder
from aurora_controller.kube.executor import Executor
from aurora_controller.kube.health import HealthServer
from aurora_controller.kube.leader_election import LeaderElector, LeaseTimes, WriteGate
from aurora_controller.kube.manager import Manager, NoElection
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    EVENT,
    INGRESS,
    JOB,
    LEASE,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    ObjectKey,
)
from aurora_controller.kube.metrics import REGISTRY
from aurora_controller.kube.reconcile import Reconciler, Watch
from aurora_controller.kube.rest import RestClient
from aurora_controller.registry.reconciler import RegistryReconciler
from aurora_controller.registry.versions import VersionReconciler
from aurora_controller.rollout.keys import KeysReader
from aurora_controller.rollout.reconciler import RolloutReconciler
from aurora_controller.settings import ControllerSettings
from aurora_controller.traffic.nginx_ingress import NginxIngressRouter
from aurora_controller.training.progress import HttpProgressReader
from aurora_controller.training.reconciler import TrainingReconciler

LEASE_NAME: Final = "aurora-controller"
_WRITTEN_KINDS: Final = (
    *(ML_TRAINING_JOB, ML_MODEL_VERSION, ML_MODEL, ML_DEPLOYMENT),
    *(JOB, DEPLOYMENT, SERVICE, INGRESS, SECRET, POD_DISRUPTION_BUDGET, EVENT),
)


async def run(settings: ControllerSettings, *, environment: Mapping[str, str], stop: asyncio.Event) -> None:
    """Returns after a clean stop. Raises ConfigError, and whatever broke."""
    # The time at which a series began doubles the number of series, and nobody asks for it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    clock = SystemClock()
    config = await load_config(environment, clock=clock)
    async with open_manager(settings, config=config, clock=clock) as manager:
        await manager.run(stop)


@asynccontextmanager
async def open_manager(settings: ControllerSettings, *, config: ClusterConfig, clock: Clock) -> AsyncIterator[Manager]:
    """Everything wired, nothing running. Watches, writes and pods each have connections of their own."""
    identity = f"{settings.pod_name or socket.gethostname()}_{uuid4()}"
    gate = WriteGate(open_seconds=settings.renew_deadline_seconds)
    async with (
        RestClient(config, clock=clock, max_connections=0) as watches,
        RestClient(config, clock=clock, may_write=gate.is_open if settings.leader_election else None) as writes,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as pods,
    ):
        client = KubeClient(writes, kinds=_WRITTEN_KINDS)
        cache = Cache(
            rest=watches,
            clock=clock,
            namespaces=settings.namespaces,
            indexed_labels=labels.INDEXED,
            indexed_fields=(MODEL_NAME, TRAINED_BY),
        )
        events = EventRecorder(client=client, clock=clock, controller=labels.REPORTER, instance=identity)
        controllers = [
            _controller(reconciler, settings, cache=cache, client=client, events=events, clock=clock)
            for reconciler in _reconcilers(settings, cache=cache, client=client, pods=pods, clock=clock)
        ]
        for resource in CUSTOM_RESOURCES:
            cache.subscribe(Watch(kind=resource.kind, requests=lambda _: ()), UnknownFields(resource))
        for controller in controllers:
            for watch in controller.watches:
                cache.subscribe(watch, partial(controller.on_change, watch))
        election = (
            ElectionThread(partial(_open_elector, settings, config=config, gate=gate, identity=identity))
            if settings.leader_election
            else NoElection()
        )
        yield Manager(
            caches=cache,
            controllers=controllers,
            events=events,
            election=election,
            health=_health(settings, cache, election),
            clock=clock,
            graceful_shutdown_seconds=settings.graceful_shutdown_seconds,
        )


def _controller(
    reconciler: Reconciler[Any],
    settings: ControllerSettings,
    *,
    cache: Cache,
    client: KubeClient,
    events: EventRecorder,
    clock: Clock,
) -> Controller:
    # Each has its own record of writes: objects of different kinds may bear one name, and then share a request.
    own_writes = ConsistencyStore(cache=cache, clock=clock)
    cache.on_progress(own_writes.changed)
    executor = Executor(
        client=client, writes=own_writes, field_manager=labels.FIELD_MANAGER, intent_annotation=labels.INTENT
    )
    return Controller(
        reconciler=reconciler,
        cache=cache,
        executor=executor,
        own_writes=own_writes,
        events=events,
        clock=clock,
        workers=settings.concurrency,
    )


def _reconcilers(
    settings: ControllerSettings, *, cache: Cache, client: KubeClient, pods: aiohttp.ClientSession, clock: Clock
) -> Sequence[Reconciler[Any]]:
    return (
        TrainingReconciler(
            cache=cache,
            runtime_image=settings.runtime_image,
            progress=HttpProgressReader(session=pods, clock=clock),
        ),
        RegistryReconciler(cache=cache, live=client),
        VersionReconciler(cache=cache),
        RolloutReconciler(
            cache=cache,
            keys=KeysReader(secrets=client, clock=clock),
            counters=HttpCounterReader(session=pods),
            router=NginxIngressRouter(),
            clock=clock,
            runtime_image=settings.runtime_image,
            host_template=settings.host_template,
            settle_seconds=settings.router_settle_seconds,
        ),
    )


@asynccontextmanager
async def _open_elector(
    settings: ControllerSettings, *, config: ClusterConfig, gate: WriteGate, identity: str
) -> AsyncIterator[LeaderElector]:
    """Entered on the elector's own thread: the connection belongs to that thread's loop."""
    clock = SystemClock()
    times = LeaseTimes(
        duration=settings.lease_seconds,
        renew_deadline=settings.renew_deadline_seconds,
        retry=settings.retry_seconds,
    )
    async with RestClient(config, clock=clock, max_connections=2, timeout_seconds=times.request_timeout) as rest:
        yield LeaderElector(
            client=KubeClient(rest, kinds=[LEASE]),
            lease=ObjectKey(settings.pod_namespace, LEASE_NAME),
            identity=identity,
            clock=clock,
            gate=gate,
            times=times,
        )


def _health(settings: ControllerSettings, cache: Cache, election: ElectionThread | NoElection) -> HealthServer:
    return HealthServer(
        liveness={"ping": lambda: None, "leader-election": election.problem},
        readiness={
            "synced": lambda: ", ".join(cache.unsynced()) or None,
            "heard": lambda: ", ".join(cache.silent()) or None,
        },
        registry=REGISTRY,
        port=settings.health_port,
        metrics_port=settings.metrics_port,
    )
