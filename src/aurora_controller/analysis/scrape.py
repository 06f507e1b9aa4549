"""Reads the pods' own counters. The only I/O of this package; a pod that does not answer is reported, not raised."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp
from pydantic import ValidationError

from aurora_controller.analysis.accounting import Reading
from aurora_runtime.contract import COUNTERS_PATH, METRICS_PORT, ServingCounters

TIMEOUT_SECONDS: Final = 2.0
"""For one pod; a pod that is slower than this is heard next time."""
TOTAL_SECONDS: Final = 5.0
"""For all pods of one scrape: a reconcile never waits longer."""
CONCURRENCY: Final = 32
_MAX_BODY_BYTES: Final = 4096


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

        try:
            async with asyncio.timeout(self.total_seconds), asyncio.TaskGroup() as group:
                for pod in pods:
                    group.create_task(ask(pod))
        except TimeoutError:
            pass  # those that answered in time are worth having
        return Scrape(readings=list(readings.values()), silent=[pod.uid for pod in pods if pod.uid not in readings])

    async def _ask(self, pod: PodAddress) -> Reading | None:
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        try:
            async with (
                self._slots,
                asyncio.timeout(self.timeout_seconds),
                self.session.get(f"http://{host}:{self.port}{COUNTERS_PATH}", allow_redirects=False) as response,
            ):
                body = await _body(response) if response.status == 200 else b""
            counters = ServingCounters.model_validate_json(body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValidationError):
            return None
        # Addresses are re-used: a pod that came after the one we mean answers for itself.
        return Reading.of(pod.uid, counters) if counters.revision == pod.revision else None


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The start of it: the pod may run the user's image and send anything."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_MAX_BODY_BYTES):
        body += chunk
        if len(body) >= _MAX_BODY_BYTES:
            break
    return bytes(body)
