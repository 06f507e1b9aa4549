"""Versions, models and rivals that cannot be read: they are named, and what serves goes on serving."""

from typing import Any

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION
from aurora_controller.kube.meta import Manifest
from tests.unit.builders import a_model, a_ready_version
from tests.unit.controller.rollout.test_routes import LATER, a_rival, an_ingress_of
from tests.unit.controller.rollout.world import MODEL, NAME, World

DIGEST_REFUSED = f"MLModelVersion {MODEL}-v2 cannot be read: status.digest: "


def a_malformed_version(number: int = 2) -> Manifest:
    return a_ready_version(number, model=MODEL, digest=["odd"])


@pytest.mark.parametrize("version", [2, "latest"])
async def test_a_version_that_cannot_be_read_is_named_with_the_field_and_served_once_it_is_mended(
    version: int | str,
) -> None:
    world = World(versions=(), version=version)
    world.put(a_malformed_version())
    await world.run(5)
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "VersionUnreadable")
    assert DIGEST_REFUSED in ready["message"]
    world.publish(2)
    await world.run(30, until=lambda: world.phase == "Idle")
    assert world.status["stable"]["version"] == 2


async def test_a_target_that_cannot_be_read_leaves_what_serves_alone() -> None:
    world = World()
    await world.run(20, until=lambda: world.phase == "Idle")
    world.put(a_malformed_version())
    world.edit(version=2)
    await world.run(20)
    assert world.condition("Ready")["status"] == "True"
    assert world.condition("Progressing")["reason"] == "VersionUnreadable"
    assert DIGEST_REFUSED in world.condition("Progressing")["message"]


async def test_the_version_that_serves_may_become_unreadable() -> None:
    world = World(versions=(1, 2))
    await world.run(20, until=lambda: world.phase == "Idle")
    before = world.status
    world.put(a_malformed_version())
    await world.run(30)
    assert world.status["stable"] == before["stable"]
    assert world.condition("Ready")["status"] == "True"


async def test_an_alias_of_a_model_that_cannot_be_read_is_waited_for() -> None:
    world = World(version="champion")
    world.put(a_model(MODEL, status={"aliases": [{"name": "champion", "version": "one"}]}))
    await world.run(5)
    ready = world.condition("Ready")
    assert (ready["status"], ready["reason"]) == ("False", "ModelUnreadable")
    assert f"MLModel {MODEL} cannot be read: status.aliases.0.version: " in ready["message"]
    world.alias("champion", 1)
    await world.run(30, until=lambda: world.phase == "Idle")


async def test_nothing_begins_with_the_latest_version_while_the_champion_cannot_be_told() -> None:
    world = World(versions=(1, 2), version="latest")
    world.put(a_model(MODEL, status={"aliases": "odd"}))
    await world.run(5)
    assert world.condition("Ready")["reason"] == "ModelUnreadable"
    world.remove(ML_MODEL, MODEL)
    world.alias("champion", 1)
    await world.run(30, until=lambda: bool(world.status.get("stable")))
    assert world.status["stable"]["version"] == 1


@pytest.mark.parametrize("routing", ["odd", {"host": 5}, {"className": ["nginx"]}])
async def test_a_rival_whose_routing_cannot_be_read_keeps_the_route_that_it_has(routing: Any) -> None:
    """What serves must not lose its traffic to whoever reads better."""
    world = World()
    rival = a_rival(created_at=LATER)
    world.put(an_ingress_of(rival))
    rival["spec"]["routing"] = routing
    world.put(rival)
    await world.run(5)
    assert world.condition("Ready")["reason"] == "RouteConflict"
    assert "'rival'" in world.condition("Ready")["message"]


async def test_a_rival_whose_model_cannot_be_read_keeps_the_route_that_it_has() -> None:
    world = World()
    rival = a_rival(created_at=LATER)
    ingress = an_ingress_of(rival)
    ingress["metadata"]["labels"] = {"aurora.io/model": MODEL}
    world.put(ingress)
    del rival["spec"]["modelName"]
    world.put(rival)
    await world.run(5)
    assert world.condition("Ready")["reason"] == "RouteConflict"


async def test_a_rival_whose_routing_cannot_be_read_keeps_nobody_from_a_route_that_it_has_not() -> None:
    """It gets none while it is stalled, so that waiting for it would be for ever."""
    world = World()
    rival = a_rival()
    rival["spec"]["routing"] = "odd"
    world.put(rival)
    await world.run(20, until=lambda: world.phase == "Idle")
    assert world.condition("Ready")["status"] == "True"


def test_events_of_what_cannot_be_read_wake_those_it_may_concern() -> None:
    world = World()
    nameless = a_malformed_version()
    del nameless["spec"]["modelName"]
    hostless = a_rival()
    hostless["spec"]["routing"] = {"host": 5}
    woken = {
        watch.kind: [key.name for key in watch.requests(odd)]
        for watch in world.reconciler.watches
        for odd in (nameless, hostless)
        if watch.kind.kind == odd["kind"]
    }
    assert woken == {ML_MODEL_VERSION: [NAME], ML_DEPLOYMENT: []}
