"""The Widget controller on ``aurora_controller.kube``: ``python -m bench.controller.aurora.widgets``."""

import asyncio
import logging
import os
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from aurora_controller.kube.cache import Cache
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.conditions import conditions_of, set_condition
from aurora_controller.kube.config import load_config
from aurora_controller.kube.consistency import ConsistencyStore
from aurora_controller.kube.controller import Controller
from aurora_controller.kube.events import EventRecorder
from aurora_controller.kube.executor import Executor
from aurora_controller.kube.manager import Manager, NoElection, NoHealth
from aurora_controller.kube.meta import DEPLOYMENT, INGRESS, SERVICE, Kind, Manifest, ObjectKey, PolicyRule, is_deleting
from aurora_controller.kube.ownership import controller_of
from aurora_controller.kube.reconcile import Apply, ObjectReader, PatchStatus, Plan, Request, Watch
from aurora_controller.kube.rest import RestClient
from bench.controller import children

WIDGET: Final = Kind("bench.aurora.io", "v1alpha1", "Widget", "widgets")
CHILDREN: Final = (DEPLOYMENT, SERVICE, INGRESS)
WORKERS: Final = 10


@dataclass(frozen=True, kw_only=True)
class Observed:
    """A Widget, and its children as the cache holds them, in the order of ``CHILDREN``."""

    widget: Manifest
    children: Sequence[Manifest | None]


def owner(child: Manifest) -> Iterable[Request]:
    reference = controller_of(child)
    if reference is not None and reference["kind"] == WIDGET.kind:
        yield ObjectKey(child["metadata"]["namespace"], reference["name"])


class WidgetReconciler:
    """Brings a Widget to its Deployment, Service and Ingress, and then to Ready."""

    name = "widget"
    kind = WIDGET
    primary_condition = "Ready"
    watches: Sequence[Watch] = tuple(Watch(kind=kind, requests=owner) for kind in CHILDREN)
    rules: Sequence[PolicyRule] = ()

    def __init__(self, cache: ObjectReader) -> None:
        self._cache = cache

    async def observe(self, request: Request) -> Observed | None:
        widget = self._cache.get(WIDGET, request)
        if widget is None or is_deleting(widget):
            return None
        return Observed(widget=widget, children=[self._cache.get(kind, request) for kind in CHILDREN])

    def plan(self, observed: Observed, now: datetime) -> Plan:
        widget = observed.widget
        applies = [
            Apply(manifest=wanted, existing=existing)
            for wanted, existing in zip(children.desired(widget), observed.children, strict=True)
        ]
        generation = widget["metadata"]["generation"]
        conditions = set_condition(
            conditions_of(widget),
            type="Ready",
            status="True",
            reason="Applied",
            message="",
            generation=generation,
            now=now,
        )
        status = {"observedGeneration": generation, "conditions": conditions}
        return Plan(writes=[*applies, PatchStatus(existing=widget, kind=WIDGET, status=status)])


async def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    clock = SystemClock()
    config = await load_config(os.environ, clock=clock)
    async with (
        RestClient(config, clock=clock, max_connections=0) as watches,
        RestClient(config, clock=clock) as writes,
    ):
        cache = Cache(rest=watches, clock=clock)
        own_writes = ConsistencyStore(cache=cache, clock=clock)
        cache.on_progress(own_writes.changed)
        client = KubeClient(writes, kinds=(WIDGET, *CHILDREN))
        events = EventRecorder(client=client, clock=clock, controller="widget-controller", instance="bench")
        controller = Controller(
            reconciler=WidgetReconciler(cache),
            cache=cache,
            executor=Executor(
                client=client,
                writes=own_writes,
                field_manager="widget-controller",
                intent_annotation="bench.aurora.io/intent",
            ),
            own_writes=own_writes,
            events=events,
            clock=clock,
            workers=WORKERS,
        )
        for watch in controller.watches:
            cache.subscribe(watch, partial(controller.on_change, watch))
        manager = Manager(
            caches=cache,
            controllers=[controller],
            events=events,
            election=NoElection(),
            health=NoHealth(),
            clock=clock,
        )
        await manager.run(stop)


if __name__ == "__main__":
    asyncio.run(main())
