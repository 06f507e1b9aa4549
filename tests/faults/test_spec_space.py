"""T12: whatever a user writes into a spec is refused by name, or leads where the next spec says, by any way.

What a property forbids is tried at every property. A sample of what it allows, drawn by the printed seed, is lived
through: from the first spec by way of the mutated one to the last must end as the direct way does, and in peace.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_TRAINING_JOB
from aurora_controller.kube.errors import Conflict, Invalid
from aurora_controller.kube.meta import DEPLOYMENT, INGRESS, POD_DISRUPTION_BUDGET, SERVICE, Kind, Manifest
from tests.faults import oracles
from tests.faults.control_plane import crds
from tests.faults.controllers import controller
from tests.faults.mirror import NotYet, status_of
from tests.faults.proxy import Proxy
from tests.faults.runs import AT_ONCE, OpenStage, rest
from tests.faults.scenarios import MODEL, NAME, TRAINING, Stage, condition
from tests.faults.spec_space import Mutation, mutations

CHILDREN: Final = (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """``last`` is what the last spec changes in the first; ``facts`` of the status must be the same by any way."""

    kind: Kind
    name: str
    create: Callable[[Stage], Awaitable[None]]
    settle: Callable[[Stage], Awaitable[None]]
    last: Manifest
    facts: Sequence[str]
    sample: int

    def mutations(self) -> list[Mutation]:
        crd = next(crd for crd in crds() if crd["spec"]["names"]["kind"] == self.kind.kind)
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        return list(mutations(schema["properties"]["spec"]))

    def lived(self, dice: random.Random) -> list[Mutation]:
        # A thousand pods are more than can be played here.
        found = [one for one in self.mutations() if one.is_allowed and str(one) != "replicas at its maximum"]
        return dice.sample(found, min(self.sample, len(found)))

    async def mutate(self, stage: Stage, mutation: Mutation) -> None:
        try:
            await stage.edit(self.kind, self.name, mutation.patch)
        except Invalid as refusal:
            # A rule that looks at several properties: it says at which.
            if "spec" not in str(refusal):
                raise

    def is_settled(self, stage: Stage) -> bool:
        obj = stage.get(self.kind, self.name) or {}
        status = status_of(obj)
        is_seen = status.get("observedGeneration") == obj["metadata"]["generation"]
        return is_seen and condition(status, "Reconciling") != "True"

    async def replace_spec(self, stage: Stage, spec: Manifest) -> None:
        while True:
            live = await stage.client.get(self.kind, stage.key(self.name))
            with suppress(Conflict):
                await stage.client.replace(self.kind, {**live, "spec": spec})
                return

    def end(self, stage: Stage) -> Mapping[str, Any]:
        """What must not depend on the way: children as they are wanted, and what the status says of now."""
        children = [(kind, obj) for kind in CHILDREN for obj in stage.mirror.list(kind, stage.namespace)]
        ends = oracles.flat_end(children, stage.namespace)
        status = stage.status(self.kind, self.name)
        told = {one["type"]: f"{one['status']} {one['reason']}" for one in status["conditions"]}
        wanted = {path: value for path, value in ends.items() if ".status" not in path}
        return wanted | {fact: status.get(fact) for fact in self.facts} | told


async def _create_model(stage: Stage) -> None:
    await stage.put(ML_MODEL, MODEL, {})


async def _until_known(stage: Stage) -> None:
    await stage.until(lambda: stage.status(ML_MODEL, MODEL).get("latestVersion") == 1, "the version in its model")


SUBJECTS: Final = (
    Subject(
        kind=ML_DEPLOYMENT,
        name=NAME,
        create=Stage.serve,
        settle=lambda stage: stage.until_served(1),
        last={"replicas": 2},
        facts=("phase", "canary"),
        sample=10,
    ),
    Subject(
        kind=ML_TRAINING_JOB,
        name=TRAINING,
        create=Stage.train,
        settle=lambda stage: stage.until_trained(2),
        last={"backoffLimit": 5},
        facts=("phase",),
        sample=6,
    ),
    Subject(
        kind=ML_MODEL,
        name=MODEL,
        create=_create_model,
        settle=_until_known,
        last={"aliases": {"champion": 1}},
        facts=("aliases", "champion", "latestVersion", "readyVersions"),
        sample=3,
    ),
)


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.kind.kind)
async def test_every_value_that_a_property_forbids_is_refused_by_name(subject: Subject, stage: Stage) -> None:
    await subject.create(stage)
    forbidden = [mutation for mutation in subject.mutations() if not mutation.is_allowed]
    assert len(forbidden) > 3
    wrong: list[str] = []
    for mutation in forbidden:
        try:
            await stage.edit(subject.kind, subject.name, mutation.patch)
        except Invalid as refusal:
            wrong += [f"{mutation}: {refusal}"] if mutation.path[-1] not in str(refusal) else []
        else:
            wrong.append(f"{mutation}: accepted")
    assert wrong == []


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.kind.kind)
async def test_the_way_to_a_spec_does_not_matter(
    subject: Subject, proxy: Proxy, open_stage: OpenStage, dice: random.Random
) -> None:
    slots = asyncio.Semaphore(AT_ONCE)

    @asynccontextmanager
    async def walk(mutation: Mutation | None = None, *, waits: bool = False) -> AsyncIterator[Stage]:
        """To the last spec, by way of the mutated one; ``waits`` until that has come to rest."""
        async with slots:
            stage = await open_stage("specs")
            stage.patience_seconds = 60.0
            async with proxy.door(stage.namespace) as door, controller(door, stage.namespace):
                await stage.publish(1)
                await subject.create(stage)
                await subject.settle(stage)
                first = (await stage.client.get(subject.kind, stage.key(subject.name)))["spec"]
                if mutation is not None:
                    await subject.mutate(stage, mutation)
                if waits:
                    await rest(proxy, stage)
                await subject.replace_spec(stage, first | subject.last)
                yield stage

    async def go_straight() -> Mapping[str, Any]:
        async with walk() as stage:
            await stage.until(lambda: subject.is_settled(stage), "the last spec")
            await rest(proxy, stage)
            return subject.end(stage)

    async def go_round(mutation: Mutation) -> None:
        def differences() -> oracles.Violations:
            return oracles.i2_ends_alike(subject.end(stage), direct[0], masked)

        try:
            async with walk(mutation, waits=dice.random() < 0.5) as stage:
                with suppress(NotYet):
                    await stage.until(lambda: subject.is_settled(stage) and not differences(), "the same end")
                await rest(proxy, stage)
                wrong.extend(f"{mutation}: {one}" for one in differences())
        except NotYet as late:
            wrong.append(f"{mutation}: I1: {late}")

    direct = await asyncio.gather(*(go_straight() for _ in range(3)))
    masked = oracles.varying(direct)
    wrong: list[str] = []
    async with asyncio.TaskGroup() as group:
        for mutation in subject.lived(dice):
            group.create_task(go_round(mutation))
    assert wrong == [], "\n" + "\n".join(wrong)
