from collections.abc import AsyncIterator

import pytest

from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.errors import UnexpectedResponse
from aurora_controller.kube.list_watch import ListWatch
from aurora_controller.kube.meta import Kind, Manifest
from aurora_controller.kube.rest import RestClient
from tests.unit.fakes.api_faults import Answer
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.clock import FakeClock

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")


@pytest.fixture
async def server() -> AsyncIterator[FakeAPIServer]:
    async with FakeAPIServer(CONFIG_MAP) as running:
        yield running


def a_source(rest: RestClient, *, label_selector: str = "") -> ListWatch:
    return ListWatch(rest=rest, kind=CONFIG_MAP, namespace="team", label_selector=label_selector, clock=FakeClock())


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"kind": "Table", "metadata": {}, "rows": []}, id="a table for people"),
        pytest.param({"kind": "ConfigMapList", "metadata": {}, "items": {"a": 1}}, id="items that are no list"),
        pytest.param({"kind": "ConfigMapList", "metadata": ["7"], "items": []}, id="metadata that is no object"),
    ],
)
async def test_what_is_not_a_list_of_objects_is_refused(server: FakeAPIServer, body: Manifest) -> None:
    server.fail(Answer(body=body))
    async with RestClient(StaticConfig(server.url)) as rest:
        with pytest.raises(UnexpectedResponse):
            await a_source(rest).page({})


async def test_an_empty_list_may_come_without_items(server: FakeAPIServer) -> None:
    server.fail(Answer(body={"kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}, "items": None}))
    async with RestClient(StaticConfig(server.url)) as rest:
        page = await a_source(rest).page({})
    assert (page.items, page.resource_version, page.continue_token) == ([], "7", "")


async def test_an_item_that_is_no_object_is_handed_on_for_the_reflector_to_judge(server: FakeAPIServer) -> None:
    server.fail(Answer(body={"kind": "ConfigMapList", "metadata": {"resourceVersion": "7"}, "items": [5, None]}))
    async with RestClient(StaticConfig(server.url)) as rest:
        assert list(map(repr, (await a_source(rest).page({})).items)) == ["5", "None"]


async def test_the_selector_goes_with_every_page(server: FakeAPIServer) -> None:
    async with RestClient(StaticConfig(server.url)) as rest:
        await a_source(rest, label_selector="color=red").page({"limit": "5"})
        assert dict(server.received[0].query) == {"limit": "5", "labelSelector": "color=red"}
