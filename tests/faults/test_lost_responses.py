"""T2: a write is performed and nobody hears of it; the controller lives on, looks again and does nothing twice."""

import pytest

from tests.faults.proxy import Proxy
from tests.faults.rules import LoseAnswer, Rule
from tests.faults.runs import Case, OpenStage, compare, learn
from tests.faults.scenarios import SCENARIOS, Scenario


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
async def test_a_lost_answer_makes_nothing_twice(scenario: Scenario, proxy: Proxy, open_stage: OpenStage) -> None:
    reference = await learn(scenario, proxy, open_stage)
    cases = [
        Case(name=f"write {number} ({write.call})", rules=[Rule(action=LoseAnswer(), steps_only=True, nth=number)])
        for number, write in enumerate(reference.steps, start=1)
    ]
    await compare(reference, cases, proxy, open_stage)
