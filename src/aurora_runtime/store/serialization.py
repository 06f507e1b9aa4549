"""From verified files to something that predicts."""

from aurora_runtime.store.engine import Engine
from aurora_runtime.store.model_store import LocalModel


def load(local: LocalModel, *, threads: int = 1) -> Engine:
    """The engine of a verified copy. ``threads`` is what one prediction may use.

    Raises UnsafeModel when a pickle names code outside the allow-list.
    """
    # Each format brings its own stack of some 20 to 100 MB: a server carries only the one that it needs.
    if local.descriptor.format == "onnx":
        from aurora_runtime.store.onnx_engine import OnnxEngine  # noqa: PLC0415

        return OnnxEngine(local.model_file, threads=threads)
    from aurora_runtime.store import pickled_model  # noqa: PLC0415

    estimator = pickled_model.load(local.model_file.read_bytes(), path=local.model_file)
    return pickled_model.EstimatorEngine(estimator, task=local.descriptor.task)
