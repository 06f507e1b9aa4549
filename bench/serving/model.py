"""The models that are served, their requests, and the stores that Aurora serves them from. Argument: folder."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from aurora_runtime.contract import TrainedBy, TrainingInputs
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
from aurora_runtime.store.model_store import ModelStore
from aurora_runtime.store.staging import Staging
from aurora_runtime.trainer.conversion.trees import is_made_of_trees, to_trees
from bench.serving.graph import forest_graph

ROWS = 20_000
REQUESTS = 256
LARGE = 1_000
FEATURES = ("income", "age", "rooms", "bedrooms", "population", "occupancy", "latitude", "longitude")
AGE = FEATURES.index("age")
FILES: dict[str, Format] = {"model.npz": "trees", "model.joblib": "joblib"}


def rows_and_target() -> tuple[np.ndarray, np.ndarray]:
    """Rows that look like California's housing census, (20000, 8), and what they are worth."""
    random = np.random.default_rng(0)
    features = np.column_stack(
        [
            random.lognormal(1.2, 0.45, ROWS),
            random.integers(1, 53, ROWS),
            random.lognormal(1.6, 0.3, ROWS),
            random.normal(1.1, 0.2, ROWS),
            random.lognormal(7, 0.7, ROWS),
            random.lognormal(1.1, 0.3, ROWS),
            random.uniform(32.5, 42, ROWS),
            random.uniform(-124.3, -114.3, ROWS),
        ]
    )
    income, age, occupancy, latitude, longitude = features[:, [0, 1, 5, 6, 7]].T
    worth = 0.45 * income + 0.01 * age - 0.4 * (occupancy - 3) / 3 + 0.5 * np.sin(latitude) + 0.5 * np.cos(longitude)
    return features, worth + random.normal(0, 0.3, ROWS)


def estimators() -> dict[str, Any]:
    """Unfitted, by the names that bench.py knows them by."""
    others = [column for column in range(len(FEATURES)) if column != AGE]
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), others), ("coded", OneHotEncoder(handle_unknown="ignore"), [AGE])]
    )
    return {
        "forest": RandomForestRegressor(n_estimators=100, random_state=0),
        "boosting": HistGradientBoostingRegressor(random_state=0),
        "linear": make_pipeline(columns, Ridge()),
    }


def body(name: str, rows: np.ndarray) -> str:
    tensor = {"name": name, "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    return json.dumps({"inputs": [tensor]})


def binary_body(rows: np.ndarray) -> bytes:
    """Binary tensors both ways: a line of JSON, then the rows."""
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP64"}
    described = {**tensor, "parameters": {"binary_data_size": rows.nbytes}}
    request = {"inputs": [described], "parameters": {"binary_data_output": True}}
    return json.dumps(request).encode() + b"\n" + rows.tobytes()


def publish(store: ModelStore, model: Any, golden: np.ndarray, file: str, data: bytes) -> None:
    """One version of a model called bench-trees or bench-joblib."""
    tolerance = Tolerance(relative=1e-6, absolute=1e-6)
    name = f"bench-{FILES[file]}"
    lineage = Lineage(
        dataset=DatasetLineage(
            name="bench", fingerprint="sha256:" + "0" * 64, rows=ROWS, columns=8, train_rows=ROWS, test_rows=0
        ),
        libraries={},
        python=platform.python_version(),
        code_version="bench",
        fit_seconds=0,
    )

    def write(staging: Staging) -> Draft:
        staging.write_bytes(file, data)
        return Draft(
            model=name,
            version=1,
            run_id="bench",
            trained_by=TrainedBy(),
            inputs=TrainingInputs(dataset="bench", algorithm="random_forest"),
            task="regression",
            algorithm="random_forest",
            hyperparameters={},
            format=FILES[file],
            model_file=file,
            signature=Signature(
                inputs=[TensorSpec(name=feature, datatype="FP64", shape=[-1]) for feature in FEATURES],
                outputs=[TensorSpec(name="prediction", datatype="FP64", shape=[-1])],
            ),
            golden_rows=GoldenRows(
                inputs=golden.tolist(), expected={"prediction": model.predict(golden).tolist()}, tolerance=tolerance
            ),
            metrics={"r2": 0.0},
            primary_metric="r2",
            parity=Parity(rows=len(golden), max_abs_error=0.0, tolerance=tolerance),
            lineage=lineage,
            created_at="2026-01-01T00:00:00Z",
        )

    store.publish(model=name, version=1, run_id="bench", write=write)


def write(folder: Path, model: Any, features: np.ndarray) -> None:
    """All that the servers of one fitted model need."""
    folder.mkdir(exist_ok=True)
    joblib.dump(model, folder / "model.joblib")
    stored = {"model.joblib": pickled_model.dump(model)}
    if is_made_of_trees(model):
        stored["model.npz"] = to_trees(model).to_bytes()
    if type(model) is RandomForestRegressor:
        (folder / "model.onnx").write_bytes(forest_graph(model))
    for file, data in stored.items():
        publish(ModelStore(root=folder / "store"), model, features[:5], file, data)
    single = features[:REQUESTS, None]
    for name in ("input", "predict"):
        (folder / f"{name}-1.jsonl").write_text("\n".join(body(name, row) for row in single) + "\n")
        (folder / f"{name}-1000.jsonl").write_text(body(name, features[:LARGE]) + "\n")
    (folder / "input-1000.bin").write_bytes(binary_body(np.ascontiguousarray(features[:LARGE])))
    (folder / "expected.json").write_text(json.dumps(model.predict(features[:LARGE]).tolist()))


def main(folder: Path) -> None:
    """Writes everything, ``done`` last."""
    features, target = rows_and_target()
    for name, estimator in estimators().items():
        write(folder / name, estimator.fit(features, target), features)
    (folder / "done").touch()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
