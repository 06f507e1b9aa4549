"""A controller of widgets on a cluster in memory, and the ways to hurt it."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aurora_controller.kube.conditions import conditions_of
from aurora_controller.kube.consistency import ConsistencyStore
from aurora_controller.kube.controller import Controller
from aurora_controller.kube.executor import Executor
from aurora_controller.kube.meta import Manifest
from aurora_controller.kube.reconcile import EventNote
from tests.unit.controller.kube.widgets import KINDS, WIDGET, WidgetReconciler
from tests.unit.fakes.clock import FakeClock, settle
from tests.unit.fakes.cluster import FakeCluster
from tests.unit.fakes.metrics import series


class Notes:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def note(self, about: Manifest, note: EventNote) -> None:
        self.sent.append((note.type, note.reason))


class World:
    """A cluster in memory and a controller of widgets, which may be restarted."""

    names = itertools.count()

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(*KINDS)
        self.notes = Notes()
        self.reconciler = self.new_reconciler()

    def new_reconciler(self) -> WidgetReconciler:
        return WidgetReconciler(cache=self.cluster.cache, name=f"widget-{next(World.names)}")

    @asynccontextmanager
    async def controller(
        self,
        *,
        workers: int = 1,
        timeout_seconds: float = 120,
        before_start: Callable[[Controller], None] = lambda _: None,
    ) -> AsyncIterator[Controller]:
        """A process with empty memory; it does not drain when the block ends."""
        writes = ConsistencyStore(cache=self.cluster.cache, clock=self.clock)
        self.cluster.on_any_change = writes.changed
        controller = Controller(
            reconciler=self.reconciler,
            cache=self.cluster.cache,
            executor=Executor(
                client=self.cluster, writes=writes, field_manager="us", intent_annotation="example.com/intent"
            ),
            own_writes=writes,
            events=self.notes,
            clock=self.clock,
            workers=workers,
            reconcile_timeout_seconds=timeout_seconds,
        )
        self.cluster.forget_handlers()
        for watch in controller.watches:
            self.cluster.subscribe(watch, partial(controller.on_change, watch))
        before_start(controller)
        running = asyncio.create_task(controller.run())
        await settle()
        try:
            yield controller
        finally:
            running.cancel()
            await asyncio.wait([running])
        self.cluster.check_nothing_mutated()

    async def restart(self) -> None:
        """A new process runs until it has nothing to do at once."""
        self.reconciler = self.new_reconciler()
        self.cluster.on_write = self.cluster.after_write = lambda _: None
        async with self.controller():
            await self.clock.advance(1)

    def conditions(self, name: str = "wheel") -> dict[str, tuple[str, str]]:
        return {
            condition["type"]: (condition["status"], condition["reason"])
            for condition in conditions_of(self.cluster.live(WIDGET, name))
        }

    def count(self, metric: str, **labels: str) -> float:
        return sum(series(metric, controller=self.reconciler.name, **labels))

    def fails_with(self, error: Exception) -> None:
        def fail(_: Any) -> None:
            raise error

        self.reconciler.before_plan = fail


class Killed(BaseException):
    """The process is gone."""


def kill_at(number: int) -> Callable[[str], None]:
    seen = itertools.count()

    def kill(_: str) -> None:
        if next(seen) == number:
            raise Killed

    return kill


def refuse(verb: str, error: Exception) -> Callable[[str], None]:
    def refuse_write(line: str) -> None:
        if line.startswith(verb):
            raise error

    return refuse_write
