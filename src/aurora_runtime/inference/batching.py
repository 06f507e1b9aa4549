"""The queue before the model: bounded, shared fairly, and merged when requests wait anyway.

Nobody waits for others to come: a request is predicted as soon as a thread is free, together with all that came at
the same time (turn.py). While every thread is busy requests gather, and the next free thread takes many at once,
because eight rows cost a model hardly more than one.

A prediction that is known to take less than a millisecond runs on the event loop itself: handing it to a thread and
back costs half as much again, and blocks the interpreter as long. See docs/adr/0005. Where requests come one by one
it does not even queue. See docs/adr/0008.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np

from aurora_runtime.inference.costs import Costs
from aurora_runtime.inference.eager import Promise
from aurora_runtime.inference.errors import ClientTooBusy, TooBusy, TooLate
from aurora_runtime.inference.turn import Turn
from aurora_runtime.inference.workers import Workers
from aurora_runtime.store.engine import Answers, Rows

Predict = Callable[[Rows], Answers]
Outcome = Answers | Exception

CLIENT_SHARE: Final = 0.75
"""Share of the queue that one client may fill while others have keys too: they always find room."""


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What a Batcher takes."""

    threads: int = 1
    """Predictions that run at the same time."""
    queue: int = 128
    """Requests that may wait."""
    rows: int = 64
    """Requests are merged up to this many rows; 1 turns merging off."""
    seconds: float = 30.0
    """How long a request may wait and be predicted together."""


@dataclass(slots=True, eq=False)
class Ask:
    """Rows to predict for one client. Times are ``perf_counter`` seconds; its own once the future is done."""

    rows: Rows
    client: str
    future: Promise[Answers]
    asked: float
    started: float = 0.0
    finished: float = 0.0


class Predicted(NamedTuple):
    """Answers, how long the request waited for their prediction, and how long that took."""

    answers: Answers
    queue_seconds: float
    predict_seconds: float


def outcomes(predict: Predict, asked: Sequence[Rows]) -> list[Outcome]:
    """The answers to each of several requests, by one call where that works. Pure but for ``predict``.

    A call that fails is made again for each alone, so that a request never pays for another's rows.
    """
    if len(asked) == 1:
        try:
            return [predict(asked[0])]
        except Exception as error:  # noqa: BLE001  it belongs to whoever asked
            return [error]
    try:
        answers = predict(np.concatenate(asked))
    except Exception:  # noqa: BLE001  whose rows they were shows when each is asked alone
        return [outcome for rows in asked for outcome in outcomes(predict, [rows])]
    split: list[Outcome] = []
    begin = 0
    for rows in asked:
        end = begin + len(rows)
        split.append({name: array[begin:end] for name, array in answers.items()})
        begin = end
    return split


@dataclass(kw_only=True)
class Batcher:
    """Predicts for many at once. Belongs to the event loop's thread. ``observe`` is told the size of each batch."""

    predict: Predict
    workers: Workers
    limits: BatchLimits
    observe: Callable[[int], None]
    turn: Turn
    costs: Costs = field(default_factory=Costs)

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Ask] = deque()
        self._waiting_of: Counter[str] = Counter()
        self._unanswered: dict[Ask, None] = {}
        self._running = 0
        self._next_is_due = False
        self._deadline_is_set = False

    @property
    def waiting(self) -> int:
        """Requests whose prediction has not begun."""
        return len(self._waiting)

    async def ask(self, rows: Rows, *, client: str = "", clients: int = 1) -> Predicted:
        """Answers to ``rows`` (rows, features). What is cheap waits for nothing while requests come one by one.

        ``client`` names one of ``clients`` that share the queue. Raises TooBusy, ClientTooBusy and TooLate, and what
        ``predict`` raises for these rows.
        """
        if self.turn.alone and not self._waiting and self.costs.cheap(len(rows)):
            return self._at_once(rows)
        self._go_on_by(self.turn.soon)
        self._admit(client, clients)
        ask = Ask(rows, client, Promise(self.turn), perf_counter())
        self._waiting.append(ask)
        self._waiting_of[client] += 1
        self._unanswered[ask] = None
        if not self._deadline_is_set:
            self._expire_in(self.limits.seconds)
        try:
            answers = await ask.future
        finally:
            del self._unanswered[ask]
        return Predicted(answers, ask.started - ask.asked, ask.finished - ask.started)

    def _at_once(self, rows: Rows) -> Predicted:
        started = perf_counter()
        try:
            answers = self.predict(rows)
        finally:
            seconds = perf_counter() - started
            self.costs.record(len(rows), seconds)
            self.observe(1)
        return Predicted(answers, 0.0, seconds)

    def _admit(self, client: str, clients: int) -> None:
        if len(self._waiting) >= self.limits.queue:
            self._drop_departed()
            self._go_on()
        if len(self._waiting) >= self.limits.queue:
            raise TooBusy(limit=self.limits.queue)
        if clients > 1:
            share = ceil(CLIENT_SHARE * self.limits.queue)
            if self._waiting_of[client] >= share:
                raise ClientTooBusy(client=client, limit=share)

    def _drop_departed(self) -> None:
        remaining = [ask for ask in self._waiting if not ask.future.done()]
        self._waiting = deque(remaining)
        self._waiting_of = Counter(ask.client for ask in remaining)

    # -- from waiting to running

    def _go_on_by(self, soon: Callable[[Callable[[], None]], object]) -> None:
        """When everybody who came at the same time has asked."""
        if not self._next_is_due:
            self._next_is_due = True
            soon(self._begin_together)

    def _begin_together(self) -> None:
        self._next_is_due = False
        self._go_on()

    def _go_on(self) -> None:
        """Begins what can begin: one cheap batch here, or one on each free thread."""
        while self._waiting:
            batch, rows = self._next_batch()
            if not batch:
                continue
            if self.costs.cheap(rows):
                self._finish(batch, *self._timed(batch))
                if self._waiting:
                    self._go_on_by(self._loop.call_soon)  # whoever else waits for the loop goes first
                return
            if self._running == self.limits.threads:
                self._put_back(batch)
                return
            self._running += 1
            self.workers.submit(self._timed, batch).future.add_done_callback(partial(self._free, batch))

    def _next_batch(self) -> tuple[list[Ask], int]:
        """The requests that are predicted together next, and their rows. Those whose client left are forgotten."""
        batch: list[Ask] = []
        total = 0
        while self._waiting and (not batch or total + len(self._waiting[0].rows) <= self.limits.rows):
            ask = self._waiting.popleft()
            self._waiting_of[ask.client] -= 1
            if not ask.future.done():
                batch.append(ask)
                total += len(ask.rows)
        return batch, total

    def _put_back(self, batch: Sequence[Ask]) -> None:
        self._waiting.extendleft(reversed(batch))
        self._waiting_of.update(ask.client for ask in batch)

    def _timed(self, batch: Sequence[Ask]) -> tuple[list[Outcome], float, float]:
        started = perf_counter()
        answered = outcomes(self.predict, [ask.rows for ask in batch])
        return answered, started, perf_counter()

    def _free(self, batch: Sequence[Ask], done: "asyncio.Future[tuple[list[Outcome], float, float]]") -> None:
        """A thread has finished a batch."""
        self._running -= 1
        self._finish(batch, *done.result())
        self._go_on()

    def _finish(self, batch: Sequence[Ask], answered: Sequence[Outcome], started: float, finished: float) -> None:
        self.costs.record(sum(len(ask.rows) for ask in batch), finished - started)
        self.observe(len(batch))
        for ask, outcome in zip(batch, answered, strict=True):
            ask.started, ask.finished = started, finished
            if ask.future.done():
                continue
            if isinstance(outcome, Exception):
                ask.future.set_exception(outcome)
            else:
                ask.future.set_result(outcome)

    # -- deadlines: one timer, for whoever has waited longest

    def _expire_in(self, seconds: float) -> None:
        self._deadline_is_set = True
        self._loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        self._deadline_is_set = False
        now = perf_counter()
        for ask in self._unanswered:
            remaining = ask.asked + self.limits.seconds - now
            if remaining > 0:
                self._expire_in(remaining)
                return
            if not ask.future.done():
                ask.future.set_exception(TooLate(seconds=self.limits.seconds))
