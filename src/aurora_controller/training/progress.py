"""Asks a running trainer how far it is. The only I/O of this package, and never worth waiting for."""

from dataclasses import dataclass, field
from typing import Final, Protocol

import aiohttp
from pydantic import ValidationError

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.pod_http import POD_ERRORS, get_from_pod
from aurora_runtime.contract import METRICS_PORT, PROGRESS_PATH, TrainingProgress

INTERVAL_SECONDS: Final = 15.0
"""A trainer that answers is asked at most this often."""
FIRST_RETRY_SECONDS: Final = 5.0
"""One that does not answer yet is asked again after so long, and ever more seldom: 5 s, 15 s, 45 s, …"""
_LAST_RETRY_SECONDS: Final = 300.0
_TIMEOUT_SECONDS: Final = 1.0
_FORGET_AFTER_SECONDS: Final = 900.0


class ProgressReader(Protocol):
    """How far the trainer of a pod is."""

    async def read(self, *, pod_uid: str, pod_ip: str) -> TrainingProgress | None:
        """What it told within the last 15 s, or None when it does not tell. Never raises, and takes at most 1 s."""
        ...


@dataclass(frozen=True)
class _Answer:
    asked_at: float
    progress: TrainingProgress | None
    failures: int
    """How often in a row it did not tell."""

    @property
    def holds_for_seconds(self) -> float:
        if not self.failures:
            return INTERVAL_SECONDS
        return min(FIRST_RETRY_SECONDS * 3.0 ** (self.failures - 1), _LAST_RETRY_SECONDS)


@dataclass(kw_only=True)
class HttpProgressReader:
    """Reads ``/progress`` from the pod's metrics port and remembers the answer until it may ask again."""

    session: aiohttp.ClientSession
    clock: Clock
    port: int = METRICS_PORT
    _answers: dict[str, _Answer] = field(default_factory=dict, init=False)

    async def read(self, *, pod_uid: str, pod_ip: str) -> TrainingProgress | None:
        now = self.clock.monotonic()
        known = self._answers.get(pod_uid)
        if known is not None and now - known.asked_at < known.holds_for_seconds:
            return known.progress
        self._forget_old(now)
        progress = await self._ask(pod_ip)
        failures = 0 if progress is not None else (known.failures if known is not None else 0) + 1
        self._answers[pod_uid] = _Answer(now, progress, failures)
        return progress

    async def _ask(self, pod_ip: str) -> TrainingProgress | None:
        try:
            async with self.clock.timeout(_TIMEOUT_SECONDS):
                body = await get_from_pod(self.session, ip=pod_ip, port=self.port, path=PROGRESS_PATH)
            return TrainingProgress.model_validate_json(body)
        except (*POD_ERRORS, ValidationError):
            return None  # progress is nice to have and no more

    def _forget_old(self, now: float) -> None:
        for uid in [uid for uid, answer in self._answers.items() if now - answer.asked_at > _FORGET_AFTER_SECONDS]:
            del self._answers[uid]
