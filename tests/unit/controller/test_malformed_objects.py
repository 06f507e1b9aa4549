"""An object that no schema of ours would let in is told so itself, and costs nobody else anything.

Nodes of an object are replaced by whatever JSON has, one after the other, in a namespace where all controllers are at
work (``town.py``). Metadata is not touched: ``kube/reflector.py`` lets no malformed one in.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any, Final, get_args

import pytest
from pydantic import BaseModel

from aurora_controller.api import labels
from aurora_controller.api.reading import parsed
from aurora_controller.api.v1alpha1.readings import (
    JobReading,
    ModelReading,
    RouteReading,
    ServingReading,
    VersionReading,
)
from aurora_controller.api.v1alpha1.resources import CUSTOM_RESOURCES
from aurora_controller.kube.clock import parse_time
from aurora_controller.kube.conditions import conditions_of, find_condition
from aurora_controller.kube.meta import Kind, Manifest, key_of, labels_of
from aurora_controller.kube.reconcile import ReconcileError, Stalled
from tests.shared.mutations import at, mutations, named
from tests.unit.builders import MODEL
from tests.unit.controller.every_kind import CHILD_KINDS, KINDS
from tests.unit.controller.town import Town, a_town_at_rest
from tests.unit.fakes.clock import FakeClock
from tests.unit.fakes.metrics import series

Place = tuple[Kind, str]
Ends = Mapping[Place, Manifest]
MODELS: Final[Mapping[str, type[BaseModel]]] = {one.kind.kind: one.model for one in CUSTOM_RESOURCES}
NOW: Final = parse_time("2026-11-23T10:05:00Z")
"""Some time after the town came to rest."""
EXAMPLES: Final = frozenset(
    {
        *("first", f"{MODEL}-v2", MODEL, "serve", "aurora-models"),
        *("first-v3-1", "first-v3-1-pod", "serve-2-7a93e72d", "serve-x7k2p", "serve-api-keys"),
    }
)
"""An object of each kind."""
READINGS: Final[Mapping[str, tuple[type[BaseModel], ...]]] = {
    "MLModelVersion": (VersionReading,),
    "MLModel": (ModelReading,),
    "MLTrainingJob": (JobReading,),
    "MLDeployment": (RouteReading, ServingReading),
}


@pytest.fixture(scope="module")
def intact() -> Ends:
    """Everything there is in a town at rest."""
    return asyncio.run(a_town_at_rest()).objects()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param("MLModelVersion", f"{MODEL}-v2", id="a version on trial"),
        pytest.param("MLModelVersion", f"{MODEL}-v3", id="a version in training"),
        pytest.param("MLModel", MODEL, id="a model"),
        pytest.param("MLTrainingJob", "first", id="a job"),
        pytest.param("MLDeployment", "serve", id="a deployment that holds its route"),
    ],
)
async def test_what_others_read_of_an_object_may_be_anything(intact: Ends, kind: str, name: str) -> None:
    """It is stalled with the field named; all others end as with the intact one, as without it, or name it."""
    place = next(one for one in intact if (one[0].kind, one[1]) == (kind, name))
    absent = await end_of(without(intact, place))
    read = set().union(*(fields(reading) for reading in READINGS[kind]))
    wrong, tried = [], 0
    for path, odd in mutations(intact[place]):
        field = refused_field(MODELS[kind], odd)
        if field is None or named(path) not in read:
            continue
        tried += 1
        before = failures()
        end = await end_of({**intact, place: odd})
        complaints = objections(end[place], field, MODELS[kind])
        complaints += ["a bug was caught"] * (failures() != before)
        if path != ("status",):  # then the telling takes its place, and nothing of it is left
            complaints += [
                f"{one[0].kind} {one[1]} ends otherwise"
                for one in sorted(intact.keys() | end.keys())
                if one != place and not is_unharmed(one, end, intact, absent, name)
            ]
        wrong += [f"{'.'.join(map(str, path))} = {json.dumps(at(odd, path))}: {one}" for one in complaints]
    assert wrong == []
    assert tried > 8


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
async def test_no_reconcile_breaks_over_another_object(intact: Ends, kind: Kind) -> None:
    """Each node of an object of this kind may be anything: whom it does not belong to waits or stalls at worst."""
    town = Town(intact.values(), FakeClock(NOW))
    broken: list[str] = []
    for path, odd in mutations(next(obj for (one, name), obj in intact.items() if one == kind and name in EXAMPLES)):
        town.cluster.add(odd)
        where = f"{'.'.join(map(str, path))} = {json.dumps(at(odd, path))}"
        broken += [f"{where}: {complaint}" async for complaint in breakages(town, odd)]
    assert broken == []


async def breakages(town: Town, odd: Manifest) -> AsyncIterator[str]:
    """What a look at every object raises, but for what reconcilers raise on purpose."""
    for reconciler in town.reconcilers():
        for watch in reconciler.watches:
            if watch.kind.kind == odd["kind"]:
                try:
                    list(watch.requests(odd))
                except Exception as error:  # noqa: BLE001
                    yield f"{reconciler.name} finds no request: {error!r}"
        for obj in town.cluster.cache.list(reconciler.kind):
            if belongs_to(odd, obj):
                continue
            try:
                with suppress(ReconcileError):
                    observed = await reconciler.observe(key_of(obj))
                    if observed is not None:
                        reconciler.plan(observed, town.clock.now())
            except Exception as error:  # noqa: BLE001
                yield f"{obj['kind']} {obj['metadata']['name']}: {error!r}"


def belongs_to(child: Manifest, obj: Manifest) -> bool:
    """No API server stores a malformed Pod or Service: what one would do to its owner is not asked here."""
    is_child = any(child["kind"] == kind.kind for kind in CHILD_KINDS)
    marks = labels_of(child)
    return is_child and key_of(obj).name in (marks.get(labels.TRAINING_JOB), marks.get(labels.DEPLOYMENT))


async def end_of(objects: Ends) -> Ends:
    """What comes of these objects when controllers start among them."""
    after = Town(objects.values(), FakeClock(NOW))
    async with after.controllers():
        await after.rest()
    return after.objects()


def objections(manifest: Manifest, field: str, model: type[BaseModel]) -> list[str]:
    stalled = find_condition(conditions_of(manifest), "Stalled")
    if stalled is None:
        return ["is not stalled"] if refused_field(model, manifest) is not None else []
    return [] if stalled["message"].startswith(field) else [f"is stalled because of {stalled['message']}"]


def is_unharmed(place: Place, end: Ends, intact: Ends, absent: Ends, name: str) -> bool:
    """``name`` is the malformed object's."""
    if seen(end, place) in (seen(intact, place), seen(absent, place)):
        return True
    return any(f" {name} cannot be read: " in one.get("message", "") for one in conditions_of(end.get(place, {})))


def seen(objects: Ends, place: Place) -> Manifest | None:
    """But for who serves what: when one cannot be read, that depends on what the others do."""
    if place not in objects:
        return None
    status = objects[place].get("status")
    told = {field: value for field, value in status.items() if field not in {"servedBy", "serving"}} if status else None
    return {**objects[place], "status": told}


def without(objects: Ends, place: Place) -> Ends:
    """The object is gone, and with it what it owns."""
    gone = {objects[place]["metadata"]["uid"]}
    left = {key: obj for key, obj in objects.items() if key != place}
    while True:
        owned = {key for key, obj in left.items() if gone & owners(obj)}
        if not owned:
            return left
        gone |= {left.pop(key)["metadata"]["uid"] for key in owned}


def owners(obj: Manifest) -> set[str]:
    return {one["uid"] for one in obj["metadata"].get("ownerReferences") or ()}


def fields(model: Any, path: tuple[str, ...] = ()) -> AbstractSet[tuple[str, ...]]:
    """Paths of what a model reads, in camelCase."""
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return set().union(*(fields(inner, path) for inner in get_args(model)))
    found = set()
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        found |= {here, *fields(field.annotation, here)}
    return found


def refused_field(model: type[BaseModel], manifest: Manifest) -> str | None:
    """The field that the schema refuses; None when it takes the object."""
    try:
        parsed(model, manifest)
    except Stalled as stalled:
        return stalled.message.partition(":")[0]
    return None


def failures() -> float:
    """Bugs that were caught, and events that led to nobody."""
    return sum(series("controller_runtime_reconcile_panics_total") + series("watch_events_skipped_total"))
