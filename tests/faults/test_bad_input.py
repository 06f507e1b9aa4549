"""What the schema would refuse and etcd holds all the same is told so, and costs nobody else anything.

Objects are edited in etcd, behind the API server's back, as an older schema or somebody with ``etcdctl`` leaves them.
"""

import copy
from dataclasses import dataclass, replace
from typing import Any

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.conditions import conditions_of, find_condition
from aurora_controller.kube.meta import EVENT, Kind, Manifest
from tests.faults.control_plane import ControlPlane
from tests.faults.controllers import controller
from tests.faults.proxy import Proxy
from tests.faults.scenarios import MODEL, Stage, condition

VERSION = f"{MODEL}-v2"


@dataclass(frozen=True)
class Edit:
    """One field of one object; None removes it."""

    kind: Kind
    name: str
    path: tuple[str, str]
    value: Any

    @property
    def field(self) -> str:
        return ".".join(self.path)

    def of(self, manifest: Manifest) -> Manifest:
        part, field = self.path
        odd = copy.deepcopy(manifest)
        odd[part].pop(field, None)
        if self.value is not None:
            odd[part][field] = self.value
        return odd

    def undone(self, manifest: Manifest, intact: Manifest) -> Manifest:
        """As ``manifest`` is now, with the field as it was."""
        part, field = self.path
        return replace(self, value=intact[part].get(field)).of(manifest)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(Edit(ML_MODEL_VERSION, VERSION, ("status", "metrics"), "good"), id="a version's scores"),
        pytest.param(Edit(ML_MODEL_VERSION, VERSION, ("spec", "modelName"), None), id="a version's model"),
        pytest.param(Edit(ML_MODEL, MODEL, ("spec", "aliases"), {"champion": "one"}), id="a model's aliases"),
        pytest.param(Edit(ML_MODEL, MODEL, ("status", "aliases"), ["champion"]), id="a model's told aliases"),
        pytest.param(Edit(ML_TRAINING_JOB, "old", ("status", "run"), "over"), id="a job's run"),
        pytest.param(Edit(ML_TRAINING_JOB, "old", ("spec", "timeoutSeconds"), "long"), id="a job's timeout"),
        pytest.param(Edit(ML_DEPLOYMENT, "old", ("spec", "replicas"), "many"), id="a deployment's replicas"),
        pytest.param(
            Edit(ML_DEPLOYMENT, "old", ("status", "stable"), {"version": "one"}), id="a deployment's revision"
        ),
    ],
)
async def test_an_object_edited_in_etcd_is_stalled_until_it_is_mended_and_others_go_on(
    edit: Edit, plane: ControlPlane, proxy: Proxy, stage: Stage
) -> None:
    async with proxy.door("only") as door, controller(door, stage.namespace):
        await settle(stage)
        key = stage.key(edit.name)
        intact = await plane.stored(edit.kind, key)
        await plane.store(edit.kind, key, edit.of(intact))
        await stage.until(lambda: is_stalled(stage, edit), f"{edit.field} named")
        await go_on(stage)
        assert is_stalled(stage, edit)
        await plane.store(edit.kind, key, edit.undone(await plane.stored(edit.kind, key), intact))
        await stage.until(lambda: not is_stalled(stage, edit), "mended")


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(Edit(ML_MODEL_VERSION, VERSION, ("spec", "run"), 5), id="a version's run"),
        pytest.param(Edit(ML_MODEL_VERSION, VERSION, ("spec", "version"), "two"), id="a version's number"),
        pytest.param(Edit(ML_MODEL_VERSION, VERSION, ("status", "digest"), 5), id="a version's digest"),
        pytest.param(Edit(ML_DEPLOYMENT, "old", ("spec", "routing"), "odd"), id="a deployment's routing"),
    ],
)
async def test_where_a_rule_of_the_schema_stumbles_over_the_field_an_event_names_it(
    edit: Edit, plane: ControlPlane, proxy: Proxy, stage: Stage
) -> None:
    """The API server refuses every status of such an object, because it cannot evaluate the rule.

    ``test_refused_statuses.py`` has all these fields.
    """
    async with proxy.door("only") as door, controller(door, stage.namespace), plane.open_rest() as rest:
        events = KubeClient(rest, kinds=[EVENT])
        await settle(stage)
        key = stage.key(edit.name)
        intact = await plane.stored(edit.kind, key)
        await plane.store(edit.kind, key, edit.of(intact))
        await go_on(stage)
        told = [
            event["note"]
            for event in (await events.list(EVENT, stage.namespace)).items
            if event["regarding"]["name"] == edit.name and event["reason"] == "InvalidObject"
        ]
        assert [note for note in told if note.startswith(edit.field)] == told
        assert told
        if edit.kind == ML_MODEL_VERSION:
            assert f"MLModelVersion {edit.name} cannot be read: {edit.field}: " in ready_message(stage)
        await plane.store(edit.kind, key, intact)
        await stage.until(lambda: "cannot be read" not in ready_message(stage), "mended")


async def settle(stage: Stage) -> None:
    """Two versions published and one trained, and one of them served."""
    await stage.publish(1)
    await stage.publish(2)
    await stage.train("old")
    await stage.until(lambda: stage.status(ML_TRAINING_JOB, "old").get("phase") == "Succeeded", "a training")
    await stage.edit(ML_MODEL, MODEL, {"spec": {"aliases": {"champion": 1}}})
    await stage.serve("old", routing={"host": "old.example"})
    await stage.until(lambda: condition(stage.status(ML_DEPLOYMENT, "old"), "Ready") == "True", "a rollout")


async def go_on(stage: Stage) -> None:
    """Another training of the same model, and another rollout, come to their end."""
    await stage.train("new", hyperparameters={"alpha": 2})
    await stage.until(lambda: stage.status(ML_TRAINING_JOB, "new").get("phase") == "Succeeded", "another training")
    number = stage.status(ML_TRAINING_JOB, "new")["version"]
    await stage.until(
        lambda: stage.status(ML_MODEL_VERSION, f"{MODEL}-v{number}").get("state") == "Ready", "another version"
    )
    await stage.serve("new", stableVersion=number, routing={"host": "new.example"})
    await stage.until(lambda: condition(stage.status(ML_DEPLOYMENT, "new"), "Ready") == "True", "another rollout")


def is_stalled(stage: Stage, edit: Edit) -> bool:
    """Because of what was edited."""
    found = find_condition(conditions_of(stage.get(edit.kind, edit.name) or {}), "Stalled")
    return found is not None and found["message"].startswith(edit.field)


def ready_message(stage: Stage) -> str:
    found = find_condition(conditions_of(stage.get(ML_MODEL, MODEL) or {}), "Ready")
    return str(found["message"]) if found is not None else ""
