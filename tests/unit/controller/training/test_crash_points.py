"""Whatever write a controller dies after, the next one reaches the same end, and no number or Job is doubled.

A story is what people and the cluster do to a job. It is told once without a crash, then once for every write with a
controller that dies right after it, and once for every write that is the first of a plan and never arrives.
"""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION
from aurora_controller.kube.reconcile import Plan
from aurora_runtime.contract import Outcome, TrainingInputs, TrainingTask
from tests.unit.builders import a_model_version
from tests.unit.controller.training.world import MODEL, ConflictError, World, facts_of, is_running


class Dying(World):
    """A world whose controller dies after its ``dies_after``-th write; the next one starts with an empty memory."""

    dies_after: int | None = None

    async def reconcile(self, *, only: int | None = None) -> Plan:
        plan = await self.plan()
        room = None if self.dies_after is None else max(0, self.dies_after - len(self.writes))
        if room is not None and room < len(plan.writes):
            self.perform(plan.writes[:room])
            self.dies_after = None
            return await super().reconcile(only=only)
        self.perform(plan.writes[:only])
        return plan


async def simple(world: World) -> None:
    await world.run()


async def there_and_back(world: World) -> None:
    for algorithm in ("ridge", "knn", "ridge"):
        world.edit(algorithm=algorithm)
        await world.run()


async def superseded(world: World) -> None:
    await world.settle()
    world.start_pods()
    await world.settle()
    world.edit(algorithm="ridge")
    await world.run()


async def failing_infrastructure(world: World) -> None:
    for attempt in (1, 2):
        plan = await world.settle()
        world.advance(plan.requeue_after_seconds or 0)
        await world.settle()
        world.end(f"housing-rf-v1-{attempt}", exit_code=139)
    await world.run()


async def lost_report(world: World) -> None:
    await world.settle()
    world.train("housing-rf-v1-1")
    world.end("housing-rf-v1-1", exit_code=0)
    await world.run()


async def taken_version(world: World) -> None:
    await world.settle()
    world.report("housing-rf-v1-1", Outcome.VERSION_TAKEN, highest_version=4)
    await world.run()


async def suspended(world: World) -> None:
    await world.settle()
    world.start_pods()
    await world.settle()
    world.edit(suspend=True)
    await world.run()
    world.edit(suspend=False)
    await world.run()


async def forgotten(world: World) -> None:
    await world.settle()
    world.train("housing-rf-v1-1")
    world.put(a_model_version(1, job="another", run="another-uid-1-00000000", metadata={"uid": "theirs"}))
    await world.run()


async def restored(world: World) -> None:
    await world.run()
    world.remove(ML_MODEL_VERSION, "california-housing-v1")
    world.replace_job("new-uid")
    await world.run()


async def cleaned_up(world: World) -> None:
    world.edit(ttlSecondsAfterFinished=0)
    await world.run()
    world.collect_garbage()


STORIES = [
    simple,
    there_and_back,
    superseded,
    failing_infrastructure,
    lost_report,
    taken_version,
    suspended,
    forgotten,
    restored,
    cleaned_up,
]
Story = Callable[[World], Awaitable[None]]


def end_of(world: World) -> dict[str, Any]:
    """All that must not depend on crashes. A lost delay may go uncounted, so times and the count of restarts may."""
    may_differ = {"lastFailure", "restarts", "notBefore", "finishedAt"}
    run = {key: value for key, value in world.status["run"].items() if key not in may_differ}
    conditions = [{**item, "lastTransitionTime": ""} for item in world.status["conditions"]]
    return {
        "jobs": world.jobs,
        "versions": world.versions,
        "status": world.status | {"run": run, "conditions": conditions},
        "created": Counter(world.created),
        "store": world.store,
    }


@pytest.mark.parametrize("story", STORIES)
async def test_every_crash_point_leads_to_the_same_end(story: Story) -> None:
    reference = Dying()
    await story(reference)
    expected = end_of(reference)
    assert reference.status["phase"] == "Succeeded"
    assert (await reference.plan()).writes == ()
    for dies_after in range(len(reference.writes)):
        world = Dying()
        world.dies_after = dies_after
        await story(world)
        assert end_of(world) == expected, f"died after write {dies_after}"


# Anything that people, the cluster and other runs may do, in any order


class Chaos:
    """A world to which things happen, and what must hold at every moment."""

    def __init__(self) -> None:
        self.world = World(backoff_limit=20)
        self.others = 0
        self.published: dict[int, str] = {}

    def actions(self) -> dict[str, Callable[[], object]]:
        """What may happen, by name."""
        world = self.world
        return {
            "train ridge": lambda: world.edit(algorithm="ridge"),
            "train knn": lambda: world.edit(algorithm="knn"),
            "suspend": lambda: world.edit(suspend=True),
            "resume": lambda: world.edit(suspend=False),
            "resources": lambda: world.edit(resources={"limits": {"memory": f"{len(world.writes) + 1}Mi"}}),
            "lose versions": self._lose_versions,
            "lose jobs": world.remove_jobs,
            "lose pods": world.remove_pods,
            "compete": self._compete,
            "crash": lambda: self._end_running(exit_code=139),
            "mute": lambda: self._end_running(exit_code=0),
            "finish": self._finish,
            "start": world.start_pods,
            "collect": world.collect_garbage,
            "wait": lambda: world.advance(100),
        }

    def _lose_versions(self) -> None:
        """Objects of versions that nobody has published are deleted."""
        for number in [number for number in self.world.versions if number not in self.world.store]:
            self.world.remove(ML_MODEL_VERSION, f"{MODEL}-v{number}")

    def _finish(self) -> None:
        for name in self._running():
            self.world.train(name)

    def _compete(self) -> None:
        """Another job's run takes the number that the store has free, whatever the objects say, and publishes it."""
        self.others += 1
        number = max([0, *self.world.store]) + 1
        run = f"another-uid-{self.others}-00000000"
        inputs = TrainingInputs(dataset="iris", algorithm="knn")
        task = TrainingTask(model=MODEL, version=number, run_id=run, inputs=inputs)
        self.world.store[number] = task
        if number not in self.world.versions:
            recorded = a_model_version(number, job="another", run=run, digest=facts_of(task).digest)
            self.world.put(recorded | {"metadata": recorded["metadata"] | {"uid": f"theirs-{self.others}"}})

    def _running(self) -> list[str]:
        return [name for name in self.world.jobs if any(is_running(pod) for pod in self.world.pods_of(name))]

    def _end_running(self, *, exit_code: int) -> None:
        for name in self._running():
            self.world.end(name, exit_code=exit_code)

    async def reconcile(self, only: int | None) -> None:
        try:
            await self.world.reconcile(only=only)
        except ConflictError:
            return

    def check(self) -> None:
        running = self._running()
        assert len(running) <= 1, f"two trainers at once: {running}"
        for number, task in self.world.store.items():
            assert self.published.setdefault(number, task.run_id) == task.run_id, "a number was used twice"


STEPS = st.lists(
    # What happens, or how many writes a reconcile performs before its controller dies.
    st.one_of(st.sampled_from(sorted(Chaos().actions())), st.sampled_from([None, 0, 1])),
    min_size=5,
    max_size=60,
)


@settings(max_examples=120, deadline=None)
@given(steps=STEPS)
async def test_whatever_happens_the_job_ends_well_and_no_number_is_used_twice(steps: list[str | int | None]) -> None:
    chaos = Chaos()
    for step in steps:
        if isinstance(step, str):
            chaos.actions()[step]()
        else:
            await chaos.reconcile(step)
        chaos.check()
    world = chaos.world
    world.edit(suspend=False, resources={"limits": {"memory": "99Gi"}})
    await world.run()
    chaos.check()
    assert world.status["phase"] == "Succeeded"
    number = world.status["version"]
    assert world.versions[number] == world.status["digest"]
    assert world.version(number)["spec"]["run"] == world.store[number].run_id
    assert world.store[number].inputs.algorithm == world.job["spec"]["algorithm"]
    assert (await world.plan()).writes == ()
