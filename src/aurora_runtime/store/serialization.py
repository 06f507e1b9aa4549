"""From verified files to something that predicts."""

import numpy as np

from aurora_runtime.store.engine import Engine
from aurora_runtime.store.memory import return_freed_memory
from aurora_runtime.store.model_store import LocalModel


def load(local: LocalModel, *, threads: int = 1) -> Engine:
    """The engine of a verified copy. ``threads`` is what one prediction may use.

    Raises UnsafeModel when a pickle names code outside the allow-list, and BrokenModel.
    """
    match local.descriptor.format:
        case "trees":
            engine = _trees(local)
        case "onnx":
            engine = _onnx(local, threads)
        case "joblib":
            engine = _estimator(local)
    return_freed_memory()
    return engine


# Each format brings its own stack of some 20 to 100 MB: a server carries only the one that it needs.


def _trees(local: LocalModel) -> Engine:
    from aurora_runtime.store.trees.model_file import TreesEngine  # noqa: PLC0415

    return TreesEngine.load(local.model_file, path=local.model_file)


def _onnx(local: LocalModel, threads: int) -> Engine:
    from aurora_runtime.store.onnx_engine import OnnxEngine  # noqa: PLC0415

    return OnnxEngine(local.model_file, threads=threads)


def _estimator(local: LocalModel) -> Engine:
    from aurora_runtime.store import pickled_model  # noqa: PLC0415
    from aurora_runtime.store.direct_engine import engine_of  # noqa: PLC0415

    with local.model_file.open("rb") as file:
        estimator = pickled_model.load(file, path=local.model_file)
    pickled_model.use_one_core(estimator)
    examples = np.array(local.descriptor.golden_rows.inputs, dtype=np.float64)
    return engine_of(estimator, task=local.descriptor.task, examples=examples)
