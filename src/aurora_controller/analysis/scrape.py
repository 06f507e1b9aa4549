"""Reads the pods' own counters. The only I/O of this package; a pod that does not answer is reported, not raised."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp
from pydantic import ValidationError

from aurora_controller.analysis.accounting import Reading
from aurora_controller.kube.pod_http import POD_ERRORS, get_from_pod
from aurora_runtime.contract import COUNTERS_PATH, METRICS_PORT, ServingCounters

TIMEOUT_SECONDS: Final = 2.0
"""For one pod; a pod that is slower than this is heard next time."""
TOTAL_SECONDS: Final = 5.0
"""For all pods of one scrape: a reconcile never waits longer."""
CONCURRENCY: Final = 32


@dataclass(frozen=True, kw_only=True)
class PodAddress:
    """A serving pod that can be asked."""

    uid: str
    ip: str
    revision: str


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """What came back from one round."""

    readings: Sequence[Reading] = ()
    silent: Sequence[str] = ()
    """Uids of pods that did not answer."""


class CounterReader(Protocol):
    """Asks pods for their counters; never raises but for cancellation."""

    async def read(self, pods: Sequence[PodAddress]) -> Scrape: ...


@dataclass(kw_only=True)
class HttpCounterReader:
    """Asks the pods' metrics ports, ``CONCURRENCY`` of them at a time over all scrapes."""

    session: aiohttp.ClientSession
    port: int = METRICS_PORT
    timeout_seconds: float = TIMEOUT_SECONDS
    total_seconds: float = TOTAL_SECONDS
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY), init=False)

    async def read(self, pods: Sequence[PodAddress]) -> Scrape:
        readings: dict[str, Reading] = {}

        async def ask(pod: PodAddress) -> None:
            reading = await self._ask(pod)
            if reading is not None:
                readings[pod.uid] = reading

        with suppress(TimeoutError):  # those that answered in time are worth having
            async with asyncio.timeout(self.total_seconds), asyncio.TaskGroup() as group:
                for pod in pods:
                    group.create_task(ask(pod))
        return Scrape(readings=list(readings.values()), silent=[pod.uid for pod in pods if pod.uid not in readings])

    async def _ask(self, pod: PodAddress) -> Reading | None:
        try:
            async with self._slots, asyncio.timeout(self.timeout_seconds):
                body = await get_from_pod(self.session, ip=pod.ip, port=self.port, path=COUNTERS_PATH)
            counters = ServingCounters.model_validate_json(body)
        except (*POD_ERRORS, ValidationError):
            return None
        # Addresses are re-used: a pod that came after the one we mean answers for itself.
        return Reading.of(pod.uid, counters) if counters.revision == pod.revision else None
