"""T3: a new controller is shown the state that its predecessor saw before it acted; nothing comes of that.

That is one at rest, or the very moment before a write, which the new one tries again. Reality went on meanwhile. For
twenty seconds of the controller's time every kind is as it was; then the changes since follow. A decision on what was
may be tried, and must be refused by what it names: a uid, a version, a taken name.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Final

import pytest

from aurora_controller.api import labels
from aurora_controller.kube.client import ListResult
from aurora_controller.kube.meta import PERSISTENT_VOLUME_CLAIM, SECRET
from tests.faults import oracles
from tests.faults.clocks import FastClock
from tests.faults.controllers import controller
from tests.faults.mirror import MIRRORED, OURS
from tests.faults.oracles import Violations
from tests.faults.rules import Hang, Rule
from tests.faults.runs import Bench, Crew, Log, Tasks, end_of, rest
from tests.faults.scenarios import SCENARIOS, Scenario, Stage
from tests.faults.streams import replay

STORIES: Final = {one.name: one for one in SCENARIOS}
DELETION: Final = Rule(action=Hang(), verb="delete", steps_only=True)
JOB: Final = Rule(action=Hang(), verb="create", resource="jobs")
CASES: Final[Mapping[str, tuple[Scenario, Rule | None]]] = {
    **{name: (story, None) for name, story in STORIES.items() if name not in {"training", "first-start"}},
    "promotion, before a deletion": (STORIES["promotion"], DELETION),
    "abort, before a deletion": (STORIES["abort"], DELETION),
    "retraining, before a Job": (STORIES["retraining"], JOB),
}
"""A story that begins with something, and the write of it before which the state is remembered."""
STALE_SECONDS: Final = 20.0
_MANAGED: Final = f"{labels.MANAGED_BY}={labels.MANAGED_BY_AURORA}"


@pytest.mark.parametrize("name", CASES)
async def test_a_restart_into_the_state_before_makes_and_removes_nothing(name: str, runs: Tasks) -> None:
    assert await runs[name] == []


async def meet(name: str, bench: Bench) -> Violations:
    (scenario, point), proxy = CASES[name], bench.proxy
    stage, clock = await bench.open_stage(scenario.name), FastClock()
    async with AsyncExitStack() as stack:
        crew = await stack.enter_async_context(Crew(proxy, stage, partial(controller, clock=clock)))
        await crew.hire()
        await scenario.prepare(stage)
        await rest(proxy, stage)
        if point is None:
            past = await state_of(stage)
            await scenario.tell(stage)
        else:
            past = await before(point, scenario, crew, stage)
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
            *(["nothing was tried"] if point is not None and not log.writes else []),
            *(f"the past of {resource} was not asked for" for resource in sorted(past.keys() - met)),
        ]


async def before(point: Rule, scenario: Scenario, crew: Crew, stage: Stage) -> dict[str, ListResult]:
    """The state when the first such write of the story is sent. It goes on after that."""
    crew.door.rules.add(point)
    story = asyncio.create_task(scenario.tell(stage))
    try:
        await stage.until(lambda: bool(crew.door.rules.fired), f"the first {point.verb}")
        past = await state_of(stage)
        crew.door.cut()
        await story
        return past
    finally:
        story.cancel()


async def state_of(stage: Stage) -> dict[str, ListResult]:
    """What a controller would be told now, by resource."""
    return {
        kind.plural: await stage.client.list(
            kind, stage.namespace, "" if kind in {*OURS, PERSISTENT_VOLUME_CLAIM} else _MANAGED
        )
        for kind in MIRRORED
        if kind != SECRET
    }
