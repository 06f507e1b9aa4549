"""Whatever write a controller dies at, the next one reaches the same end, and nothing is written twice.

A story is what others do to a model, its versions, jobs and deployments, with the registry reconciling in between. It
is told once without a crash, then for every write with a controller that dies before it is sent, and with one that
dies when it is done but not yet answered.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.meta import Kind
from tests.unit.builders import (
    MODEL,
    NAMESPACE,
    a_condition,
    a_deployment,
    a_digest,
    a_model,
    a_model_version,
    a_ready_version,
    a_training_job,
)
from tests.unit.controller.registry.namespace import Namespace

JOB = "housing-rf"
SERVER = "eu"


class Died(Exception):
    """The controller was killed."""


class Mortal(Namespace):
    """Its first controller dies at the write numbered ``dies_at``, once that is done if ``is_done``."""

    def __init__(self, *, dies_at: int | None = None, is_done: bool = False) -> None:
        super().__init__()
        self._until_death = dies_at
        if is_done:
            self.cluster.after_write = self._perhaps_die
        else:
            self.cluster.on_write = self._perhaps_die

    async def reconcile(self) -> list[str]:
        try:
            return await super().reconcile()
        except Died:
            self.restart()
            return await super().reconcile()

    def _perhaps_die(self, line: str) -> None:
        if self._until_death == 0:
            self._until_death = None
            raise Died(line)
        if self._until_death is not None:
            self._until_death -= 1


# What others do


def reserve(namespace: Namespace, number: int) -> None:
    if f"{MODEL}-v{number}" not in namespace.cluster.names(ML_MODEL_VERSION):
        namespace.add(a_model_version(number))


def publish(namespace: Namespace, number: int) -> None:
    reserve(namespace, number)
    status = a_model_version(number, digest=a_digest(number))["status"]
    namespace.edit(ML_MODEL_VERSION, f"{MODEL}-v{number}", status=status)


def serve(namespace: Namespace, *, stable: int, canary: int | None = None) -> None:
    roles = {"stable": stable, "canary": canary}
    revisions = {
        role: None if number is None else {"revision": f"{number}-aa", "version": number, "digest": a_digest(number)}
        for role, number in roles.items()
    }
    if SERVER not in namespace.cluster.names(ML_DEPLOYMENT):
        namespace.add(a_deployment(SERVER))
    namespace.edit(ML_DEPLOYMENT, SERVER, status=revisions)


def pin(namespace: Namespace, **aliases: int | None) -> None:
    if MODEL not in namespace.cluster.names(ML_MODEL):
        namespace.add(a_model())
    namespace.edit(ML_MODEL, MODEL, spec={"aliases": aliases})


def lose(namespace: Namespace, kind: Kind, name: str) -> None:
    if name in namespace.cluster.names(kind):
        namespace.remove(kind, name)


# Stories


async def reserved_and_published(namespace: Namespace) -> None:
    namespace.add(a_training_job(JOB))
    for number in (1, 2):
        reserve(namespace, number)
        await namespace.reconcile()
        publish(namespace, number)
        await namespace.reconcile()


async def found_all_at_once(namespace: Namespace) -> None:
    namespace.add(a_training_job(JOB), a_ready_version(1), a_model_version(2), a_model_version(3, job="gone"))
    await namespace.reconcile()


async def abandoned(namespace: Namespace) -> None:
    namespace.add(a_training_job(JOB))
    publish(namespace, 1)
    reserve(namespace, 2)
    await namespace.reconcile()
    lose(namespace, ML_TRAINING_JOB, JOB)
    await namespace.reconcile()


async def deleted_versions(namespace: Namespace) -> None:
    for number in (1, 2, 3):
        publish(namespace, number)
    await namespace.reconcile()
    for number in (3, 1, 2):
        lose(namespace, ML_MODEL_VERSION, f"{MODEL}-v{number}")
        await namespace.reconcile()


async def deleted_model(namespace: Namespace) -> None:
    publish(namespace, 1)
    publish(namespace, 2)
    await namespace.reconcile()
    lose(namespace, ML_MODEL_VERSION, f"{MODEL}-v2")
    await namespace.reconcile()
    lose(namespace, ML_MODEL, MODEL)
    await namespace.reconcile()


async def moved_alias(namespace: Namespace) -> None:
    publish(namespace, 1)
    publish(namespace, 2)
    for number in (1, 2, None):
        pin(namespace, champion=number, beta=1)
        await namespace.reconcile()


async def alias_that_lost_its_version(namespace: Namespace) -> None:
    publish(namespace, 1)
    pin(namespace, champion=1)
    await namespace.reconcile()
    lose(namespace, ML_MODEL_VERSION, f"{MODEL}-v1")
    await namespace.reconcile()
    publish(namespace, 1)
    await namespace.reconcile()


async def promoted(namespace: Namespace) -> None:
    publish(namespace, 1)
    publish(namespace, 2)
    serve(namespace, stable=1)
    await namespace.reconcile()
    serve(namespace, stable=1, canary=2)
    await namespace.reconcile()
    serve(namespace, stable=2)
    pin(namespace, champion=2)
    await namespace.reconcile()
    lose(namespace, ML_DEPLOYMENT, SERVER)
    await namespace.reconcile()


async def recovered_from_an_error(namespace: Namespace) -> None:
    publish(namespace, 1)
    marks = [a_condition("Stalled"), a_condition("Reconciling")]
    namespace.add(a_model(aliases={"champion": 1}, status={"conditions": marks}))
    await namespace.reconcile()


Story = Callable[[Namespace], Awaitable[None]]
STORIES: Sequence[Story] = (
    reserved_and_published,
    found_all_at_once,
    abandoned,
    deleted_versions,
    deleted_model,
    moved_alias,
    alias_that_lost_its_version,
    promoted,
    recovered_from_an_error,
)


def end_of(namespace: Namespace) -> dict[str, Any]:
    """Everything but versions and uids of the objects, and the writes by which it came about."""
    cluster = namespace.cluster
    objects = [
        cluster.live(kind, name, namespace=NAMESPACE)
        for kind in (ML_MODEL, ML_MODEL_VERSION)
        for name in cluster.names(kind)
    ]
    return {
        "objects": [(obj["metadata"]["name"], obj["spec"], obj["status"]) for obj in objects],
        "writes": sorted(cluster.writes),
    }


async def check_every_crash(story: Story) -> int:
    """How many writes it tried to die at."""
    reference = Mortal()
    await story(reference)
    assert await reference.reconcile() == []
    for number, write in enumerate(reference.cluster.writes):
        for is_done in (False, True):
            namespace = Mortal(dies_at=number, is_done=is_done)
            await story(namespace)
            assert end_of(namespace) == end_of(reference), f"died {'after' if is_done else 'before'} {number}: {write}"
    return len(reference.cluster.writes)


@pytest.mark.parametrize("story", STORIES)
async def test_every_crash_point_leads_to_the_same_end(story: Story) -> None:
    assert await check_every_crash(story) > 1


HAPPENINGS: dict[str, Callable[[Namespace], None]] = {
    "reserve 1": lambda namespace: reserve(namespace, 1),
    "reserve 2": lambda namespace: reserve(namespace, 2),
    "publish 1": lambda namespace: publish(namespace, 1),
    "publish 2": lambda namespace: publish(namespace, 2),
    "pin 1": lambda namespace: pin(namespace, champion=1),
    "pin 2": lambda namespace: pin(namespace, champion=2, beta=2),
    "unpin": lambda namespace: pin(namespace, champion=None),
    "serve 1": lambda namespace: serve(namespace, stable=1),
    "try 2": lambda namespace: serve(namespace, stable=1, canary=2),
    "promote 2": lambda namespace: serve(namespace, stable=2),
    "lose 1": lambda namespace: lose(namespace, ML_MODEL_VERSION, f"{MODEL}-v1"),
    "lose 2": lambda namespace: lose(namespace, ML_MODEL_VERSION, f"{MODEL}-v2"),
    "lose the model": lambda namespace: lose(namespace, ML_MODEL, MODEL),
    "lose the server": lambda namespace: lose(namespace, ML_DEPLOYMENT, SERVER),
}


@settings(max_examples=25, deadline=None)
@given(happenings=st.lists(st.sampled_from(sorted(HAPPENINGS)), min_size=1, max_size=6))
async def test_in_whatever_order_things_happen_a_crash_leads_to_the_same_end(happenings: Sequence[str]) -> None:
    async def story(namespace: Namespace) -> None:
        for happening in happenings:
            HAPPENINGS[happening](namespace)
            await namespace.reconcile()

    await check_every_crash(story)
