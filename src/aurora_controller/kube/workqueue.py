"""Which key a worker takes next.

One entry per key: a hundred events about an object while it waits are one reconcile, and any number of events
while it is being reconciled are exactly one more. A key is never handed to two workers at once.

An entry is either ready or waits for its time. Adding again merges: the higher priority and the earlier time win,
so that an event makes a delayed key ready at once and nothing is run a second time for the delay it replaced.

Ready entries age: one that became ready earlier goes before one of higher priority that came
``AGEING_SECONDS_PER_POINT`` × difference later. Waiting time and priority are thereby one number, the *rank*, which
never changes while an entry waits, so a heap can hold it; and no entry starves. Waiting counts from the first worker
on: what a standby's queue holds when it takes over has not starved, and must not go before news.
Source of the merge rules: controller-runtime, pkg/controller/priorityqueue.
"""

import asyncio
import heapq
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.ratelimit import ExponentialBackoff

Key = TypeVar("Key", bound=Hashable)

NORMAL_PRIORITY: Final = 0
LOW_PRIORITY: Final = -100
"""For what a start or a relist brings: objects that probably are as they should be."""
AGEING_SECONDS_PER_POINT: Final = 1.0
"""So an entry of LOW_PRIORITY waits at most for those that became ready up to 100 s after it.

Longer than it takes to look at ten thousand objects after a start: until then, news goes first.
"""
_COMPACT_ABOVE: Final = 64


class ShutDown(Exception):
    """The queue hands out nothing any more: a signal, not an error."""


class QueueMetrics(Protocol):
    """What the queue tells about itself; see ``kube/metrics.py``."""

    def added(self) -> None: ...
    def retried(self) -> None: ...
    def taken(self, waited_seconds: float) -> None: ...
    def finished(self, worked_seconds: float) -> None: ...


class NoQueueMetrics:
    """Counts nothing."""

    def added(self) -> None: ...
    def retried(self) -> None: ...
    def taken(self, waited_seconds: float) -> None: ...
    def finished(self, worked_seconds: float) -> None: ...


@dataclass(slots=True)
class _Entry:
    priority: int
    ready_at: float
    """Monotonic time from which the entry may be taken."""
    rank: float
    """Lower goes first. Only ready entries have a meaningful one."""
    order: int
    """Of insertion into a heap; a heap item with another number is a leftover of an earlier state."""
    ready: bool


class WorkQueue(Generic[Key]):
    """For one event loop. ``get`` is called by any number of workers, each of which calls ``done`` afterwards."""

    def __init__(
        self,
        *,
        clock: Clock,
        backoff: ExponentialBackoff[Key] | None = None,
        metrics: QueueMetrics | None = None,
        ageing_seconds_per_point: float = AGEING_SECONDS_PER_POINT,
    ) -> None:
        self._clock = clock
        self._backoff: ExponentialBackoff[Key] = backoff or ExponentialBackoff()
        self._metrics: QueueMetrics = metrics or NoQueueMetrics()
        self._ageing = ageing_seconds_per_point
        self._entries: dict[Key, _Entry] = {}
        self._ready: list[tuple[float, int, Key]] = []
        self._waiting: list[tuple[float, int, Key]] = []
        self._processing: dict[Key, float] = {}
        self._parked: set[Key] = set()
        self._order = 0
        self._waiters: dict[asyncio.Future[None], None] = {}
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = float("inf")
        self._idle = asyncio.Event()
        self._idle.set()
        self._shut_down = False
        self._has_workers = False

    def add(self, key: Key, *, priority: int = NORMAL_PRIORITY, after_seconds: float = 0.0) -> None:
        """Asks for a run of ``key``, now or later; merged with what is asked already. Ignored after shutdown."""
        if self._shut_down:
            return
        now = self._clock.monotonic()
        ready_at = now + max(0.0, after_seconds)
        entry = self._entries.get(key)
        if entry is None:
            self._metrics.added()
            self._entries[key] = entry = _Entry(priority, ready_at, 0.0, 0, ready=False)
            self._enqueue(key, entry, now)
        elif ready_at < entry.ready_at or priority > entry.priority:
            entry.priority = max(priority, entry.priority)
            entry.ready_at = min(ready_at, entry.ready_at)
            self._enqueue(key, entry, now)

    def add_rate_limited(self, key: Key, *, priority: int = NORMAL_PRIORITY, at_least_seconds: float = 0.0) -> float:
        """Counts a failure of ``key`` and adds it with the resulting delay, which is returned in seconds."""
        delay = max(self._backoff.next_delay(key), at_least_seconds)
        self._metrics.retried()
        self.add(key, priority=priority, after_seconds=delay)
        return delay

    def forget(self, key: Key) -> None:
        """The key succeeded: its next failure is its first."""
        self._backoff.forget(key)

    def failures(self, key: Key) -> int:
        """How often the key failed since it was last forgotten."""
        return self._backoff.failures(key)

    async def get(self) -> tuple[Key, int]:
        """The next key and its priority, once there is one. Raises ShutDown."""
        if not self._has_workers:
            self._open()
        while not self._shut_down:
            taken = self._take()
            if taken is not None:
                return taken
            await self._changed()
        raise ShutDown

    def done(self, key: Key) -> None:
        """The worker that got ``key`` is through with it, whatever came of it."""
        self._metrics.finished(self._clock.monotonic() - self._processing.pop(key))
        if key in self._parked:
            self._parked.discard(key)
            entry = self._entries[key]
            heapq.heappush(self._ready, (entry.rank, entry.order, key))
            self._wake_one()
        if not self._processing:
            self._idle.set()

    def shut_down(self) -> None:
        """Nothing is added or handed out any more. What is queued is dropped: a start looks at everything anyway."""
        self._shut_down = True
        if self._alarm is not None:
            self._alarm.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def drained(self) -> None:
        """Returns once no key is being worked on."""
        await self._idle.wait()

    def depth(self) -> Mapping[int, int]:
        """Number of ready keys by priority; those that wait for their time are not counted."""
        self._ripen(self._clock.monotonic())
        return Counter(entry.priority for entry in self._entries.values() if entry.ready)

    def processing_seconds(self) -> list[float]:
        """How long each key being worked on has been, in no order."""
        now = self._clock.monotonic()
        return [now - start for start in self._processing.values()]

    def _open(self) -> None:
        """The first worker is here: what is ready counts as having become so now."""
        self._has_workers = True
        now = self._clock.monotonic()
        self._ripen(now)
        ready = [(key, entry) for key, entry in self._entries.items() if entry.ready]
        for _, entry in ready:
            entry.rank = now - entry.priority * self._ageing
        self._ready = [(entry.rank, entry.order, key) for key, entry in ready]
        heapq.heapify(self._ready)

    def _enqueue(self, key: Key, entry: _Entry, now: float) -> None:
        self._order += 1
        if entry.ready_at > now:
            entry.order = self._order
            heapq.heappush(self._waiting, (entry.ready_at, entry.order, key))
            self._waiting = self._compacted(self._waiting, ready=False)
            self._arm()
            return
        # A rising priority queues behind those that have it already, unless its own age is worth more.
        rank = (now if entry.ready else entry.ready_at) - entry.priority * self._ageing
        entry.rank = min(rank, entry.rank) if entry.ready else rank
        entry.order = self._order
        entry.ready = True
        if key in self._processing:
            self._parked.add(key)
            return
        heapq.heappush(self._ready, (entry.rank, entry.order, key))
        self._ready = self._compacted(self._ready, ready=True)
        self._wake_one()

    def _take(self) -> tuple[Key, int] | None:
        now = self._clock.monotonic()
        self._ripen(now)
        while self._ready:
            _, order, key = heapq.heappop(self._ready)
            entry = self._entries.get(key)
            if entry is None or entry.order != order or not entry.ready:
                continue
            del self._entries[key]
            self._processing[key] = now
            self._idle.clear()
            self._metrics.taken(now - entry.ready_at)
            if self._ready:
                self._wake_one()
            return key, entry.priority
        return None

    def _ripen(self, now: float) -> None:
        while self._waiting and self._waiting[0][0] <= now:
            _, order, key = heapq.heappop(self._waiting)
            entry = self._entries.get(key)
            if entry is not None and entry.order == order and not entry.ready:
                self._enqueue(key, entry, now)

    def _compacted(self, heap: list[tuple[float, int, Key]], *, ready: bool) -> list[tuple[float, int, Key]]:
        """The heap without leftovers, once they are the greater part of it."""
        if len(heap) <= _COMPACT_ABOVE + 2 * len(self._entries):
            return heap
        live = [
            item
            for item in heap
            if (entry := self._entries.get(item[2])) is not None and entry.order == item[1] and entry.ready == ready
        ]
        heapq.heapify(live)
        return live

    async def _changed(self) -> None:
        """Returns when there may be something to take, or nothing ever again."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters[waiter] = None
        try:
            await waiter
        except asyncio.CancelledError:
            # Woken and cancelled in one turn of the loop: what we were woken for is another worker's now.
            if waiter.done() and not waiter.cancelled():
                self._wake_one()
            raise
        finally:
            self._waiters.pop(waiter, None)

    def _wake_one(self) -> None:
        waiter = next((waiter for waiter in self._waiters if not waiter.done()), None)
        if waiter is not None:
            waiter.set_result(None)

    def _arm(self) -> None:
        """Sees to it that a worker wakes when the next waiting entry's time comes."""
        due = self._waiting[0][0] if self._waiting else float("inf")
        if self._shut_down or due >= self._alarm_at:
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = due
        self._alarm = asyncio.get_running_loop().create_task(self._ring(due))

    async def _ring(self, due: float) -> None:
        await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
        self._alarm, self._alarm_at = None, float("inf")
        self._ripen(self._clock.monotonic())
        self._arm()
