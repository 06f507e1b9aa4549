"""What all tests of ``kube/`` share."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from tests.unit.controller.kube.world import World


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[EventDict]]:
    """What was logged, as it was said: rendering a traceback for people takes longer than most tests."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture
async def world() -> World:
    """The whole loop on a cluster in memory."""
    return World()
