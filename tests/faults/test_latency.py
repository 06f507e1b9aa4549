"""T8: answers and events come late, some later than anybody waits for them, or a minute long none but a 429.

Nothing is done twice, the story ends the same, and what is refused is not asked for in a hot loop. Time is fast for the
controller; seconds below are its own.
"""

import asyncio
import random
from collections import Counter
from dataclasses import replace
from typing import Final

import pytest

from tests.faults.clocks import FastClock
from tests.faults.mirror import MIRRORED
from tests.faults.oracles import Violations
from tests.faults.rules import Detour, Rule, refusal
from tests.faults.runs import Bench, Run, Tasks, run
from tests.faults.scenarios import ROLLOUT, TWO_TRAININGS, Stage
from tests.faults.streams import late

FACTOR: Final = 30.0
STORMS: Final = {f"{story.name} in a storm": story for story in (ROLLOUT, TWO_TRAININGS)}
OVERLOAD: Final = "too many requests for a minute"
CASES: Final = (*STORMS, OVERLOAD)

MOST_SECONDS: Final = 2.0
LOST_SECONDS: Final = 40.0
"""Of an answer that nobody waits for any more: after 30 s a request is given up."""
LOST_SHARE: Final = 0.05
LOST_EVERY: Final = 8
"""Of the writes one in so many, so that whatever the seed some are performed and given up."""
EVENTS_LATE_SECONDS: Final = 15.0
"""Longer than a reconcile waits to see what it wrote."""

OVERLOAD_SECONDS: Final = 60.0
RETRY_AFTER_SECONDS: Final = 5


async def meet(case: str, bench: Bench) -> Violations:
    return await (meet_overload(bench) if case == OVERLOAD else meet_storm(case, bench))


@pytest.mark.parametrize("case", CASES)
async def test_a_story_ends_the_same_although_the_server_is_slow(case: str, runs: Tasks) -> None:
    assert await runs[case] == []


async def meet_storm(case: str, bench: Bench) -> Violations:
    dice, clock = random.Random(f"{bench.seed} {case}"), FastClock(FACTOR)
    reference = await bench.learned(STORMS[case])

    def seconds() -> float:
        return (LOST_SECONDS if dice.random() < LOST_SHARE else dice.uniform(0.0, MOST_SECONDS)) / FACTOR

    rules = [
        *(
            Rule(
                action=late(dice.uniform(0.0, EVENTS_LATE_SECONDS) / FACTOR),
                verb="watch",
                resource=kind.plural,
                times=None,
            )
            for kind in MIRRORED
        ),
        Rule(
            action=Detour(seconds=lambda: LOST_SECONDS / FACTOR),
            steps_only=True,
            nth=dice.randint(1, LOST_EVERY),
            every=LOST_EVERY,
            times=None,
        ),
        Rule(action=Detour(seconds=seconds), times=None),
    ]
    result = await run(STORMS[case], bench.proxy, bench.open_stage, standing=rules, reference=reference, clock=clock)
    # A decision on an old view ends in a conflict, at worst: those are what lateness costs.
    performed = replace(result, steps=[write for write in result.steps if write.is_done])
    given_up = any(write.is_given_up for write in result.steps)
    return [*reference.differences(performed), *([] if given_up else ["no write was given up"])]


async def meet_overload(bench: Bench) -> Violations:
    clock, reference = FastClock(FACTOR), await bench.learned(ROLLOUT)
    refused = Rule(action=refusal(429, "TooManyRequests", retry_after_seconds=RETRY_AFTER_SECONDS), times=None)

    async def open_overloaded(title: str) -> Stage:
        stage = await bench.open_stage(title)
        rule = bench.proxy.rules.add(replace(refused, namespace=stage.namespace))
        asyncio.get_running_loop().call_later(OVERLOAD_SECONDS / FACTOR, bench.proxy.rules.remove, rule)
        return stage

    result = await run(ROLLOUT, bench.proxy, open_overloaded, reference=reference, clock=clock)
    return [*reference.differences(result), *within_bounds(result)]


def within_bounds(result: Run) -> Violations:
    first = result.requests[0][0]
    asked = Counter(call.resource for at, call in result.requests if at < first + OVERLOAD_SECONDS / FACTOR)
    most = 1 + OVERLOAD_SECONDS / RETRY_AFTER_SECONDS
    found = [f"{count} requests for {what} within a minute" for what, count in asked.items() if count > most]
    return [*found, *([] if len(asked) > 8 else [f"only {len(asked)} collections were asked for"])]
