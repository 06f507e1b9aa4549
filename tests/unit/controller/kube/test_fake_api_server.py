from collections.abc import AsyncIterator

import pytest

from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.rest import RestClient
from tests.shared.api_server_conformance import ApiServerConformance
from tests.shared.api_under_test import CONFIG_MAP, PROBE, Api
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.clock import FakeClock


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    clock = FakeClock()
    async with (
        FakeAPIServer(CONFIG_MAP, PROBE, clock=clock) as server,
        RestClient(StaticConfig(server.url)) as rest,
    ):
        server.objects.terminating_namespaces.add("ending")
        yield Api(rest=rest, namespace="conformance", ending_namespace="ending", wait=clock.advance)


class TestFakeApiServer(ApiServerConformance):
    """The fake promises what a real server does."""
