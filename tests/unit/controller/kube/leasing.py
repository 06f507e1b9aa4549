"""What electors compete for, and a candidate on virtual time."""

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

from aurora_controller.kube.errors import AlreadyExists, Conflict, ConnectionFailed, NotFound, OutcomeUnknown
from aurora_controller.kube.leader_election import LeaderElector, WriteGate
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from tests.unit.fakes.clock import FakeClock

LEASE = ObjectKey("aurora", "controller")


class LeaseServer:
    """Keeps one Lease, with optimistic locking; breaks on demand."""

    def __init__(self) -> None:
        self.lease: Manifest | None = None
        self.version = 0
        self.requests: list[str] = []
        self.is_away = False
        self.hangs = False
        self.conflicts = 0
        self.loses_answers = False
        self.dawdle: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    async def get(self, kind: Kind, key: ObjectKey) -> Manifest:
        await self._arrive("GET")
        if self.lease is None:
            raise NotFound("no lease", code=404)
        return copy.deepcopy(self.lease)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        await self._arrive("POST")
        if self.lease is not None:
            raise AlreadyExists("lease exists", code=409)
        return self._store(manifest)

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        await self._arrive("PUT")
        if self.lease is None:
            raise NotFound("no lease", code=404)
        stale = manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]
        if stale or self.conflicts > 0:
            self.conflicts -= 1
            raise Conflict("the object has been modified", code=409)
        return self._store(manifest)

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec

    async def _arrive(self, method: str) -> None:
        self.requests.append(method)
        await self.dawdle()
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise ConnectionFailed("connection refused")

    def _store(self, manifest: Manifest) -> Manifest:
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        if self.loses_answers:
            raise OutcomeUnknown("connection reset")
        return copy.deepcopy(self.lease)


class Candidate:
    """An elector and what it does, as a task."""

    def __init__(self, server: LeaseServer, clock: FakeClock, identity: str, *, jitter: float = 0.0) -> None:
        self.gate = WriteGate(open_seconds=10, seconds=clock.monotonic)
        self.elector = LeaderElector(
            client=server, lease=LEASE, identity=identity, clock=clock, gate=self.gate, jitter=lambda: jitter
        )
        self.has_led = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self.elector.acquire()
        self.has_led = True
        await self.elector.keep()

    @property
    def is_leading(self) -> bool:
        return self.has_led and not self.task.done()

    async def stop(self) -> None:
        """A clean stop."""
        self.crash()
        await self.elector.release()

    def crash(self) -> None:
        self.task.cancel()
