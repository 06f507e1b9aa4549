"""What the client asks of a server; what a server answers is in the conformance set."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
import pytest

from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.errors import BadRequest, Gone, TooLargeResourceVersion
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.rest import RestClient
from tests.unit.fakes.api_faults import Answer, Received
from tests.unit.fakes.api_server import FakeAPIServer

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
WIDGET = Kind("example.com", "v1", "Widget", "widgets")
KEY = ObjectKey("team", "one")
UID = "00000000-0000-4000-8000-000000000001"


@dataclass
class World:
    server: FakeAPIServer
    client: KubeClient

    @property
    def sent(self) -> Received:
        return self.server.received[-1]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with FakeAPIServer(CONFIG_MAP, WIDGET) as server, RestClient(StaticConfig(server.url)) as rest:
        yield World(server, KubeClient(rest, kinds=[CONFIG_MAP, WIDGET]))


def a_widget(name: str = "one", **spec: int) -> Manifest:
    metadata = {"name": name, "namespace": "team"}
    return {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": metadata, "spec": spec}


def test_the_kind_of_a_manifest_is_looked_up(world: World) -> None:
    assert world.client.kind_of(a_widget()) == WIDGET
    with pytest.raises(LookupError, match=r"example.com/v2 Widget"):
        world.client.kind_of(a_widget() | {"apiVersion": "example.com/v2"})


async def test_every_deletion_names_the_object_that_is_meant_and_what_becomes_of_its_children(world: World) -> None:
    world.server.put(WIDGET, a_widget())
    await world.client.delete(WIDGET, KEY, uid=UID, propagation="Foreground")
    assert orjson.loads(world.sent.body) == {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": UID},
        "propagationPolicy": "Foreground",
    }


async def test_an_apply_sends_the_whole_intent_forced_and_under_its_name(world: World) -> None:
    intent = a_widget(size=1)
    await world.client.apply(WIDGET, intent, field_manager="us")
    assert dict(world.sent.query) == {"fieldManager": "us", "force": "true"}
    assert world.sent.headers["Content-Type"] == "application/apply-patch+yaml"
    assert orjson.loads(world.sent.body) == intent


async def test_the_uid_of_an_apply_travels_with_it_and_leaves_the_manifest_alone(world: World) -> None:
    world.server.put(WIDGET, a_widget())
    intent = a_widget(size=1)
    await world.client.apply(WIDGET, intent, field_manager="us", uid=UID)
    assert orjson.loads(world.sent.body)["metadata"]["uid"] == UID
    assert "uid" not in intent["metadata"]


async def test_an_apply_of_what_must_be_new_names_a_version_that_no_object_has(world: World) -> None:
    intent = a_widget(size=1)
    await world.client.apply(WIDGET, intent, field_manager="us", must_be_new=True)
    assert orjson.loads(world.sent.body)["metadata"]["resourceVersion"] == "1"
    assert "resourceVersion" not in intent["metadata"]


async def test_a_list_is_read_by_page(world: World) -> None:
    for number in range(1001):
        world.server.objects.create(CONFIG_MAP, _a_config_map(number), manager="test")
    listed = await world.client.list(CONFIG_MAP, "team")
    assert len(listed.items) == 1001
    assert listed.resource_version == str(world.server.objects.version)
    assert [one.query.get("limit") for one in world.server.received] == ["500", "500", "500"]


async def test_pages_that_outlive_the_history_are_replaced_by_one_whole_list(world: World) -> None:
    for number in range(501):
        world.server.objects.create(CONFIG_MAP, _a_config_map(number), manager="test")
    expired = {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "too old"}
    world.server.fail(Answer(code=200, body=_page_with_token()), verb="list", times=1)
    world.server.fail(Answer(code=410, body=expired), verb="list", times=1)
    listed = await world.client.list(CONFIG_MAP, "team")
    assert len(listed.items) == 501
    assert "limit" not in world.sent.query


async def test_a_page_token_from_before_a_compaction_is_gone(world: World) -> None:
    for number in range(3):
        world.server.objects.create(CONFIG_MAP, _a_config_map(number), manager="test")
    async with RestClient(StaticConfig(world.server.url)) as rest:
        first = (await rest.request("GET", CONFIG_MAP.path("team"), params={"limit": "2"})).json()
        world.server.objects.create(CONFIG_MAP, _a_config_map(9), manager="test")
        world.server.objects.compact()
        params = {"limit": "2", "continue": first["metadata"]["continue"]}
        with pytest.raises(Gone):
            await rest.request("GET", CONFIG_MAP.path("team"), params=params)


async def test_a_version_from_the_future_is_too_large(world: World) -> None:
    world.server.fail(Answer(code=504, body={"kind": "Status", "code": 504, "message": "Too large resource version"}))
    with pytest.raises(TooLargeResourceVersion):
        await world.client.list(CONFIG_MAP)


async def test_a_body_of_an_unknown_type_is_refused_by_the_fake(world: World) -> None:
    world.server.put(WIDGET, a_widget())
    async with RestClient(StaticConfig(world.server.url)) as rest:
        with pytest.raises(BadRequest):
            await rest.request("PATCH", WIDGET.path("team", "one"), body=b"{}", content_type="application/json")


def _a_config_map(number: int) -> Manifest:
    metadata = {"name": f"o{number:04}", "namespace": "team"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def _page_with_token() -> Manifest:
    metadata = {"resourceVersion": "1001", "continue": "token"}
    return {"apiVersion": "v1", "kind": "ConfigMapList", "metadata": metadata, "items": []}
