"""Fitted estimators ↔ stored bytes ↔ engines."""

from aurora_runtime.store import pickled_model
from aurora_runtime.store.engine import Engine, EstimatorEngine, OnnxEngine
from aurora_runtime.store.model_store import LocalModel


def load(local: LocalModel, *, threads: int = 1) -> Engine:
    """The engine of a verified copy. ``threads`` is what one prediction may use.

    Raises UnsafeModel when a pickle names code outside the allow-list.
    """
    if local.descriptor.format == "onnx":
        return OnnxEngine(local.model_file, threads=threads)
    estimator = pickled_model.load(local.model_file.read_bytes(), path=local.model_file)
    return EstimatorEngine(estimator, task=local.descriptor.task)
