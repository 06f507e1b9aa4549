"""T1: the controller dies before, in and after every write of every scenario, and its successor ends the same.

A learning run numbers the writes. Controllers run inside this process here; ``controllers.py`` says why that is the
same to the cluster, and ``test_kills.py`` kills the program itself.
"""

from collections.abc import Mapping
from typing import Final

import pytest

from tests.faults.proxy import Proxy
from tests.faults.rules import Action, Delay, LoseAnswer, Refuse, Rule
from tests.faults.runs import Case, OpenStage, compare, learn
from tests.faults.scenarios import SCENARIOS, Scenario

POINTS: Final[Mapping[str, Action]] = {
    "before it is sent": Refuse(),
    "performed, the answer lost": LoseAnswer(),
    "after its answer": Delay(seconds=0),
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.name)
async def test_a_controller_killed_at_any_write_ends_at_the_same_state(
    scenario: Scenario, proxy: Proxy, open_stage: OpenStage
) -> None:
    reference = await learn(scenario, proxy, open_stage)
    cases = [
        Case(
            name=f"write {number} ({write.call}), {point}",
            rules=[Rule(action=action, steps_only=True, nth=number, kills=True)],
        )
        for number, write in enumerate(reference.steps, start=1)
        for point, action in POINTS.items()
    ]
    await compare(reference, cases, proxy, open_stage)
