"""A verified copy of a version, loaded: it predicts, and has proved that it predicts as it did at training."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.inference.errors import GoldenRowsDiffer, InvalidRequest
from aurora_runtime.inference.tensors import NUMPY_TYPES, Features
from aurora_runtime.store import serialization
from aurora_runtime.store.descriptor import Descriptor, TensorSpec, Tolerance
from aurora_runtime.store.engine import Answers, Engine, Rows
from aurora_runtime.store.model_store import LocalModel

PLATFORMS: Final = {"trees": "aurora_trees", "onnx": "onnx_onnxv1", "joblib": "sklearn_joblib"}
"""Stored format → ``platform`` of the protocol, ``<project>_<format>``."""
_FEW: Final = 16


@dataclass(frozen=True, kw_only=True)
class LoadedModel:
    """A model that may answer requests."""

    descriptor: Descriptor
    digest: str
    engine: Engine

    @classmethod
    def load(cls, local: LocalModel) -> "LoadedModel":
        """Loads and replays the golden rows. Blocking. Raises ArtifactRefused and GoldenRowsDiffer."""
        model = cls(descriptor=local.descriptor, digest=local.digest, engine=serialization.load(local))
        model.replay_golden_rows()
        return model

    @property
    def name(self) -> str:
        return self.descriptor.model

    @cached_property
    def version(self) -> str:
        """As the protocol writes it: a string."""
        return str(self.descriptor.version)

    @cached_property
    def features(self) -> Features:
        """What a request must bring."""
        return Features(tensors=tuple(self.descriptor.signature.inputs))

    @cached_property
    def outputs(self) -> Mapping[str, TensorSpec]:
        """What a response may hold, by name, in the signature's order."""
        return {tensor.name: tensor for tensor in self.descriptor.signature.outputs}

    def predict(self, features: Rows) -> Answers:
        """Answers of the signature's datatypes for ``features`` (rows, features). Blocking.

        Raises InvalidRequest for a row without a finite answer: it lies where the model's arithmetic overflows, and
        JSON has no word for the result.
        """
        answers = {name: _typed(array, self.outputs[name]) for name, array in self.engine.predict(features).items()}
        for name, array in answers.items():
            if array.dtype.kind == "f" and not _all_finite(array):
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                raise InvalidRequest(f"row {row}: the model has no finite {name} for these values")
        return answers

    def replay_golden_rows(self) -> None:
        """Raises GoldenRowsDiffer at the first answer that is outside the recorded tolerance."""
        golden = self.descriptor.golden_rows
        answers = self.engine.predict(np.array(golden.inputs, dtype=np.float64))
        for output, expected in golden.expected.items():
            actual = answers.get(output)
            row = first_difference(np.array(expected), actual, golden.tolerance)
            if row is not None:
                shown = None if actual is None or row >= len(actual) else actual[row].tolist()
                raise GoldenRowsDiffer(output=output, row=row, expected=expected[row], actual=shown)

    def metadata(self, *, alias: str | None = None) -> dict[str, Any]:
        """Model metadata of the protocol, from the signature. ``alias`` is what was asked for instead of a number."""
        signature = self.descriptor.signature
        properties = {"digest": self.digest, "trained_at": self.descriptor.created_at}
        if alias is not None:
            properties["alias"] = alias
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": PLATFORMS[self.descriptor.format],
            "inputs": [_metadata(tensor) for tensor in signature.inputs],
            "outputs": [_metadata(tensor) for tensor in signature.outputs],
            "properties": properties,
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


def _all_finite(array: NDArray[Any]) -> bool:
    """A finite sum has only finite parts; of few numbers it costs a fraction of what NumPy takes to look at each."""
    return (array.size <= _FEW and isfinite(sum(array.ravel().tolist()))) or bool(np.isfinite(array).all())


def _typed(array: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    dtype = NUMPY_TYPES.get(spec.datatype, array.dtype)
    if array.dtype == dtype and array.flags.c_contiguous:
        return array
    return np.ascontiguousarray(array, dtype=dtype)


def _metadata(tensor: TensorSpec) -> dict[str, Any]:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
