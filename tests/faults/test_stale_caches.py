"""T4: events of one kind come late while all others flow; nothing is made or removed twice.

What a reconcile reads of that kind is as old as its events are late: longer than a request waits for its own writes.
"""

from dataclasses import replace
from typing import Final

import pytest

from aurora_controller.kube.consistency import PATIENCE_SECONDS
from tests.faults import oracles
from tests.faults.clocks import FastClock
from tests.faults.oracles import Violations
from tests.faults.rules import Rule
from tests.faults.runs import Bench, Tasks, run
from tests.faults.scenarios import ROLLOUT, TWO_TRAININGS
from tests.faults.streams import late

FACTOR: Final = 30.0
LATE_SECONDS: Final = 15.0
CASES: Final = {
    f"{resource} in {scenario.name}": (resource, scenario)
    for scenario, resources in (
        (ROLLOUT, ("mldeployments", "mlmodels", "mlmodelversions", "deployments", "services", "ingresses", "pods")),
        (TWO_TRAININGS, ("mltrainingjobs", "mlmodelversions", "jobs", "pods")),
    )
    for resource in resources
}


async def meet(case: str, bench: Bench) -> Violations:
    resource, scenario = CASES[case]
    reference, clock = await bench.learned(scenario), FastClock(FACTOR)
    rule = Rule(action=late(LATE_SECONDS / FACTOR), verb="watch", resource=resource, times=None)
    result = await run(scenario, bench.proxy, bench.open_stage, standing=[rule], reference=reference, clock=clock)
    # A decision on an old view ends in a conflict, at worst: those are what lateness costs.
    performed = replace(result, steps=[write for write in result.steps if write.is_done])
    return [
        *reference.differences(performed),
        *oracles.i8_own_writes_are_seen(result.steps, patience=PATIENCE_SECONDS / FACTOR),
    ]


@pytest.mark.parametrize("case", CASES)
async def test_nothing_is_done_twice_while_events_are_late_of(case: str, runs: Tasks) -> None:
    assert await runs[case] == []
