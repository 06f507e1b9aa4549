"""Where a version comes from: rows, libraries, code."""

import platform
from importlib import metadata
from typing import Final

from aurora_runtime.store.descriptor import DatasetLineage, Lineage
from aurora_runtime.trainer.dataset import Dataset
from aurora_runtime.trainer.split import Split

_LIBRARIES: Final = ("joblib", "numpy", "onnx", "onnxruntime", "scikit-learn", "scipy")


def lineage_of(dataset: Dataset, split: Split, *, revision: str | None, fit_seconds: float) -> Lineage:
    """As of this process."""
    return Lineage(
        dataset=DatasetLineage(
            name=dataset.name,
            fingerprint=dataset.fingerprint,
            rows=len(dataset.target),
            columns=len(dataset.feature_names),
            train_rows=len(split.train_target),
            test_rows=len(split.test_target),
            revision=revision,
        ),
        libraries={name: metadata.version(name) for name in _LIBRARIES},
        python=platform.python_version(),
        code_version=metadata.version("aurora"),
        fit_seconds=round(fit_seconds, 3),
    )
