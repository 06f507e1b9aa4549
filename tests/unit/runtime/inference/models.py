"""Small real models, published in a real store, and a server of one of them."""

import asyncio
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import ClientResponse, ClientSession
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from aurora_runtime.contract import TrainedBy, TrainingInputs
from aurora_runtime.inference.metrics import ServerMetrics
from aurora_runtime.inference.model import LoadedModel
from aurora_runtime.inference.routes import Routes
from aurora_runtime.store import pickled_model
from aurora_runtime.store.descriptor import (
    DatasetLineage,
    Draft,
    Format,
    GoldenRows,
    Lineage,
    Parity,
    Signature,
    TensorSpec,
    Tolerance,
)
from aurora_runtime.store.model_store import ModelStore, PublishedVersion
from aurora_runtime.store.staging import Staging
from aurora_runtime.trainer.conversion.convert import to_onnx
from aurora_runtime.trainer.conversion.trees import to_trees

HOST = "127.0.0.1"
MODEL = "housing"
SPECIES = "species"
FEATURES = ("rooms", "age", "income")
REVISION = "1-abcd1234"
KEY = "correct-horse"
ROW = [0.1, -0.2, 0.3]
EXACT = Tolerance(relative=1e-9, absolute=1e-9)
PREDICTION = TensorSpec(name="prediction", datatype="FP64", shape=[-1])
LABEL = TensorSpec(name="label", datatype="BYTES", shape=[-1])
PROBABILITIES = TensorSpec(name="probabilities", datatype="FP64", shape=[-1, 2])

STORED: dict[Format, Callable[[Any], bytes]] = {
    "trees": lambda estimator: to_trees(estimator).to_bytes(),
    "onnx": to_onnx,
    "joblib": pickled_model.dump,
}


def some_rows(count: int, *, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(count, len(FEATURES)))


def a_regressor() -> RandomForestRegressor:
    rows = some_rows(80, seed=7)
    return RandomForestRegressor(n_estimators=3, random_state=7).fit(rows, rows @ np.array([1.0, -2.0, 0.5]))


def a_classifier() -> RandomForestClassifier:
    rows = some_rows(80, seed=7)
    return RandomForestClassifier(n_estimators=3, random_state=7).fit(rows, np.where(rows[:, 0] > 0, "cat", "dog"))


def publish(
    store: ModelStore,
    estimator: Any,
    *,
    model: str = MODEL,
    version: int = 1,
    outputs: Sequence[TensorSpec] = (PREDICTION,),
    falsified_by: float = 0.0,
    libraries: Mapping[str, str] | None = None,
    stored: Format = "joblib",
) -> PublishedVersion:
    """``falsified_by`` is added to the recorded predictions of a regressor."""
    golden = some_rows(5, seed=8)
    expected: dict[str, list[Any]] = {}
    if PREDICTION in outputs:
        expected["prediction"] = (estimator.predict(golden) + falsified_by).tolist()
    if LABEL in outputs:
        expected["label"] = estimator.predict(golden).tolist()
        expected["probabilities"] = estimator.predict_proba(golden).tolist()

    def write(staging: Staging) -> Draft:
        file = f"model.{stored}"
        staging.write_bytes(file, STORED[stored](estimator))
        return Draft(
            model=model,
            version=version,
            run_id="run-1",
            trained_by=TrainedBy(),
            inputs=TrainingInputs(dataset="synthetic", algorithm="random_forest"),
            task="regression" if PREDICTION in outputs else "classification",
            algorithm="random_forest",
            hyperparameters={},
            format=stored,
            model_file=file,
            signature=Signature(
                inputs=[TensorSpec(name=name, datatype="FP64", shape=[-1]) for name in FEATURES], outputs=list(outputs)
            ),
            golden_rows=GoldenRows(inputs=golden.tolist(), expected=expected, tolerance=EXACT),
            metrics={"r2": 0.9},
            primary_metric="r2",
            parity=Parity(rows=5, max_abs_error=0.0, tolerance=EXACT),
            lineage=Lineage(
                dataset=DatasetLineage(
                    name="synthetic", fingerprint="sha256:" + "0" * 64, rows=80, columns=3, train_rows=75, test_rows=5
                ),
                libraries=dict(libraries or {}),
                python=platform.python_version(),
                code_version="0",
                fit_seconds=0.1,
            ),
            created_at="2026-11-23T10:00:00Z",
        )

    return store.publish(model=model, version=version, run_id="run-1", write=write)


async def until(condition: Callable[[], bool]) -> None:
    """Lets everything else run until the condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0)


def load(store: ModelStore, model: str, destination: Path) -> LoadedModel:
    return LoadedModel.load(store.fetch(model=model, version=1, destination=destination))


def a_tensor(**changes: Any) -> dict[str, Any]:
    """One row of the whole matrix; a change to None leaves the field out."""
    tensor = {"name": "input", "shape": [1, 3], "datatype": "FP64", "data": ROW} | changes
    return {name: value for name, value in tensor.items() if value is not None}


def a_column(name: str, **changes: Any) -> dict[str, Any]:
    """One feature of one row."""
    return {"name": name, "shape": [1], "datatype": "FP64", "data": [ROW[FEATURES.index(name)]]} | changes


def a_body(*inputs: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"inputs": list(inputs or (a_tensor(),)), **fields}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    body: Any
    """The JSON."""

    @property
    def error(self) -> str:
        """The text of an error, which must be all there is."""
        assert list(self.body) == ["error"]
        assert isinstance(self.body["error"], str)
        return str(self.body["error"])


async def read(response: ClientResponse) -> Reply:
    assert response.content_type == "application/json"
    return Reply(status=response.status, headers=response.headers, body=await response.json())


@dataclass(kw_only=True)
class Serving:
    """A server under test."""

    client: ClientSession
    port: int
    routes: Routes
    metrics: ServerMetrics
    model: str

    async def infer(self, body: Any = None, *, path: str = "", headers: Mapping[str, str] | None = None) -> Reply:
        """POST to the model's infer endpoint; bytes are sent as they are, anything else as JSON."""
        path = path or f"/v2/models/{self.model}/infer"
        sent: dict[str, Any] = (
            {"data": body} if isinstance(body, bytes) else {"json": a_body() if body is None else body}
        )
        all_headers = {"Content-Type": "application/json", **(headers or {})}
        async with self.client.post(path, headers=all_headers, **sent) as response:
            return await read(response)

    async def request(self, method: str, path: str, **options: Any) -> Reply:
        async with self.client.request(method, path, **options) as response:
            return await read(response)
