"""A verified copy of a version, loaded: predicts, and has proved that it predicts as at training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.inference.errors import GoldenRowsDiffer
from aurora_runtime.store.descriptor import Descriptor, Tolerance
from aurora_runtime.store.engine import Engine
from aurora_runtime.store.model_store import LocalModel
from aurora_runtime.store.serialization import load


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that may answer requests."""

    descriptor: Descriptor
    digest: str
    engine: Engine

    @classmethod
    def load(cls, local: LocalModel) -> "LoadedModel":
        """Loads and replays the golden rows. Blocking. Raises ArtifactRefused and GoldenRowsDiffer."""
        model = cls(descriptor=local.descriptor, digest=local.digest, engine=load(local))
        model.replay_golden_rows()
        return model

    @property
    def name(self) -> str:
        return self.descriptor.model

    @property
    def version(self) -> str:
        return str(self.descriptor.version)

    def replay_golden_rows(self) -> None:
        """Raises GoldenRowsDiffer at the first answer that is out of the recorded tolerance."""
        golden = self.descriptor.golden_rows
        answers = self.engine.predict(np.array(golden.inputs, dtype=np.float64))
        for output, expected in golden.expected.items():
            difference = first_difference(np.asarray(expected), answers.get(output), golden.tolerance)
            if difference is not None:
                actual = None if answers.get(output) is None else answers[output][difference].tolist()
                raise GoldenRowsDiffer(output=output, row=difference, expected=expected[difference], actual=actual)

    def metadata(self) -> dict[str, Any]:
        """Model metadata of the Open Inference Protocol, from the signature."""
        descriptor = self.descriptor
        project = {"onnx": "onnx_onnxv1", "joblib": "sklearn_joblib"}[descriptor.format]
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": project,
            "inputs": [_tensor(tensor.name, tensor.datatype, tensor.shape) for tensor in descriptor.signature.inputs],
            "outputs": [_tensor(tensor.name, tensor.datatype, tensor.shape) for tensor in descriptor.signature.outputs],
            "properties": {"digest": self.digest, "trained_at": descriptor.created_at},
        }


def first_difference(expected: NDArray[Any], actual: NDArray[Any] | None, tolerance: Tolerance) -> int | None:
    """Index of the first row that differs; None when all are within the tolerance."""
    if actual is None or actual.shape != expected.shape:
        return 0
    if expected.dtype.kind in "iuf" and actual.dtype.kind in "iuf":
        equal = np.isclose(actual, expected, rtol=tolerance.relative, atol=tolerance.absolute)
    else:
        equal = actual.astype(str) == expected.astype(str)
    rows = equal.reshape(len(expected), -1).all(axis=1)
    return None if rows.all() else int(np.argmin(rows))


def _tensor(name: str, datatype: str, shape: list[int]) -> Mapping[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape}
