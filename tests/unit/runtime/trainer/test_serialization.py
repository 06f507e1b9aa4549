import io
from pathlib import Path

import numpy as np
import pytest

from aurora_runtime.store.onnx_engine import OnnxEngine
from aurora_runtime.store.trees.model_file import TreesEngine
from aurora_runtime.trainer import serialization
from aurora_runtime.trainer.answers import answers_of
from aurora_runtime.trainer.serialization import SerializedModel, serialize
from tests.unit.runtime.trainer.builders import a_dataset, a_fitted_model


def serialized(algorithm: str, **hyperparameters: object) -> SerializedModel:
    dataset = a_dataset()
    model = a_fitted_model(algorithm, dataset, **hyperparameters)  # type: ignore[arg-type]
    return serialize(model, "regression", dataset.features, answers_of(model, "regression", dataset.features))


def test_a_model_made_of_trees_is_stored_as_such_with_its_parity() -> None:
    stored = serialized("random_forest")
    assert stored.format == "trees"
    assert stored.file_name == "model.npz"
    assert stored.joblib_reason is None
    assert stored.parity.max_abs_error == 0
    engine = TreesEngine.load(io.BytesIO(stored.data), path=Path(stored.file_name))
    assert engine.predict(np.zeros((1, 4)))["prediction"].shape == (1,)


def test_a_model_with_a_graph_is_stored_as_onnx_with_its_parity() -> None:
    stored = serialized("ridge")
    assert stored.format == "onnx"
    assert stored.file_name == "model.onnx"
    assert stored.joblib_reason is None
    assert stored.parity.rows == 120
    assert stored.parity.max_abs_error < 1e-12
    assert OnnxEngine(stored.data).predict(np.zeros((1, 4)))["prediction"].shape == (1,)


def test_a_model_without_a_graph_is_stored_as_joblib_with_the_reason() -> None:
    stored = serialized("knn", metric="manhattan")
    assert stored.format == "joblib"
    assert stored.file_name == "model.joblib"
    assert stored.joblib_reason is not None
    assert "euclidean" in stored.joblib_reason
    assert stored.parity.max_abs_error == 0.0


@pytest.mark.parametrize(("algorithm", "convert"), [("linear", "to_onnx"), ("extra_trees", "to_trees")])
def test_what_answers_otherwise_is_not_stored(algorithm: str, convert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = getattr(serialization, convert)(a_fitted_model(algorithm, a_dataset(target=np.arange(120.0))))
    monkeypatch.setattr(serialization, convert, lambda _: other)
    stored = serialized(algorithm)
    assert stored.format == "joblib"
    assert stored.joblib_reason is not None
    assert "prediction differs by up to" in stored.joblib_reason
