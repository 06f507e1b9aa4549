"""T7: every write of a story is refused at its first try, or never answered; the story ends the same."""

from collections.abc import Mapping
from typing import Final

import pytest

from tests.faults.clocks import FastClock
from tests.faults.oracles import Violations
from tests.faults.rules import Action, Hang, Rule, refusal
from tests.faults.runs import Bench, Tasks, run
from tests.faults.scenarios import ROLLOUT, SCENARIOS, TWO_TRAININGS

STORIES: Final = {one.name: one for one in (*SCENARIOS, ROLLOUT, TWO_TRAININGS)}
ERRORS: Final[Mapping[str, Action]] = {
    "409 Conflict": refusal(409, "Conflict"),
    "429 with Retry-After": refusal(429, "TooManyRequests", retry_after_seconds=1),
    "500": refusal(500, "InternalError"),
    "503": refusal(503, "ServiceUnavailable"),
    "504": refusal(504, "Timeout"),
    "no answer": Hang(),
}
CASES: Final = (
    *(f"{ROLLOUT.name}: {error}" for error in ERRORS if error != "no answer"),
    *(f"{TWO_TRAININGS.name}: {error}" for error in ("409 Conflict", "500")),
    "first-start: no answer",
)
FACTORS: Final = {"429 with Retry-After": 30.0, "no answer": 30.0}
"""Where each refusal takes its time, it passes faster."""


async def meet(case: str, bench: Bench) -> Violations:
    story, _, error = case.partition(": ")
    reference, clock = await bench.learned(STORIES[story]), FastClock(FACTORS.get(error, 10.0))
    refused = Rule(action=ERRORS[error], steps_only=True, each=True, every=2, times=None)
    result = await run(STORIES[story], bench.proxy, bench.open_stage, rules=[refused], reference=reference, clock=clock)
    # Fewer than without a fault: what a retry finds further on is written at once.
    is_met = len(result.fired) >= 0.6 * len(reference.steps)
    return [*reference.differences(result), *([] if is_met else [f"only {len(result.fired)} refusals"])]


@pytest.mark.parametrize("case", CASES)
async def test_a_story_ends_the_same_with_each_write_refused_once(case: str, runs: Tasks) -> None:
    assert await runs[case] == []
