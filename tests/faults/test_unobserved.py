"""T5: two changes that cancel each other are seen as one, or by a new list alone; the end is that of seeing both.

Events of the kind are held back while both happen. Then the last of them comes alone, or the history is gone.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from aurora_controller.kube.meta import POD, Manifest, key_of
from tests.faults.clocks import FastClock
from tests.faults.oracles import Violations
from tests.faults.rules import Rule
from tests.faults.runs import Bench, Tasks, run
from tests.faults.scenarios import NAME, SCENARIOS, Act, Scenario, Stage
from tests.faults.streams import Gate

FIRST_START: Final = next(one.tell for one in SCENARIOS if one.name == "first-start")
FLIPPED_AT: Final = "2026-01-01T00:00:00Z"


async def serve_with_three(stage: Stage) -> None:
    await FIRST_START(stage)
    await scale(stage, 3)
    await until_answered(stage)


async def scale_and_back(stage: Stage) -> int:
    await scale(stage, 2)
    await scale(stage, 3)
    return version_of(live(stage))


async def delete_and_make_again(stage: Stage) -> int:
    """The garbage of the first is still there when the second is.

    Who is not told of a deletion makes up for what the garbage collector takes, and nothing could keep it from that.
    """
    await stage.players.hold(stage.namespace)
    await stage.delete(ML_DEPLOYMENT, NAME)
    await stage.serve()
    return version_of(live(stage))


async def flip_readiness(stage: Stage) -> int:
    await stage.players.hold(stage.namespace)
    pod = stage.mirror.list(POD, stage.namespace)[0]
    for ready in ("False", "True"):
        condition = {"type": "Ready", "status": ready, "lastTransitionTime": FLIPPED_AT}
        patch = {"status": {"conditions": [condition]}}
        pod = await stage.client.merge_patch(POD, key_of(pod), patch, subresource="status")
    return version_of(pod)


async def until_answered(stage: Stage) -> None:
    def holds() -> bool:
        obj = live(stage)
        return bool(obj.get("status", {}).get("observedGeneration") == obj["metadata"]["generation"])

    await stage.until(holds, "an answer to the spec")
    await stage.until_served(1)


async def scale(stage: Stage, replicas: int) -> None:
    await stage.edit(ML_DEPLOYMENT, NAME, {"spec": {"replicas": replicas}})
    await stage.until(lambda: live(stage)["spec"]["replicas"] == replicas, f"{replicas} replicas in the spec")


def live(stage: Stage) -> dict[str, Any]:
    return stage.get(ML_DEPLOYMENT, NAME) or {"metadata": {}, "spec": {}}


def version_of(obj: Manifest) -> int:
    return int(obj["metadata"]["resourceVersion"])


@dataclass(frozen=True, kw_only=True)
class Pair:
    resource: str
    prepare: Act
    act: Callable[[Stage], Awaitable[int]]
    """Returns when both have happened, with the version that the second made."""
    is_nothing: bool = True
    """Whether the two come to no change at all, so that no child may be touched."""

    def told(self, name: str, *, before: Callable[[], None], after: Callable[[int], None]) -> Scenario:
        async def tell(stage: Stage) -> None:
            before()
            after(await self.act(stage))
            await stage.until(lambda: bool(live(stage).get("status")), "a word about it")
            stage.players.go_on(stage.namespace)
            await until_answered(stage)

        return Scenario(name=name, prepare=self.prepare, tell=tell)


PAIRS: Final = {
    "scaled": Pair(resource="mldeployments", prepare=serve_with_three, act=scale_and_back),
    "recreated": Pair(resource="mldeployments", prepare=FIRST_START, act=delete_and_make_again, is_nothing=False),
    "unready": Pair(resource="pods", prepare=FIRST_START, act=flip_readiness),
}
CASES: Final = [f"{pair} and back, {how}" for pair in PAIRS for how in ("as one event", "by a new list")]


async def meet(case: str, bench: Bench) -> Violations:
    name = case.partition(" ")[0]
    pair, gate = PAIRS[name], Gate()
    reference = await bench.learned(pair.told(f"{name}-and-back", before=lambda: None, after=lambda version: None))
    # How often a child was written is just what may differ.
    counted = {path for path in reference.end if re.fullmatch(r"Deployment/.*\.observedGeneration", path)}
    reference = replace(reference, masked=reference.masked | counted)
    is_expired = case.endswith("new list")
    scenario = pair.told(name, before=gate.hold, after=partial(gate.release, is_expired=is_expired))
    rule = Rule(action=gate.edit, verb="watch", resource=pair.resource, times=None)
    result = await run(scenario, bench.proxy, bench.open_stage, standing=[rule], reference=reference, clock=FastClock())
    touched = [write for write in result.steps if pair.is_nothing and write.call.resource != pair.resource]
    return [*reference.differences(result), *(f"touched by nothing: {write}: {write.body}" for write in touched)]


@pytest.mark.parametrize("case", CASES)
async def test_what_nobody_saw_in_between_leaves_no_trace(case: str, runs: Tasks) -> None:
    assert await runs[case] == []
