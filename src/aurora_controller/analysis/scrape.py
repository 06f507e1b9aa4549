"""Reads the pods' own counters. The only I/O of this package; a pod that does not answer is reported, not raised."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp
from pydantic import ValidationError

from aurora_controller.analysis.counting import PodCounters
from aurora_runtime.contract import COUNTERS_PATH, METRICS_PORT, ServingCounters

TIMEOUT_SECONDS: Final = 2.0
CONCURRENCY: Final = 32
_MAX_BODY_BYTES: Final = 4096


@dataclass(frozen=True, kw_only=True)
class PodAddress:
    """A serving pod that can be asked."""

    uid: str
    ip: str


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """What came back."""

    answers: Sequence[PodCounters] = ()
    silent: int = 0
    """Pods that did not answer."""


class CounterReader(Protocol):
    """Asks pods for their counters; never raises."""

    async def read(self, pods: Sequence[PodAddress]) -> Scrape: ...


@dataclass(kw_only=True)
class HttpCounterReader:
    """Asks the pods' metrics ports, some at a time."""

    session: aiohttp.ClientSession
    port: int = METRICS_PORT
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY), init=False)

    async def read(self, pods: Sequence[PodAddress]) -> Scrape:
        answers = await asyncio.gather(*(self._ask(pod) for pod in pods))
        heard = [answer for answer in answers if answer is not None]
        return Scrape(answers=heard, silent=len(answers) - len(heard))

    async def _ask(self, pod: PodAddress) -> PodCounters | None:
        host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
        try:
            async with (
                self._slots,
                asyncio.timeout(TIMEOUT_SECONDS),
                self.session.get(f"http://{host}:{self.port}{COUNTERS_PATH}", allow_redirects=False) as response,
            ):
                body = await response.content.read(_MAX_BODY_BYTES) if response.status == 200 else b""
            return PodCounters.of(pod.uid, ServingCounters.model_validate_json(body))
        except (aiohttp.ClientError, OSError, TimeoutError, ValidationError):
            return None
