"""The loop: take a key, observe, plan, execute; then forget it, ask again later, or back off.

| what a reconcile came to         | asked again                           | told in conditions           |
|----------------------------------|---------------------------------------|------------------------------|
| completed                        | at the next event, or when planned    | what the plan itself says    |
| outdated observation             | with backoff, from 5 ms               | –                            |
| Waiting                          | when it said                          | primary False, Reconciling   |
| Stalled                          | at the next event                     | primary False, Stalled       |
| refused as invalid (422)         | at the next event, or in 5 min        | primary False, Stalled       |
| other refusal, or an exception   | with backoff                          | Reconciling                  |
| API server away or overloaded    | with backoff, or when it said         | Reconciling, if it lasts     |

What is told goes to the object's status and to an Event when the reason changes, not at each failure. An error leaves
the primary condition alone: it says nothing about what runs.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from uuid import uuid4

import structlog
from structlog.contextvars import bound_contextvars

from aurora_controller.kube.clock import Clock
from aurora_controller.kube.errors import ApiError, Invalid
from aurora_controller.kube.executor import Executor, Outcome
from aurora_controller.kube.failure import (
    DeadlineExceeded,
    Failure,
    Severity,
    failure_of,
    failure_status,
)
from aurora_controller.kube.merge_patch import merge_patch
from aurora_controller.kube.meta import Manifest, is_deleting, key_of
from aurora_controller.kube.metrics import QUEUES, WATCH_EVENTS_SKIPPED, ReconcileMetrics, WorkQueueMetrics
from aurora_controller.kube.reconcile import EventNote, ObjectReader, PatchStatus, Plan, Reconciler, Request, Watch
from aurora_controller.kube.workqueue import LOW_PRIORITY, NORMAL_PRIORITY, ShutDown, WorkQueue

DEFAULT_RECONCILE_TIMEOUT_SECONDS: Final = 120.0
_TELL_TRANSIENT_FROM_FAILURE: Final = 8
"""The eighth failure in a row comes after 0.6 s at the earliest: no longer a blip."""
_RETELL_SECONDS: Final = 10.0
"""Between two tries to tell one reason: neither a message that differs at each try nor a status that takes none may
become a write at each try."""

log = structlog.get_logger(__name__)


class OwnWrites(Protocol):
    """Which writes of a request its cache has not seen yet; see ``kube/consistency.py``."""

    async def ready(self, request: Request) -> None: ...
    def clear(self, request: Request) -> None: ...


class Notes(Protocol):
    """Where Events go; see ``kube/events.py``."""

    def note(self, about: Manifest, note: EventNote) -> None: ...


@dataclass(frozen=True, kw_only=True)
class _Word:
    """What was last tried to tell of a request."""

    reason: str
    generation: int
    at: float
    is_told: bool


class Controller:
    """Runs one reconciler with ``workers`` reconciles at a time, never two of one request."""

    def __init__(
        self,
        *,
        reconciler: Reconciler[Any],
        cache: ObjectReader,
        executor: Executor,
        own_writes: OwnWrites,
        events: Notes,
        clock: Clock,
        workers: int = 1,
        reconcile_timeout_seconds: float | None = DEFAULT_RECONCILE_TIMEOUT_SECONDS,
    ) -> None:
        self._reconciler = reconciler
        self._cache = cache
        self._executor = executor
        self._own_writes = own_writes
        self._events = events
        self._clock = clock
        self._workers = workers
        self._timeout_seconds = reconcile_timeout_seconds
        self._primary = getattr(reconciler, "primary_condition", "Ready")
        self._words: dict[Request, _Word] = {}
        self._metrics = ReconcileMetrics(reconciler.name, workers=workers)
        self._queue: WorkQueue[Request] = WorkQueue(clock=clock, metrics=WorkQueueMetrics(reconciler.name))
        QUEUES.watch(reconciler.name, self._queue)

    @property
    def name(self) -> str:
        return self._reconciler.name

    @property
    def watches(self) -> Sequence[Watch]:
        """All that can cause a reconcile: the reconciler's own kind first."""
        return (Watch(kind=self._reconciler.kind, requests=lambda obj: [key_of(obj)]), *self._reconciler.watches)

    def on_change(self, watch: Watch, old: Manifest | None, new: Manifest | None, *, is_initial: bool = False) -> None:
        """An object of ``watch`` appeared, changed or went; ``is_initial`` when a list brought it, not news."""
        for obj in (old, new):
            if obj is None:
                continue
            try:
                requests = list(watch.requests(obj))
            except Exception:
                # One malformed object must not stop the events of all others.
                WATCH_EVENTS_SKIPPED.labels(kind=watch.kind.kind, why="no request").inc()
                log.exception("no request from event", controller=self.name, kind=watch.kind.kind, object=key_of(obj))
                continue
            for request in requests:
                self._queue.add(request, priority=LOW_PRIORITY if is_initial else NORMAL_PRIORITY)

    async def run(self) -> None:
        """Reconciles until ``stop``; a worker that dies takes the others with it."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self.name}-{number}")

    def stop(self) -> None:
        """Takes no further key; reconciles under way end by themselves, and with them ``run``."""
        self._queue.shut_down()

    async def _work(self) -> None:
        while True:
            try:
                request, priority = await self._queue.get()
            except ShutDown:
                return
            self._metrics.active.inc()
            try:
                await self._reconcile(request, priority)
            finally:
                self._metrics.active.dec()
                self._queue.done(request)
            # A reconcile that reads only the cache never suspends: let the watches and probes have their turn.
            await asyncio.sleep(0)

    async def _reconcile(self, request: Request, priority: int) -> None:
        start = self._clock.monotonic()
        with bound_contextvars(
            controller=self.name,
            kind=self._reconciler.kind.kind,
            namespace=request.namespace,
            name=request.name,
            reconcile_id=uuid4().hex,
        ):
            try:
                self._settle(request, priority, await self._attempt(request))
            except Exception as error:  # noqa: BLE001  whatever a reconciler raises costs its own key alone
                await self._fail(request, priority, error)
        self._metrics.seconds.observe(self._clock.monotonic() - start)

    async def _attempt(self, request: Request) -> tuple[Outcome, float | None]:
        try:
            async with self._clock.timeout(self._timeout_seconds):
                return await self._observe_plan_execute(request)
        except TimeoutError as error:
            self._metrics.timeouts.inc()
            raise DeadlineExceeded(self._timeout_seconds or 0.0) from error

    async def _observe_plan_execute(self, request: Request) -> tuple[Outcome, float | None]:
        try:
            await self._own_writes.ready(request)
            observed = await self._reconciler.observe(request)
            if observed is None:
                self._own_writes.clear(request)
                return Outcome.COMPLETED, None
            plan = self._reconciler.plan(observed, self._clock.now())
            outcome = await self._executor.execute(request, plan)
        except TimeoutError as error:
            # Somebody else's deadline, not ours.
            raise RuntimeError(f"timed out: {error}") from error
        if outcome is Outcome.COMPLETED:
            self._send(request, plan.events)
        return outcome, plan.requeue_after_seconds

    def _settle(self, request: Request, priority: int, result: tuple[Outcome, float | None]) -> None:
        outcome, after_seconds = result
        if outcome is Outcome.OUTDATED:
            self._queue.add_rate_limited(request, priority=priority)
            self._metrics.result("requeue")
            return
        self._queue.forget(request)
        self._words.pop(request, None)
        if outcome is Outcome.COMPLETED and after_seconds is not None:
            self._queue.add(request, priority=priority, after_seconds=after_seconds)
            self._metrics.result("requeue_after")
        else:
            self._metrics.result("success")

    async def _fail(self, request: Request, priority: int, error: Exception) -> None:
        failure = failure_of(error)
        failures = self._queue.failures(request) + 1
        is_told = False
        try:
            is_told = await self._tell(request, failure, failures, error)
        except Exception:
            # Telling reads what may be the very reason of the failure. The other keys must not pay for it.
            log.exception("failure not told")
        if failure.severity is Severity.WAITING:
            self._queue.forget(request)
            self._queue.add(request, priority=priority, after_seconds=failure.retry_after_seconds or 0.0)
            self._metrics.result("requeue_after")
            return
        self._metrics.errors.inc()
        self._metrics.result("error")
        if failure.severity is Severity.PANIC:
            self._metrics.panics.inc()
        if failure.is_terminal:
            self._metrics.terminal_errors.inc()
        if failure.is_terminal and is_told:
            self._queue.forget(request)
            if failure.retry_after_seconds is not None:
                self._queue.add(request, priority=priority, after_seconds=failure.retry_after_seconds)
            return
        self._queue.add_rate_limited(request, priority=priority, at_least_seconds=failure.retry_after_seconds or 0.0)

    async def _tell(self, request: Request, failure: Failure, failures: int, error: Exception) -> bool:
        """Log line at every failure, condition and Event when there is something new to say.

        False when that was not heard: who is not asked again by itself must be, until it is.
        """
        said = {"reason": failure.reason, "message": failure.message, "failures": failures}
        if failure.severity is Severity.PANIC:
            log.error("reconcile failed", **said, exc_info=error)
        elif failure.severity in {Severity.WAITING, Severity.STALLED}:
            log.debug("reconcile held up", **said)
        else:
            log.warning("reconcile failed", **said)
        if failure.severity is Severity.TRANSIENT and failures < _TELL_TRANSIENT_FROM_FAILURE:
            return False
        obj = self._cache.get(self._reconciler.kind, request)
        if obj is None or is_deleting(obj):
            return True
        generation, now = obj["metadata"].get("generation", 0), self._clock.monotonic()
        last = self._words.get(request)
        if last and (last.reason, last.generation) == (failure.reason, generation) and now - last.at < _RETELL_SECONDS:
            return last.is_told
        status = failure_status(obj, failure, primary=self._primary, now=self._clock.now())
        if not merge_patch(obj.get("status"), status, partial=True):
            return True
        patch = PatchStatus(existing=obj, kind=self._reconciler.kind, status=status)
        try:
            if await self._executor.execute(request, Plan(writes=[patch])) is not Outcome.COMPLETED:
                return False
            is_told = True
        except ApiError as problem:
            log.warning("failure not written to status", error=str(problem))
            # A rule of the schema may read the very field that is malformed: the server then refuses every status of
            # the object, and an Event is the only place left. What is asked again by itself would fill the Events.
            is_told = isinstance(problem, Invalid) and failure.is_terminal
        self._words[request] = _Word(reason=failure.reason, generation=generation, at=now, is_told=is_told)
        if is_told:
            log.info("reconcile held up", **said)
            self._send(request, [EventNote(type="Warning", reason=failure.reason, message=failure.message)])
        return is_told

    def _send(self, request: Request, notes: Sequence[EventNote]) -> None:
        if not notes:
            return
        about = self._cache.get(self._reconciler.kind, request)
        if about is not None:
            for note in notes:
                self._events.note(about, note)
