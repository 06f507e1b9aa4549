"""T1 and T2: every write of every scenario goes wrong once, and the story ends the same with nothing done twice.

A learning run numbers the writes. Either the controller dies before or after one of them is performed and another
follows it, or it lives on without having heard what became of the write. Controllers run inside this process here;
``controllers.py`` says why that is the same to the cluster, and ``test_kills.py`` kills the program itself.
The runs of all scenarios are beside each other, on a clock by which backoffs and pauses are short.

To die after the answer has come is no third way. A controller keeps nothing outside the cluster, so what it leaves is
all writes up to this one, at some moment before its next: whether it had read the answer dies with it. When the answer
is lost, that is the first such moment; when it is killed before the next is sent, the last. The program itself, in
``test_kills.py``, dies in all three ways.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from tests.faults.clocks import FastClock
from tests.faults.oracles import Violations
from tests.faults.proxy import Write
from tests.faults.rules import Action, LoseAnswer, Refuse, Rule
from tests.faults.runs import AT_ONCE, Bench, Case, Tasks, compare
from tests.faults.scenarios import SCENARIOS

BY_NAME: Final = {scenario.name: scenario for scenario in SCENARIOS}
CRASHES: Final[Mapping[str, Action]] = {
    "killed before it is sent": Refuse(),
    "killed, performed and its answer lost": LoseAnswer(),
}
SLOTS: Final = asyncio.Semaphore(AT_ONCE)
"""Of all scenarios together."""
CRASH: Final = "crash"
LOST_ANSWER: Final = "lost answer"


def cases_of(fault: str, steps: Sequence[Write]) -> Sequence[Case]:
    """At every write."""
    kills = fault == CRASH
    actions = CRASHES if kills else {"its answer lost": LoseAnswer()}
    return [
        Case(
            name=f"write {number} ({write.call}), {what}",
            rules=[Rule(action=action, steps_only=True, nth=number, kills=kills)],
        )
        for number, write in enumerate(steps, start=1)
        for what, action in actions.items()
    ]


def named(fault: str) -> Sequence[str]:
    return [f"{name}: {fault}" for name in BY_NAME]


CASES: Final = (*named(CRASH), *named(LOST_ANSWER))


async def meet(case: str, bench: Bench) -> Violations:
    name, _, fault = case.partition(": ")
    reference = await bench.learned(BY_NAME[name])
    cases = cases_of(fault, reference.steps)
    return await compare(reference, cases, bench.proxy, bench.open_stage, slots=SLOTS, clock=FastClock(5))


@pytest.mark.parametrize("case", named(LOST_ANSWER))
async def test_a_lost_answer_makes_nothing_twice(case: str, runs: Tasks) -> None:
    assert await runs[case] == []


@pytest.mark.parametrize("case", named(CRASH))
async def test_a_controller_killed_at_any_write_ends_at_the_same_state(case: str, runs: Tasks) -> None:
    assert await runs[case] == []
