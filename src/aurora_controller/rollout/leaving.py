"""Revisions without traffic on their way out: warm for the rollback window, then drained, then gone. Pure.

A revision leaves when its window is over and its pods' counters stand still, or at its deadline. Deployments that
nothing refers to (left by a controller that died, or whose status was lost) are drained the same way.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from aurora_controller.rollout.facts import Facts
from aurora_controller.rollout.revision import Revision
from aurora_controller.rollout.state import Leaving, State

LEFTOVER_DRAIN_SECONDS: Final = 30.0


def leave(state: State, revision: Revision | None, *, now: datetime, window: float, drain: float) -> State:
    """``revision`` gets no traffic any more: it stays ``window`` seconds, and ``drain`` more at most."""
    if revision is None:
        return state
    until = now + timedelta(seconds=window)
    entry = Leaving(
        revision=revision.name, version=revision.version, until=until, deadline=until + timedelta(seconds=drain)
    )
    others = tuple(one for one in state.leaving if one.revision != revision.name)
    return replace(state, leaving=(*others, entry))


def noted_leaving(state: State, facts: Facts, now: datetime) -> State:
    """Forgets those that are gone, due or wanted again, and takes note of those that nobody refers to."""
    if state.stable is None:
        return state
    in_use = {revision.name for revision in (state.stable, state.canary) if revision is not None}
    staying = tuple(
        one
        for one in (_within_window(one, facts, now) for one in state.leaving)
        if one.revision in facts.existing and one.revision not in in_use and not _is_due(one, facts, now)
    )
    known = in_use | {one.revision for one in state.leaving}
    state = replace(state, leaving=staying)
    for name, pods in facts.existing.items():
        if name not in known and pods.pods_ready > 0:
            leftover = Revision(name=name, version=facts.versions.get(name, 0), digest="")
            # Nobody knows when it last had traffic: the router has its time first.
            state = leave(state, leftover, now=now, window=facts.settle_seconds, drain=LEFTOVER_DRAIN_SECONDS)
    return state


def _within_window(one: Leaving, facts: Facts, now: datetime) -> Leaving:
    """No later than if it left now: its moments may be of a clock that was ahead of ours, or of a longer window."""
    longest = timedelta(seconds=max(facts.rollback_window_seconds, facts.settle_seconds))
    late = max(timedelta(), one.until - now - longest)
    return replace(one, until=one.until - late, deadline=one.deadline - late)


def _is_due(one: Leaving, facts: Facts, now: datetime) -> bool:
    if now < one.until:
        return False
    pods = facts.existing.get(one.revision)
    is_empty = pods is None or pods.pods_ready == 0
    return is_empty or one.revision in facts.quiet or now >= one.deadline
