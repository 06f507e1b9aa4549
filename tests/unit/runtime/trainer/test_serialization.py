import numpy as np
import pytest

from aurora_runtime.store.onnx_engine import OnnxEngine
from aurora_runtime.trainer import serialization
from aurora_runtime.trainer.answers import answers_of
from aurora_runtime.trainer.conversion.convert import to_onnx
from aurora_runtime.trainer.serialization import SerializedModel, serialize
from tests.unit.runtime.trainer.builders import a_dataset, a_fitted_model


def serialized(algorithm: str, **hyperparameters: object) -> SerializedModel:
    dataset = a_dataset()
    model = a_fitted_model(algorithm, dataset, **hyperparameters)  # type: ignore[arg-type]
    return serialize(model, "regression", dataset.features, answers_of(model, "regression", dataset.features))


def test_a_model_with_a_graph_is_stored_as_onnx_with_its_parity() -> None:
    stored = serialized("random_forest")
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


def test_a_graph_that_answers_otherwise_is_not_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    other = a_fitted_model("ridge", a_dataset())
    graph = to_onnx(other)
    monkeypatch.setattr(serialization, "to_onnx", lambda _: graph)
    stored = serialized("random_forest")
    assert stored.format == "joblib"
    assert stored.joblib_reason is not None
    assert "prediction differs by up to" in stored.joblib_reason
