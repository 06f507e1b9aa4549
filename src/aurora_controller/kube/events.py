"""Kubernetes Events (events.k8s.io/v1) about reconciled objects: best effort, and never in a reconcile's way.

A note is queued and sent by a task of its own; a full queue drops it. The same note again within six minutes becomes
a *series* of the first Event, sent at once the second time and then every 30 minutes at most. Unlike client-go's
recorder, another message makes another Event: "attempt 2 failed" must not vanish behind "attempt 1 failed". What
keeps a chatty object cheap instead is a bucket of 25 Events, refilled by one in 5 minutes.
"""

import asyncio
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import uuid4

import structlog

from aurora_controller.kube.clock import Clock, format_micro_time
from aurora_controller.kube.errors import ApiError, ServerError, StatusError, TooManyRequests
from aurora_controller.kube.meta import EVENT, Kind, Manifest, ObjectKey, key_of, uid_of
from aurora_controller.kube.metrics import EVENTS_DISCARDED
from aurora_controller.kube.reconcile import EventNote

_QUEUE_LENGTH: Final = 1000
_MAX_TRIES: Final = 12
_RETRY_SECONDS: Final = 10.0
_SERIES_ENDS_AFTER_SECONDS: Final = 360.0
_SERIES_REFRESH_SECONDS: Final = 1800.0
_BURST: Final = 25.0
_REFILL_SECONDS: Final = 300.0
_REMEMBERED: Final = 4096
_MAX_NOTE_BYTES: Final = 1024
_MAX_FIELD_LENGTH: Final = 128
_MAX_NAME_LENGTH: Final = 253

log = structlog.get_logger(__name__)


class EventClient(Protocol):
    """What the recorder needs of ``kube/client.py``."""

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest: ...
    async def merge_patch(
        self, kind: Kind, key: ObjectKey, patch: Mapping[str, Any], *, subresource: str | None = None
    ) -> Manifest: ...


@dataclass(slots=True)
class _Series:
    """An Event that was made, and how often its note came since."""

    key: ObjectKey
    count: int
    seen_at: float
    sent_at: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class EventRecorder:
    """``note`` may be called from anywhere in the event loop; ``run`` sends until cancelled."""

    def __init__(
        self,
        *,
        client: EventClient,
        clock: Clock,
        controller: str,
        instance: str,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._clock = clock
        self._controller = controller
        self._instance = instance[:_MAX_FIELD_LENGTH]
        self._jitter = jitter
        self._queue: asyncio.Queue[Manifest] = asyncio.Queue(maxsize=_QUEUE_LENGTH)
        self._series: OrderedDict[tuple[str, EventNote], _Series] = OrderedDict()
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def note(self, about: Mapping[str, Any], note: EventNote) -> None:
        """Queues an Event about a stored object."""
        now = self._clock.monotonic()
        known = (uid_of(about), note)
        series = self._series.get(known)
        if series is not None and now - series.seen_at < _SERIES_ENDS_AFTER_SECONDS:
            self._repeat(known, series, now)
            return
        if not self._has_token(uid_of(about), now):
            EVENTS_DISCARDED.labels(why="spam").inc()
            return
        event = self._event(about, note)
        self._series[known] = _Series(key=key_of(event), count=1, seen_at=now, sent_at=now)
        _forget_oldest(self._series)
        self._enqueue(event)

    async def run(self) -> None:
        """Sends what is queued. A server that is away delays Events, then costs them, and nothing else."""
        while True:
            event = await self._queue.get()
            await self._send(event)
            self._queue.task_done()

    async def flush(self) -> None:
        """Returns once everything queued was sent or given up."""
        await self._queue.join()

    def _repeat(self, known: tuple[str, EventNote], series: _Series, now: float) -> None:
        series.count += 1
        series.seen_at = now
        self._series.move_to_end(known)
        if series.count > 2 and now - series.sent_at < _SERIES_REFRESH_SECONDS:
            return
        series.sent_at = now
        observed = {"count": series.count, "lastObservedTime": format_micro_time(self._clock.now())}
        self._enqueue({"series": observed, "metadata": {"namespace": series.key.namespace, "name": series.key.name}})

    def _has_token(self, uid: str, now: float) -> bool:
        bucket = self._buckets.setdefault(uid, _Bucket(tokens=_BURST, at=now))
        self._buckets.move_to_end(uid)
        _forget_oldest(self._buckets)
        bucket.tokens = min(_BURST, bucket.tokens + (now - bucket.at) / _REFILL_SECONDS)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    def _enqueue(self, event: Manifest) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            EVENTS_DISCARDED.labels(why="queue_full").inc()

    async def _send(self, event: Manifest) -> None:
        for _ in range(_MAX_TRIES):
            try:
                if "kind" in event:
                    await self._client.create(EVENT, event)
                else:
                    await self._client.merge_patch(EVENT, key_of(event), {"series": event["series"]})
            except (TooManyRequests, ServerError) as error:
                problem: ApiError = error
            except StatusError as error:
                # Refused for good: the namespace is going, the Event expired, or we may not write any.
                EVENTS_DISCARDED.labels(why="refused").inc()
                log.info("event refused", error=str(error), reason=event.get("reason"))
                return
            except ApiError as error:
                problem = error
            else:
                return
            # ±25 %, so that replicas do not come back in step.
            await self._clock.sleep(_RETRY_SECONDS * (0.75 + self._jitter() / 2))
        EVENTS_DISCARDED.labels(why="unsent").inc()
        log.warning("event not sent", error=str(problem), reason=event.get("reason"))

    def _event(self, about: Mapping[str, Any], note: EventNote) -> Manifest:
        key = key_of(about)
        suffix = f".{uuid4().hex[:16]}"
        return {
            "apiVersion": EVENT.api_version,
            "kind": EVENT.kind,
            "metadata": {
                "namespace": key.namespace or "default",
                "name": key.name[: _MAX_NAME_LENGTH - len(suffix)] + suffix,
            },
            "eventTime": format_micro_time(self._clock.now()),
            "type": note.type,
            "reason": note.reason[:_MAX_FIELD_LENGTH],
            "action": "Reconcile",
            "note": _cut(note.message),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "regarding": {
                "apiVersion": about["apiVersion"],
                "kind": about["kind"],
                "namespace": key.namespace,
                "name": key.name,
                "uid": uid_of(about),
            },
        }


def _cut(text: str) -> str:
    """At most 1024 bytes, as the API demands, and not in the middle of a character."""
    if len(text.encode()) <= _MAX_NOTE_BYTES:
        return text
    return text.encode()[: _MAX_NOTE_BYTES - 4].decode(errors="ignore") + " …"


def _forget_oldest(memory: OrderedDict[Any, Any]) -> None:
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
