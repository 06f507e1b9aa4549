"""Every scenario without a fault."""

from collections.abc import Awaitable, Callable

import pytest

from tests.faults.controllers import controller
from tests.faults.proxy import Proxy
from tests.faults.scenarios import DELETIONS, SCENARIOS, Scenario, Stage


@pytest.mark.parametrize("scenario", [*SCENARIOS, *DELETIONS], ids=lambda one: one.name)
async def test_a_scenario_comes_to_its_end(
    scenario: Scenario, proxy: Proxy, open_stage: Callable[[str], Awaitable[Stage]]
) -> None:
    stage = await open_stage(scenario.name)
    async with proxy.door("only") as door, controller(door, stage.namespace):
        await scenario.prepare(stage)
        before = len(proxy.steps(stage.namespace))
        await scenario.tell(stage)
    writes = [f"{write.call} {write.status}" for write in proxy.steps(stage.namespace)[before:]]
    print(*writes, sep="\n")  # noqa: T201
    assert writes or scenario in DELETIONS
