"""One of several replicas acts: the one that holds a Lease.

The holder renews every 2 s; 10 s without a renewal and it stops acting; 15 s after a renewal was last *seen* to
change, by the watcher's own monotonic clock, another may take the Lease. Clocks of two machines are never compared.

Two things go beyond client-go. The elector lives on a thread of its own (``kube/election_thread.py``). And a
``WriteGate`` asks, before each mutating request, whether the last successful renewal *began* less than 10 s ago, on a
clock that also runs while the machine sleeps: a process that was stopped and continued finds the gate shut before it
finds out that it was replaced. What it had sent before has 5 s to arrive.
Source of the protocol: client-go, tools/leaderelection.
"""

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

import structlog

from aurora_controller.kube.clock import Clock, format_micro_time
from aurora_controller.kube.errors import AlreadyExists, ApiError, Conflict, NotFound
from aurora_controller.kube.meta import LEASE, Kind, Manifest, ObjectKey
from aurora_controller.kube.metrics import LEADER, LEADER_SLOWPATH

_JITTER_FACTOR: Final = 1.2
"""Candidates try every 2 to 4.4 s, so that they do not try together."""
_SOONEST_SECONDS: Final = 0.05
_HUNG_AFTER_SECONDS: Final = 20.0
"""So long after its Lease has expired, a leader that works has long stopped by itself."""

log = structlog.get_logger(__name__)


class LeaseClient(Protocol):
    """What the elector needs of ``kube/client.py``. Give it a connection pool of its own."""

    async def get(self, kind: Kind, key: ObjectKey) -> Manifest: ...
    async def create(self, kind: Kind, manifest: Manifest) -> Manifest: ...
    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest: ...


@dataclass(frozen=True, kw_only=True)
class LeaseTimes:
    """In seconds. Raises ValueError unless duration > renew deadline > jittered retry."""

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.duration > self.renew_deadline > self.retry * _JITTER_FACTOR > 0:
            raise ValueError(
                f"a lease of {self.duration:g} s must be longer than its renew deadline of {self.renew_deadline:g} s, "
                f"and that longer than {_JITTER_FACTOR} times the retry period of {self.retry:g} s"
            )

    @property
    def request_timeout(self) -> float:
        """So that one request that hangs leaves time for another."""
        return max(1.0, self.renew_deadline / 2)


def boot_seconds() -> float:
    """Seconds since boot, time asleep included where the system can tell."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class WriteGate:
    """Open for a while after each renewal. Safe to ask from any thread."""

    def __init__(self, *, open_seconds: float, seconds: Callable[[], float] = boot_seconds) -> None:
        self._open_seconds = open_seconds
        self._seconds = seconds
        self._open_until = float("-inf")

    def now(self) -> float:
        return self._seconds()

    def renewed(self, started_at: float) -> None:
        """A renewal succeeded that had begun at ``started_at`` (of ``now``)."""
        self._open_until = started_at + self._open_seconds

    def close(self) -> None:
        self._open_until = float("-inf")

    def is_open(self) -> bool:
        return self._seconds() < self._open_until


class LeaderElector:
    """Acquires, renews and releases one Lease, for one event loop."""

    def __init__(
        self,
        *,
        client: LeaseClient,
        lease: ObjectKey,
        identity: str,
        clock: Clock,
        gate: WriteGate,
        times: LeaseTimes | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._key = lease
        self._identity = identity
        self._clock = clock
        self._gate = gate
        self._times = times or LeaseTimes()
        self._jitter = jitter
        self._lease: Manifest | None = None
        self._spec: Manifest = {}
        self._changed_at = float("-inf")
        self._is_leader = LEADER.labels(name=lease.name)
        self._is_leader.set(0)
        self._slowpath = LEADER_SLOWPATH.labels(name=lease.name)

    async def acquire(self) -> None:
        """Returns once this identity holds the Lease."""
        while not await self._try():
            await self._clock.sleep(self._pause())
        self._is_leader.set(1)
        log.info("leadership acquired", lease=str(self._key), identity=self._identity)

    async def keep(self) -> None:
        """Renews; returns when that failed for the renew deadline, or another holds the Lease."""
        try:
            while True:
                await self._clock.sleep(self._times.retry)
                async with self._clock.timeout(self._times.renew_deadline - self._times.retry):
                    while not await self._try():
                        if self._holder not in {"", self._identity}:
                            return
                        await self._clock.sleep(self._times.retry)
        except TimeoutError:
            return
        finally:
            self._gate.close()
            self._is_leader.set(0)

    async def release(self) -> None:
        """Gives the Lease back, so that nobody waits for it to expire. Best effort, within the renew deadline."""
        self._gate.close()
        if self._holder != self._identity:
            return
        with suppress(TimeoutError):
            async with self._clock.timeout(self._times.renew_deadline):
                while not await self._try_release():
                    await self._clock.sleep(self._times.retry)
                log.info("leadership released", lease=str(self._key))

    def problem(self) -> str | None:
        """For a liveness probe: a leader whose Lease is long expired hangs, for it neither renews nor ends. Any thread.

        As client-go's ``LeaderElector.Check``.
        """
        if self._holder != self._identity:
            return None
        seconds = self._clock.monotonic() - self._expires_at()
        if seconds <= _HUNG_AFTER_SECONDS:
            return None
        return f"the lease {self._key} was not renewed and expired {seconds:.0f} s ago"

    def _pause(self) -> float:
        """Until the next try: the jittered retry period, but no longer than until the Lease we see expires."""
        pause = self._times.retry * (1 + self._jitter() * _JITTER_FACTOR)
        if not self._is_held_by_another():
            return pause
        return min(pause, max(_SOONEST_SECONDS, self._expires_at() - self._clock.monotonic()))

    @property
    def _holder(self) -> str:
        holder: str = self._spec.get("holderIdentity") or ""
        return holder

    async def _try(self) -> bool:
        """One attempt to hold the Lease for its duration; errors are logged and count as failure."""
        started_at = self._gate.now()
        try:
            async with self._clock.timeout(self._times.request_timeout):
                held = await self._try_fast() or await self._try_slow()
        except (ApiError, TimeoutError) as error:
            log.warning("lease not renewed", lease=str(self._key), error=str(error) or type(error).__name__)
            return False
        if held:
            self._gate.renewed(started_at)
        return held

    async def _try_fast(self) -> bool:
        """Renews on what we wrote last: one request, and a conflict if anybody else wrote since."""
        if self._lease is None or self._holder != self._identity:
            return False
        try:
            self._observe(await self._client.replace(LEASE, self._renewed(self._lease)))
        except Conflict:
            self._slowpath.inc()
            return False
        return True

    async def _try_slow(self) -> bool:
        try:
            lease = await self._client.get(LEASE, self._key)
        except NotFound:
            return await self._try_create()
        self._observe(lease)
        if self._is_held_by_another():
            return False
        try:
            self._observe(await self._client.replace(LEASE, self._renewed(lease)))
        except Conflict:
            return False
        return True

    async def _try_create(self) -> bool:
        metadata = {"namespace": self._key.namespace, "name": self._key.name}
        empty: Manifest = {"apiVersion": LEASE.api_version, "kind": LEASE.kind, "metadata": metadata}
        try:
            self._observe(await self._client.create(LEASE, self._renewed(empty)))
        except AlreadyExists:
            return False
        return True

    async def _try_release(self) -> bool:
        try:
            lease = await self._client.get(LEASE, self._key)
            if lease["spec"].get("holderIdentity") != self._identity:
                return True
            now = format_micro_time(self._clock.now())
            spec = {**lease["spec"], "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now}
            self._observe(await self._client.replace(LEASE, {**lease, "spec": spec}))
        except NotFound:
            return True
        except ApiError as error:
            log.info("lease not released yet", lease=str(self._key), error=str(error))
            return False
        return True

    def _observe(self, lease: Manifest) -> None:
        spec = lease.get("spec") or {}
        if spec != self._spec:
            self._changed_at = self._clock.monotonic()
        self._lease, self._spec = lease, spec

    def _expires_at(self) -> float:
        return self._changed_at + float(self._spec.get("leaseDurationSeconds") or 0)

    def _is_held_by_another(self) -> bool:
        return self._holder not in {"", self._identity} and self._clock.monotonic() < self._expires_at()

    def _renewed(self, lease: Manifest) -> Manifest:
        """The Lease as ours, as of now."""
        old: dict[str, Any] = lease.get("spec") or {}
        now = format_micro_time(self._clock.now())
        is_ours = old.get("holderIdentity") == self._identity
        return {
            **lease,
            "spec": {
                **old,
                "holderIdentity": self._identity,
                "leaseDurationSeconds": max(1, round(self._times.duration)),
                "acquireTime": old.get("acquireTime", now) if is_ours else now,
                "renewTime": now,
                "leaseTransitions": old.get("leaseTransitions", 0) + (0 if is_ours or not old else 1),
            },
        }
