"""A forest for regression and one for classification, trained and published once a session, and servers of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession

from aurora_runtime.inference.app import inference_runner
from aurora_runtime.inference.auth import ApiKeys
from aurora_runtime.inference.batching import BatchLimits
from aurora_runtime.inference.connection import EagerConnection
from aurora_runtime.inference.listener import listening
from aurora_runtime.inference.metrics import ServerMetrics
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.routes import Routes
from aurora_runtime.inference.workers import Workers
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import (
    HOST,
    KEY,
    LABEL,
    MODEL,
    PROBABILITIES,
    REVISION,
    SPECIES,
    Serving,
    a_classifier,
    a_regressor,
    load,
    publish,
)

QUEUE_LIMIT = 4
MAX_BODY_BYTES = 4096


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    store = ModelStore(root=tmp_path_factory.mktemp("store"))
    publish(store, a_regressor())
    publish(store, a_classifier(), model=SPECIES, outputs=(LABEL, PROBABILITIES))
    return store


@pytest.fixture(scope="session")
def model(store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Regression."""
    return load(store, MODEL, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def species_model(store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Classification with string labels."""
    return load(store, SPECIES, tmp_path_factory.mktemp("model"))


@asynccontextmanager
async def a_server(name: str, keys: ApiKeys | None = None) -> AsyncIterator[Serving]:
    """A server whose model is not loaded yet."""
    metrics = ServerMetrics(model=name, version=1, revision=REVISION)
    async with Workers(threads=1) as workers:
        routes = Routes(
            name=name,
            revision=REVISION,
            keys=keys,
            workers=workers,
            metrics=metrics,
            limits=BatchLimits(queue=QUEUE_LIMIT),
            max_body_bytes=MAX_BODY_BYTES,
        )
        async with (
            listening(
                inference_runner(routes),
                name="http",
                host=HOST,
                port=0,
                connection=partial(EagerConnection, turn=routes.turn),
            ) as port,
            ClientSession(f"http://{HOST}:{port}") as client,
        ):
            yield Serving(client=client, port=port, routes=routes, metrics=metrics, model=name)


@pytest.fixture
async def starting() -> AsyncIterator[Serving]:
    """A server that still loads."""
    async with a_server(MODEL) as serving:
        yield serving


@pytest.fixture
async def serving(starting: Serving, model: LoadedModel) -> Serving:
    """A ready server of the regression model; anybody may ask."""
    starting.routes.serve(model)
    return starting


@pytest.fixture
async def species(species_model: LoadedModel) -> AsyncIterator[Serving]:
    """A ready server of the classification model."""
    async with a_server(SPECIES) as serving:
        serving.routes.serve(species_model)
        yield serving


@pytest.fixture
async def guarded(model: LoadedModel, tmp_path: Path) -> AsyncIterator[Serving]:
    """A ready server that wants a key."""
    (tmp_path / "default").write_text(KEY + "\n")
    keys = ApiKeys(tmp_path)
    keys.reload()
    async with a_server(MODEL, keys) as serving:
        serving.routes.serve(model)
        yield serving
