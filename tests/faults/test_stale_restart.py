"""T3: a new controller is shown the state that its predecessor saw before it acted; nothing comes of that.

Reality went on meanwhile. For twenty seconds of the controller's time every kind is as it was; then the changes since
follow. A decision on what was may be tried, and must be refused by what it names: a uid, a version, a taken name.
"""

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import pytest

from aurora_controller.api import labels
from aurora_controller.kube.client import KubeClient, ListResult
from aurora_controller.kube.meta import PERSISTENT_VOLUME_CLAIM, SECRET
from tests.faults import oracles
from tests.faults.clocks import FastClock
from tests.faults.controllers import controller
from tests.faults.mirror import MIRRORED, OURS
from tests.faults.oracles import Violations
from tests.faults.rules import Rule
from tests.faults.runs import Bench, Crew, Log, Tasks, end_of, rest
from tests.faults.scenarios import SCENARIOS
from tests.faults.streams import replay

CASES: Final = {one.name: one for one in SCENARIOS if one.name not in {"training", "first-start"}}
"""Those that begin with something."""
STALE_SECONDS: Final = 20.0
_MANAGED: Final = f"{labels.MANAGED_BY}={labels.MANAGED_BY_AURORA}"


@pytest.mark.parametrize("name", CASES)
async def test_a_restart_into_the_state_before_makes_and_removes_nothing(name: str, runs: Tasks) -> None:
    assert await runs[name] == []


async def meet(name: str, bench: Bench) -> Violations:
    scenario, proxy = CASES[name], bench.proxy
    stage, clock = await bench.open_stage(name), FastClock()
    async with AsyncExitStack() as stack:
        crew = await stack.enter_async_context(Crew(proxy, stage, partial(controller, clock=clock)))
        await crew.hire()
        await scenario.prepare(stage)
        await rest(proxy, stage)
        past = await state_of(bench.client, stage.namespace)
        await scenario.tell(stage)
        await rest(proxy, stage)
        await crew.running.kill()
        end, log = end_of(stage), Log.from_now(proxy, stage)
        is_over = asyncio.Event()
        await crew.hire(
            [Rule(action=replay(state, is_over), verb="watch", resource=resource) for resource, state in past.items()]
        )
        await clock.sleep(STALE_SECONDS)
        is_over.set()
        await rest(proxy, stage)
        met = {rule.resource for rule, _ in crew.door.rules.fired}
        return [
            *(f"{what}: {count} times" for what, count in oracles.counts(log.told).items()),
            *oracles.i2_ends_alike(end_of(stage), end, frozenset()),
            *oracles.always(log.writes, log.told),
            *(f"the past of {resource} was not asked for" for resource in sorted(past.keys() - met)),
        ]


async def state_of(client: KubeClient, namespace: str) -> dict[str, ListResult]:
    """What a controller would be told now, by resource."""
    return {
        kind.plural: await client.list(kind, namespace, "" if kind in {*OURS, PERSISTENT_VOLUME_CLAIM} else _MANAGED)
        for kind in MIRRORED
        if kind != SECRET
    }
