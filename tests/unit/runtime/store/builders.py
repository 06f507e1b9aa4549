"""Versions of models as a trainer would publish them: a test names only what it is about."""

from typing import Any

from aurora_runtime.contract import TrainedBy, TrainingInputs
from aurora_runtime.store.descriptor import (
    DatasetLineage,
    Draft,
    GoldenRows,
    Lineage,
    Parity,
    Signature,
    TensorSpec,
    Tolerance,
)
from aurora_runtime.store.model_store import ModelStore, PublishedVersion
from aurora_runtime.store.staging import Staging

MODEL = "housing"
RUN = "job-uid-1-abcdef01"
FILES = {"model.onnx": b"the model", "report.html": b"<p>the report</p>"}


def a_draft(**changes: Any) -> Draft:
    """What the author of a version says of it."""
    tolerance = Tolerance(relative=1e-9, absolute=1e-9)
    values: dict[str, Any] = {
        "model": MODEL,
        "version": 1,
        "run_id": RUN,
        "trained_by": TrainedBy(namespace="default", name="train-housing", uid="uid-1"),
        "inputs": TrainingInputs(dataset="synthetic", algorithm="random_forest"),
        "task": "regression",
        "algorithm": "random_forest",
        "hyperparameters": {"n_estimators": 100, "max_depth": None},
        "format": "onnx",
        "model_file": "model.onnx",
        "signature": Signature(
            inputs=[TensorSpec(name="income", datatype="FP64", shape=[-1], minimum=0.5, maximum=15.0)],
            outputs=[TensorSpec(name="prediction", datatype="FP64", shape=[-1])],
        ),
        "golden_rows": GoldenRows(inputs=[[1.5]], expected={"prediction": [2.25]}, tolerance=tolerance),
        "metrics": {"r2": 0.8, "rmse": 0.5},
        "primary_metric": "r2",
        "parity": Parity(rows=10, max_abs_error=0.0, tolerance=tolerance),
        "lineage": Lineage(
            dataset=DatasetLineage(
                name="synthetic",
                fingerprint="sha256:" + "0" * 64,
                rows=100,
                columns=1,
                train_rows=80,
                test_rows=20,
            ),
            libraries={"scikit-learn": "1.6.0"},
            python="3.11.0",
            code_version="0.1.0",
            fit_seconds=1.5,
        ),
        "created_at": "2026-11-23T10:00:00Z",
    }
    return Draft(**{**values, **changes})


def publish(store: ModelStore, files: dict[str, bytes] | None = None, **changes: Any) -> PublishedVersion:
    """Publishes ``a_draft(**changes)`` with these files."""
    draft = a_draft(**changes)

    def write(staging: Staging) -> Draft:
        for name, data in (files or FILES).items():
            staging.write_bytes(name, data)
        return draft

    return store.publish(model=draft.model, version=draft.version, run_id=draft.run_id, write=write)
