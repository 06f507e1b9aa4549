"""Aliases stand where people pin them, as long as the version may be served, and their moves are remembered."""

from typing import Any

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_MODEL, ML_MODEL_VERSION
from aurora_controller.kube.conditions import find_condition
from aurora_controller.kube.meta import Manifest
from aurora_controller.kube.reconcile import Stalled
from tests.unit.builders import MODEL, a_model, a_model_version, a_ready_version, a_training_job
from tests.unit.controller.registry.namespace import LATER, Namespace


def managed_by(manager: str, *aliases: str, time: str = LATER, **entry: Any) -> dict[str, Any]:
    """An entry of managedFields: ``manager`` owns these pins."""
    owned: dict[str, Any] = {f"f:{alias}": {} for alias in aliases}
    return {"manager": manager, "time": time, "fieldsV1": {"f:spec": {"f:aliases": owned}}, **entry}


def moves(namespace: Namespace) -> list[tuple[str, int | None, int | None, str]]:
    history = namespace.model()["aliasHistory"]
    return [(move["name"], move.get("fromVersion"), move.get("toVersion"), move["reason"]) for move in history]


async def test_an_alias_stands_where_it_is_pinned() -> None:
    namespace = Namespace(a_ready_version(1), a_ready_version(2), a_model(aliases={"champion": 1, "beta": 2}))
    await namespace.reconcile()
    status = namespace.model()
    assert status["aliases"] == [{"name": "beta", "version": 2}, {"name": "champion", "version": 1}]
    assert status["champion"] == 1
    resolved = find_condition(status["conditions"], "AliasesResolved")
    assert resolved is not None
    assert resolved["status"] == "True"


async def test_without_pins_nothing_is_said_of_aliases() -> None:
    namespace = Namespace(a_ready_version(1), a_model())
    await namespace.reconcile()
    assert namespace.model()["aliases"] == []
    assert find_condition(namespace.model()["conditions"], "AliasesResolved") is None


@pytest.mark.parametrize(
    ("version", "trouble"),
    [
        pytest.param(None, "alias champion: there is no version 7", id="missing"),
        pytest.param(a_model_version(7), "alias champion: version 7 is Reserved", id="reserved"),
    ],
)
async def test_a_pin_to_a_version_that_cannot_be_served_is_named(version: Manifest | None, trouble: str) -> None:
    namespace = Namespace(a_training_job(), a_ready_version(1), a_model(aliases={"champion": 7, "beta": 1}))
    if version is not None:
        namespace.add(version)
    await namespace.reconcile()
    status = namespace.model()
    assert status["aliases"] == [{"name": "beta", "version": 1}]
    resolved = find_condition(status["conditions"], "AliasesResolved")
    assert resolved is not None
    assert (resolved["status"], resolved["reason"]) == ("False", "VersionNotReady")
    assert trouble in resolved["message"]
    assert "beta" not in resolved["message"]


async def test_every_move_is_remembered_with_its_ends_and_its_reason() -> None:
    namespace = Namespace(a_ready_version(1), a_ready_version(2), a_model(aliases={"champion": 1}))
    await namespace.reconcile()
    namespace.edit(ML_MODEL, MODEL, spec={"aliases": {"champion": 2}})
    await namespace.reconcile()
    namespace.edit(ML_MODEL, MODEL, spec={"aliases": {"champion": None}})
    await namespace.reconcile()
    assert moves(namespace) == [
        ("champion", None, 1, "Pinned"),
        ("champion", 1, 2, "Pinned"),
        ("champion", 2, None, "Unpinned"),
    ]
    assert namespace.model()["aliasHistory"][0]["at"] == LATER
    assert "champion" not in namespace.model()


async def test_an_alias_that_loses_its_version_moves_away_and_back() -> None:
    namespace = Namespace(a_ready_version(1), a_model(aliases={"champion": 1}))
    await namespace.reconcile()
    namespace.remove(ML_MODEL_VERSION, f"{MODEL}-v1")
    await namespace.reconcile()
    namespace.add(a_ready_version(1))
    await namespace.reconcile()
    assert moves(namespace) == [
        ("champion", None, 1, "Pinned"),
        ("champion", 1, None, "VersionNotReady"),
        ("champion", None, 1, "Pinned"),
    ]


async def test_the_history_keeps_the_last_twenty_moves() -> None:
    namespace = Namespace(a_ready_version(1), a_ready_version(2), a_model(aliases={"champion": 1}))
    for number in range(24):
        namespace.edit(ML_MODEL, MODEL, spec={"aliases": {"champion": number % 2 + 1}})
        await namespace.reconcile()
    assert len(moves(namespace)) == 20
    assert moves(namespace)[-1] == ("champion", 1, 2, "Pinned")


@pytest.mark.parametrize(
    ("entries", "writer"),
    [
        pytest.param(
            [managed_by("flux", "champion", time="2026-01-01T00:00:00Z"), managed_by("kubectl", "beta")],
            "flux",
            id="who owns the pin",
        ),
        pytest.param(
            [managed_by("old", "champion", time="2026-01-01T00:00:00Z"), managed_by("new", "champion")],
            "new",
            id="the latest of several owners",
        ),
        pytest.param([managed_by("kubectl")], "kubectl", id="else who wrote last"),
        pytest.param(
            [managed_by("kubectl", time="2026-01-01T00:00:00Z"), managed_by("aurora", subresource="status")],
            "kubectl",
            id="never a writer of status",
        ),
        pytest.param([], "unknown", id="unknown where the object does not say"),
    ],
)
async def test_a_move_names_its_author(entries: list[dict[str, Any]], writer: str) -> None:
    namespace = Namespace(a_ready_version(1), a_model(aliases={"champion": 1}))
    namespace.managed_fields = entries
    await namespace.reconcile()
    assert [move["by"] for move in namespace.model()["aliasHistory"]] == [writer]


async def test_the_api_server_is_asked_for_the_author_only_when_an_alias_has_moved() -> None:
    namespace = Namespace(a_ready_version(1), a_model(aliases={"champion": 1, "next": 9}))
    await namespace.reconcile()
    assert namespace.live_looks == 1
    namespace.add(a_ready_version(2))
    await namespace.reconcile()
    assert namespace.live_looks == 1


async def test_a_model_unlike_its_schema_is_stalled_and_the_field_named() -> None:
    namespace = Namespace(a_ready_version(1), a_model(aliases={"champion": "one"}))
    with pytest.raises(Stalled, match=r"spec\.aliases\.champion"):
        await namespace.reconcile()
