"""When pods are asked for their counters, and which count goes into the status. Pure.

Pods are asked only while a decision depends on it: a canary has traffic, or a revision is leaving. What they counted is
written with the counters it came from, so that a restart goes on where the last write was; and it is written at a
change of the weight, at a decision, or once a minute, so that a canary on hold costs next to nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aurora_controller.analysis.accounting import Count, Reading, advance, begin, stand_still
from aurora_controller.analysis.scrape import PodAddress, Scrape
from aurora_controller.api.v1alpha1.mldeployment import MLDeploymentStatus, RolloutPhase
from aurora_controller.kube.meta import uid_of
from aurora_controller.rollout.health import address_of, is_ready
from aurora_controller.rollout.observation import Live
from aurora_controller.rollout.state import State, count_in, remembered

PUBLISH_SECONDS: Final = 60.0
"""Between two counts in the status."""
LOOK_APART_SECONDS: Final = 3.0
"""Two looks closer than this would take a quiet moment for the end of the traffic."""
RETRY_SECONDS: Final = 15.0
"""After pods did not answer."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """Whose pods are to be asked, and how soon after the last time."""

    revisions: frozenset[str]
    pause_seconds: float


def question(status: MLDeploymentStatus, now: datetime, *, settle_seconds: float, is_deciding: bool) -> Question:
    """No revisions while no decision depends on it. ``is_deciding``: the open rollout is about to be decided."""
    state, count = remembered(status, now), count_in(status.traffic.observed, now)
    leaving = {one.revision for one in state.leaving if now >= one.until}
    is_due = is_count_due(state, count, now, settle_seconds) or (is_deciding and state.weight > 0)
    counted = {revision.name for revision in (state.stable, state.canary) if revision is not None and is_due}
    is_urgent = bool(leaving) or is_deciding or count is None
    # A little less than a minute, or the next look would often come too early by a moment.
    pause = LOOK_APART_SECONDS if is_urgent else PUBLISH_SECONDS - 5.0
    return Question(revisions=frozenset(leaving | counted), pause_seconds=pause)


def is_count_due(state: State, count: Count | None, now: datetime, settle_seconds: float) -> bool:
    return seconds_to_count(state, count, now, settle_seconds) == 0


def seconds_to_count(state: State, count: Count | None, now: datetime, settle_seconds: float) -> float | None:
    """Until stable and canary are to be asked; None while the canary has no traffic.

    The first look waits until the router follows the weight: what came before was split otherwise.
    """
    if state.weight == 0 or state.canary is None or state.phase is not RolloutPhase.CANARY:
        return None
    if count is None:
        return max(0.0, settle_seconds - state.seconds_at_weight(now))
    return max(0.0, PUBLISH_SECONDS - (now - count.at).total_seconds())


def addresses(live: Iterable[Live]) -> list[PodAddress]:
    """Of the ready pods."""
    return [
        PodAddress(uid=uid_of(pod), ip=address_of(pod), revision=one.name)
        for one in live
        for pod in one.pods
        if is_ready(pod) and address_of(pod)
    ]


def quiet_revisions(live: Iterable[Live], before: Sequence[Reading] | None, scrape: Scrape | None) -> frozenset[str]:
    """Whose ready pods all answered in two looks and counted nothing in between."""
    if before is None or scrape is None:
        return frozenset()
    return frozenset(
        one.name
        for one in live
        if one.ready > 0 and stand_still(before, scrape.readings, [pod.uid for pod in addresses([one])])
    )


def next_count(before: State, after: State, count: Count | None, scrape: Scrape | None, now: datetime) -> Count | None:
    """The count for the status: ``count`` itself while there is nothing worth a write."""
    if after.canary is None or after.stable is None or after.weight == 0:
        return None
    if before.canary is None or before.canary.name != after.canary.name or before.weight != after.weight:
        return None  # another split: what comes is counted from its first look on
    on_trial = {after.canary.name, after.stable.name}
    readings = [reading for reading in (scrape.readings if scrape else ()) if reading.revision in on_trial]
    if not readings:
        return count
    if count is None:
        return begin(readings, now)
    advanced = advance(count, readings, canary=after.canary.name, now=now)
    return advanced if advanced.total != count.total else count
