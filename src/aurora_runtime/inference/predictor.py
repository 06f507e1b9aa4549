"""Predictions off the event loop: one thread, a bounded queue, and no work for clients that went away.

One model, one core: more threads would only wait for each other, and health must answer while a large batch computes.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.inference.errors import TooBusy
from aurora_runtime.inference.metrics import ServerMetrics

Answers = dict[str, NDArray[Any]]


class Predictor:
    """Runs ``predict`` for at most ``limit`` waiting requests."""

    def __init__(
        self, predict: Callable[[NDArray[np.float64]], Answers], *, limit: int, metrics: ServerMetrics
    ) -> None:
        self._predict = predict
        self._limit = limit
        self._metrics = metrics
        self._waiting = 0
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="predict")

    async def predict(self, features: NDArray[np.float64]) -> Answers:
        """Raises TooBusy when the queue is full. A cancelled caller's rows are not computed if still waiting."""
        if self._waiting >= self._limit:
            raise TooBusy(limit=self._limit)
        self._waiting += 1
        self._metrics.queued(self._waiting)
        asked = perf_counter()
        try:
            answers, started, finished = await asyncio.wrap_future(self._pool.submit(self._timed, features))
        finally:
            self._waiting -= 1
            self._metrics.queued(self._waiting)
        self._metrics.observe("queue", started - asked)
        self._metrics.observe("predict", finished - started)
        return answers

    def _timed(self, features: NDArray[np.float64]) -> tuple[Answers, float, float]:
        started = perf_counter()
        answers = self._predict(features)
        return answers, started, perf_counter()

    def close(self) -> None:
        """Waits for the prediction that runs; those that wait are given up."""
        self._pool.shutdown(wait=True, cancel_futures=True)
