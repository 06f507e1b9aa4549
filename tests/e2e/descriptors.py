"""What the store recorded of a version, and what scikit-learn itself answers for the same rows."""

import json
from typing import Any

from aurora_runtime.contract import TrainingInputs
from tests.e2e.cluster import Cluster


def descriptor(cluster: Cluster, namespace: str, model: str, version: int) -> dict[str, Any]:
    """The version's descriptor, read from the volume."""
    path = cluster.models_dir / namespace / model / str(version) / "descriptor.json"
    record: dict[str, Any] = json.loads(path.read_bytes())
    return record


def inputs_of(record: dict[str, Any]) -> TrainingInputs:
    return TrainingInputs.model_validate(record["inputs"])
