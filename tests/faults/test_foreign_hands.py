"""T11: others at the controller's objects: it mends what is its own, leaves alone what is not, and does not race."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import pytest

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_TRAINING_JOB
from aurora_controller.kube.errors import ApiError
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    INGRESS,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    ObjectKey,
    key_of,
    uid_of,
)
from aurora_controller.traffic.nginx_ingress import CANARY_WEIGHT
from tests.faults import oracles
from tests.faults.control_plane import NAMESPACE
from tests.faults.controllers import controller
from tests.faults.mirror import MIRRORED, status_of
from tests.faults.proxy import Proxy, Write
from tests.faults.rules import Delay, Rule
from tests.faults.runs import QUIET_SECONDS, OpenStage, rest
from tests.faults.scenarios import NAME, TRAINING, Stage, condition

CHILDREN: Final = (DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET)
"""Of an MLDeployment, those that are watched. Its Secret is its users' as soon as it exists."""


def children(stage: Stage) -> list[tuple[Kind, Manifest]]:
    return [(kind, obj) for kind in CHILDREN for obj in stage.mirror.list(kind, stage.namespace)]


def wanted(stage: Stage) -> Mapping[str, Any]:
    """What children are asked to be, without what the server and their own controllers add."""
    ends = oracles.flat_end(children(stage), stage.namespace)
    return {path: value for path, value in ends.items() if ".status" not in path and ".clusterIP" not in path}


@asynccontextmanager
async def serving(stage: Stage, proxy: Proxy, *, canary: bool = True) -> AsyncIterator[None]:
    """Version 1 is stable, version 2 on trial, and all is at rest."""
    async with proxy.door(stage.namespace) as door, controller(door, stage.namespace):
        await stage.publish(1)
        await stage.serve()
        await stage.until_served(1)
        if canary:
            await stage.publish(2)
            await stage.until_canary(2)
        await rest(proxy, stage)
        yield


def steps_since(proxy: Proxy, stage: Stage, number: int) -> Sequence[Write]:
    return proxy.steps(stage.namespace)[number:]


# ---- edits and deletions

_STRANGE_SELECTOR: Final = {"spec": {"selector": {labels.REVISION: "strange"}}}
_STRANGE_BACKEND: Final = {"service": {"name": "strange", "port": {"number": 1}}}
_STRANGE_RULE: Final = {"http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": _STRANGE_BACKEND}]}}
_EDITS: Final[Mapping[Kind, Mapping[str, Manifest]]] = {
    DEPLOYMENT: {
        "scaled": {"spec": {"replicas": 5}},
        "reconfigured": {"spec": {"minReadySeconds": 77}},
        "without its revision": {"metadata": {"annotations": {labels.FROZEN_TEMPLATE: None}}},
    },
    SERVICE: {"redirected": _STRANGE_SELECTOR},
    INGRESS: {
        "without a class": {"spec": {"ingressClassName": None}},
        "for another path": {"spec": {"rules": [_STRANGE_RULE]}},
        "without a weight": {"metadata": {"annotations": {CANARY_WEIGHT: None}}},
    },
    POD_DISRUPTION_BUDGET: {"loosened": {"spec": {"maxUnavailable": 9}}},
}
_ANY: Final[Mapping[str, Manifest]] = {
    "relabelled": {"metadata": {"labels": {labels.MODEL: "other"}}},
    "no longer marked as ours": {"metadata": {"labels": {labels.MANAGED_BY: None}}},
    "without its owner": {"metadata": {"ownerReferences": None}},
    "with another intent": {"metadata": {"annotations": {labels.INTENT: "0"}}},
}


async def test_every_edit_of_a_child_is_mended(stage: Stage, proxy: Proxy) -> None:
    async with serving(stage, proxy):
        before = wanted(stage)
        for kind, child in children(stage):
            for what, patch in {**_ANY, **_EDITS[kind]}.items():
                name = key_of(child).name
                await stage.edit(kind, name, patch)
                await stage.until(lambda: wanted(stage) == before, f"{kind.kind} {name}, {what}, as it was,")
        await rest(proxy, stage)
        assert wanted(stage) == before
        await stage.until_canary(2)


async def test_every_deleted_child_is_made_again(stage: Stage, proxy: Proxy) -> None:
    async with serving(stage, proxy):
        before = wanted(stage)

        def is_replaced(uid: str) -> bool:
            return uid not in {uid_of(child) for _, child in children(stage)} and wanted(stage) == before

        for kind, child in children(stage):
            name, uid = key_of(child).name, uid_of(child)
            await stage.delete(kind, name)
            await stage.until(partial(is_replaced, uid), f"another {kind.kind} {name}")
        await stage.until_canary(2)
        await rest(proxy, stage)


async def test_a_field_of_somebody_else_stays(stage: Stage, proxy: Proxy) -> None:
    """Only what is asked for is ours: other labels, annotations and fields are not touched, and cause no write."""
    async with serving(stage, proxy, canary=False):
        before = len(proxy.steps(stage.namespace))
        theirs = {"labels": {"team": "blue"}, "annotations": {"example.com/note": "kept"}}
        for kind, child in children(stage):
            await stage.edit(kind, key_of(child).name, {"metadata": theirs})
        await asyncio.sleep(QUIET_SECONDS)
        assert steps_since(proxy, stage, before) == []
        for _, child in children(stage):
            assert child["metadata"]["labels"]["team"] == "blue"
            assert child["metadata"]["annotations"]["example.com/note"] == "kept"


# ---- fights


@pytest.mark.parametrize(
    ("owner", "pause"),
    [pytest.param("rival", 0.0, id="another controller"), pytest.param("horizontal-autoscaler", 0.3, id="an HPA")],
)
async def test_a_fight_about_a_field_costs_one_write_for_each_of_theirs(
    owner: str, pause: float, stage: Stage, proxy: Proxy
) -> None:
    """Whatever sets the replicas of our Deployment. ``pause`` is how often it looks; 0 reacts at once."""
    async with serving(stage, proxy, canary=False):
        before, name = len(proxy.steps(stage.namespace)), key_of(children(stage)[0][1]).name
        theirs, until = 0, asyncio.get_running_loop().time() + 2.0
        while asyncio.get_running_loop().time() < until:
            if stage.get(DEPLOYMENT, name)["spec"]["replicas"] == 1:  # type: ignore[index]
                body = {
                    "apiVersion": DEPLOYMENT.api_version,
                    "kind": DEPLOYMENT.kind,
                    "metadata": {"name": name, "namespace": stage.namespace},
                    "spec": {"replicas": 3},
                }
                await stage.client.apply(DEPLOYMENT, body, field_manager=owner, force=True)
                theirs += 1
                await asyncio.sleep(pause)
            await asyncio.sleep(0.01)
        await rest(proxy, stage)
        assert theirs > 3
        ours = [step for step in steps_since(proxy, stage, before) if step.call.resource == "deployments"]
        assert len(ours) <= theirs + 1
        assert stage.get(DEPLOYMENT, name)["spec"]["replicas"] == 1  # type: ignore[index]
        await stage.until_served(1)


# ---- strangers of our names


async def names_of_children(stage: Stage, proxy: Proxy) -> Mapping[Kind, str]:
    async with serving(stage, proxy, canary=False):
        secret = key_of(stage.mirror.list(SECRET, stage.namespace)[0]).name
        return {**{kind: key_of(child).name for kind, child in children(stage)}, SECRET: secret}


async def owners(whose: str, stage: Stage) -> Sequence[Manifest]:
    claim = await stage.client.get(PERSISTENT_VOLUME_CLAIM, stage.key("aurora-models"))
    alive = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": "aurora-models", "uid": uid_of(claim)}
    earlier = {
        "apiVersion": ML_DEPLOYMENT.api_version,
        "kind": ML_DEPLOYMENT.kind,
        "name": NAME,
        "uid": "earlier",
        "controller": True,
    }
    match whose:
        case "of another":
            return [{**alive, "controller": True}]
        case "of an earlier one":
            return [alive, earlier]  # with a living owner it is no garbage, and stays until the test removes it
    return []


async def put_stranger(kind: Kind, name: str, whose: str, stage: Stage) -> Manifest:
    pod = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    bodies: Mapping[Kind, Manifest] = {
        DEPLOYMENT: {"spec": {"selector": {"matchLabels": {"app": "x"}}, "template": pod}},
        SERVICE: {"spec": {"selector": {"app": "x"}, "ports": [{"port": 1}]}},
        INGRESS: {"spec": {"defaultBackend": _STRANGE_BACKEND}},
        POD_DISRUPTION_BUDGET: {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}}},
        SECRET: {"stringData": {"x": "x"}},
    }
    metadata = {"name": name, "namespace": stage.namespace, "ownerReferences": await owners(whose, stage)}
    manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **bodies[kind]}
    return await stage.client.create(kind, manifest)


def content_of(obj: Manifest) -> Manifest:
    """All but what its own controller says of it."""
    metadata = {name: obj["metadata"].get(name) for name in ("uid", "labels", "annotations", "ownerReferences")}
    return {"metadata": metadata, "spec": obj.get("spec"), "data": obj.get("data")}


@pytest.mark.parametrize("whose", ["of nobody", "of another", "of an earlier one"])
async def test_a_stranger_of_our_name_is_left_alone(whose: str, proxy: Proxy, open_stage: OpenStage) -> None:
    names = await names_of_children(await open_stage("names"), proxy)

    async def meet(kind: Kind, name: str) -> None:
        stage = await open_stage("stranger")
        made = await put_stranger(kind, name, whose, stage)
        async with proxy.door(stage.namespace) as door, controller(door, stage.namespace):
            await stage.publish(1)
            await stage.serve()
            if kind == SECRET and whose != "of an earlier one":
                await stage.until_served(1)  # with the keys that are in it
                assert content_of(await stage.client.get(kind, key_of(made))) == content_of(made)
                return
            await stage.until(
                lambda: f"{kind.kind} {name}" in str(stage.status(ML_DEPLOYMENT, NAME).get("conditions")),
                f"word of {kind.kind} {name}",
            )
            await rest(proxy, stage)
            assert condition(stage.status(ML_DEPLOYMENT, NAME), "Ready") == "False"
            assert content_of(await stage.client.get(kind, key_of(made))) == content_of(made)

            await stage.delete(kind, name)
            # Any edit makes it look at once; by itself it looks again after 30 s.
            await stage.edit(ML_DEPLOYMENT, NAME, {"spec": {"strategy": {"canaryWeight": 11}}})
            await stage.until_served(1)
            assert uid_of(await stage.client.get(kind, key_of(made))) != uid_of(made)

    found = await asyncio.gather(*(meet(kind, name) for kind, name in names.items()), return_exceptions=True)
    assert [one for one in found if one is not None] == []


# ---- endings


async def test_a_namespace_that_goes_away_in_mid_create_is_let_go(stage: Stage, proxy: Proxy) -> None:
    async with proxy.door("only") as door, controller(door, stage.namespace):
        door.rules.add(Rule(action=Delay(seconds=0.2), steps_only=True, times=None))
        await stage.publish(1)
        await stage.serve()
        await stage.train()
        await stage.until(lambda: bool(stage.names(DEPLOYMENT)), "the first child")
        live = await stage.client.get(NAMESPACE, ObjectKey("", stage.namespace))
        await stage.client.delete(NAMESPACE, key_of(live), uid=uid_of(live), propagation="Background")
        door.rules.clear()
        await rest(proxy, stage)
        before = len(proxy.steps(stage.namespace))

        await empty(stage)
        await rest(proxy, stage)

        steps = steps_since(proxy, stage, before)
        assert [step for step in steps if step.call.verb in {"create", "apply"} and step.is_done] == []
        assert len(steps) < 20, steps


async def empty(stage: Stage) -> None:
    """As the controller of namespaces does."""

    def is_empty() -> bool:
        return not any(True for _ in stage.mirror.everything(stage.namespace))

    while not is_empty():
        for kind in MIRRORED:
            for obj in stage.mirror.list(kind, stage.namespace):
                with suppress(ApiError):
                    await stage.client.delete(kind, key_of(obj), uid=uid_of(obj), propagation="Background")
        with suppress(AssertionError):
            await stage.mirror.until(is_empty, seconds=0.5)


async def test_a_child_held_by_a_foreign_finalizer_is_waited_for_in_peace(stage: Stage, proxy: Proxy) -> None:
    async with serving(stage, proxy):
        canary = stage.status(ML_DEPLOYMENT, NAME)["canary"]["revision"]
        name = f"{NAME}-{canary}"
        await stage.edit(DEPLOYMENT, name, {"metadata": {"finalizers": ["example.com/hold"]}})
        await stage.request("abort")
        await stage.until(lambda: "deletionTimestamp" in str(stage.get(DEPLOYMENT, name)), f"{name} leaving")
        await rest(proxy, stage)
        before = len(proxy.steps(stage.namespace))
        await asyncio.sleep(QUIET_SECONDS)
        assert steps_since(proxy, stage, before) == []

        await stage.edit(DEPLOYMENT, name, {"metadata": {"finalizers": None}})
        await stage.until_served(1)


async def test_a_successor_waits_for_the_children_of_its_predecessor(stage: Stage, proxy: Proxy) -> None:
    async with serving(stage, proxy, canary=False):
        name = key_of(children(stage)[0][1]).name
        await stage.edit(DEPLOYMENT, name, {"metadata": {"finalizers": ["example.com/hold"]}})
        old = uid_of(stage.get(DEPLOYMENT, name) or {})
        await stage.delete(ML_DEPLOYMENT, NAME)
        await stage.serve()
        await stage.until(lambda: "deletionTimestamp" in str(stage.get(DEPLOYMENT, name)), f"{name} leaving")
        await rest(proxy, stage)
        assert uid_of(stage.get(DEPLOYMENT, name) or {}) == old

        await stage.edit(DEPLOYMENT, name, {"metadata": {"finalizers": None}})
        await stage.until_served(1)
        assert uid_of(stage.get(DEPLOYMENT, name) or {}) != old


# ---- trainers


async def _delete_job(stage: Stage, name: str) -> None:
    await stage.delete(JOB, name)


async def _unmark_job(stage: Stage, name: str) -> None:
    await stage.edit(JOB, name, {"metadata": {"labels": {labels.MANAGED_BY: None}}})


async def _disown_job(stage: Stage, name: str) -> None:
    await stage.edit(JOB, name, {"metadata": {"ownerReferences": None}})


async def _suspend_job(stage: Stage, name: str) -> None:
    """As a queue for whole machines does. It is told, and left to whoever did it."""
    await stage.edit(JOB, name, {"spec": {"suspend": True}})
    await stage.until(lambda: "JobSuspended" in str(stage.status(ML_TRAINING_JOB, TRAINING)), "word of the suspension")
    await stage.edit(JOB, name, {"spec": {"suspend": False}})


@pytest.mark.parametrize("meddle", [_delete_job, _unmark_job, _disown_job, _suspend_job], ids=lambda act: act.__name__)
async def test_a_run_survives_what_is_done_to_its_job(
    meddle: Callable[[Stage, str], Awaitable[None]], stage: Stage, proxy: Proxy
) -> None:
    async with proxy.door("only") as door, controller(door, stage.namespace):
        await stage.players.hold(stage.namespace)
        await stage.train()
        await stage.until(lambda: bool(stage.names(JOB)), "a Job")
        await rest(proxy, stage)
        await meddle(stage, stage.names(JOB)[0])
        await rest(proxy, stage)
        stage.players.go_on(stage.namespace)
        await stage.until_trained(1)
        assert oracles.i4_no_twins(stage.mirror.told(stage.namespace)) == []
        assert status_of(stage.get(JOB, stage.names(JOB)[0])).get("succeeded") == 1
