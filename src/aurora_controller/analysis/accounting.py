"""What the pods counted: the canary's share of the requests, and whether a revision still gets any. Pure values.

Counters are cumulative and die with their process, so what counts are increases per (pod, process start): a process
that started during the count counts from 0, one that was there before counts from where it was first seen. Requests
that a pod answered after its last reading, and took with it, are unseen.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aurora_runtime.contract import ServingCounters

ENOUGH_REQUESTS = 200
"""Below this many requests the share says nothing."""
TOLERANCE_POINTS = 2.0
"""Percent points that a router may be off beside chance."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One pod's answer."""

    pod: str
    """Its uid."""
    revision: str
    start_time: float
    """Unix seconds of the process start."""
    requests: int
    in_flight: int = 0

    @classmethod
    def of(cls, pod_uid: str, counters: ServingCounters) -> "Reading":
        return cls(
            pod=pod_uid,
            revision=counters.revision,
            start_time=counters.start_time,
            requests=counters.requests,
            in_flight=counters.in_flight,
        )


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Where a pod's counter stood."""

    start_time: float
    requests: int


@dataclass(frozen=True, kw_only=True)
class Count:
    """Requests of stable and canary between two moments, and the counters that the next moment goes on from."""

    since: datetime
    at: datetime
    stable: int = 0
    canary: int = 0
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """By pod uid."""

    @property
    def total(self) -> int:
        return self.stable + self.canary

    @property
    def canary_percent(self) -> float:
        return 100.0 * self.canary / self.total if self.total else 0.0


def begin(readings: Iterable[Reading], now: datetime) -> Count:
    """A count of nothing yet."""
    return Count(since=now, at=now, marks={reading.pod: _mark(reading) for reading in readings})


def advance(count: Count, readings: Iterable[Reading], *, canary: str, now: datetime) -> Count:
    """With what ``readings`` add; every revision but ``canary`` is stable's. A pod not heard keeps its mark."""
    marks, added = dict(count.marks), {True: 0, False: 0}
    for reading in readings:
        added[reading.revision == canary] += _increase(marks.get(reading.pod), reading, count.since)
        marks[reading.pod] = _mark(reading)
    return Count(
        since=count.since, at=now, stable=count.stable + added[False], canary=count.canary + added[True], marks=marks
    )


def _increase(mark: Mark | None, reading: Reading, since: datetime) -> int:
    if mark is not None and mark.start_time == reading.start_time:
        return max(0, reading.requests - mark.requests)
    # Another process, or a pod that did not answer before: what it counted before the count began is not ours.
    return reading.requests if reading.start_time >= since.timestamp() else 0


def _mark(reading: Reading) -> Mark:
    return Mark(start_time=reading.start_time, requests=reading.requests)


def fits(count: Count, weight: int) -> bool | None:
    """Whether the share is within ``band`` of the weight; None when there are too few requests to tell."""
    if count.total < ENOUGH_REQUESTS:
        return None
    return abs(count.canary_percent - weight) <= band(weight, count.total)


def band(weight: int, requests: int) -> float:
    """Percent points around the weight: the tolerance and three standard errors of a random split."""
    share = weight / 100.0
    return TOLERANCE_POINTS + 300.0 * math.sqrt(share * (1.0 - share) / requests)


def stand_still(before: Iterable[Reading], after: Iterable[Reading], pods: Iterable[str]) -> bool:
    """Whether all of ``pods`` answered both times, counted nothing in between and have nothing in flight."""
    first = {reading.pod: reading for reading in before}
    second = {reading.pod: reading for reading in after}
    return all(
        pod in first and pod in second and _mark(first[pod]) == _mark(second[pod]) and second[pod].in_flight == 0
        for pod in pods
    )
