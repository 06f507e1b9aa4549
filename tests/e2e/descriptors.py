"""What scikit-learn itself answers for held-out rows: the documented steps in this process, without store or server."""

import json
from dataclasses import dataclass
from typing import Any

from aurora_runtime.contract import TrainingInputs
from aurora_runtime.trainer.algorithms import estimator_for
from aurora_runtime.trainer.dataset import load_dataset
from aurora_runtime.trainer.hyperparameters import parse_hyperparameters
from aurora_runtime.trainer.pipeline import build_model
from aurora_runtime.trainer.split import split_rows
from tests.e2e.cluster import Cluster

ROWS = 50


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Held-out rows and the predictions of a model that scikit-learn fitted here."""

    rows: list[list[float]]
    predictions: list[float]
    relative: float
    absolute: float


def reference_for(cluster: Cluster, namespace: str, model: str, version: int) -> Reference:
    """By the inputs and the tolerance that the version's descriptor on the volume records."""
    path = cluster.store_of(namespace, model) / str(version) / "descriptor.json"
    record: dict[str, Any] = json.loads(path.read_bytes())
    inputs = TrainingInputs.model_validate(record["inputs"])
    dataset = load_dataset(inputs.dataset, task=inputs.task)
    estimator = estimator_for(inputs.algorithm, dataset.task)
    given = parse_hyperparameters(estimator.hyperparameters, inputs.hyperparameters, algorithm=inputs.algorithm)
    split = split_rows(dataset, inputs.data)
    fitted = build_model(estimator, given, seed=inputs.data.seed, jobs=2)
    fitted.fit(split.train_features, split.train_target)
    rows = split.test_features[:ROWS]
    tolerance = record["goldenRows"]["tolerance"]
    return Reference(
        rows=rows.tolist(),
        predictions=fitted.predict(rows).tolist(),
        relative=tolerance["relative"],
        absolute=tolerance["absolute"],
    )
