"""A model that was trained and evaluated, and its description before it is published."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.contract import TrainingTask
from aurora_runtime.store.descriptor import LABEL, PREDICTION, Draft
from aurora_runtime.trainer import plots
from aurora_runtime.trainer.dataset import Dataset
from aurora_runtime.trainer.evaluation import Answers, primary_metric
from aurora_runtime.trainer.golden import golden_rows
from aurora_runtime.trainer.hyperparameters import Hyperparameters
from aurora_runtime.trainer.lineage import lineage_of
from aurora_runtime.trainer.serialization import SerializedModel
from aurora_runtime.trainer.signature import signature_of
from aurora_runtime.trainer.split import Split

_BUCKETS: Final = 10


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A fitted model with all that went into it."""

    task: TrainingTask
    hyperparameters: Hyperparameters
    dataset: Dataset
    split: Split
    model: Any
    fit_seconds: float
    answers: Answers
    """The model's own, for the held-out rows."""
    metrics: dict[str, float]

    @property
    def classes(self) -> NDArray[Any] | None:
        """What labels and probability columns stand for; None for regression."""
        return getattr(self.model, "classes_", None)

    def describe(self, serialized: SerializedModel, *, created_at: str) -> Draft:
        """The descriptor without its files."""
        task = self.task
        return Draft(
            model=task.model,
            version=task.version,
            run_id=task.run_id,
            trained_by=task.trained_by,
            inputs=task.inputs,
            task=self.dataset.task,
            algorithm=task.inputs.algorithm,
            hyperparameters=self.hyperparameters.model_dump(mode="json"),
            format=serialized.format,
            model_file=serialized.file_name,
            signature=signature_of(self.dataset, self.split.train_features, self.answers, self.classes),
            golden_rows=golden_rows(self.model, self.dataset.task, self.split.test_features, self.answers),
            metrics=self.metrics,
            primary_metric=primary_metric(self.dataset.task),
            parity=serialized.parity,
            joblib_reason=serialized.joblib_reason,
            prediction_buckets=self._prediction_buckets(),
            lineage=lineage_of(
                self.dataset, self.split, revision=task.inputs.data_revision, fit_seconds=self.fit_seconds
            ),
            created_at=created_at,
        )

    def plot(self) -> str:
        """SVG of the held-out rows."""
        if self.classes is None:
            return plots.predicted_against_true(self.split.test_target, self.answers[PREDICTION])
        return plots.confusion_matrix(self.split.test_target, self.answers[LABEL], self.classes)

    def _prediction_buckets(self) -> list[float]:
        """The inner edges of _BUCKETS equal shares of the predictions; fewer where many are equal."""
        if self.classes is not None:
            return []
        edges = np.quantile(self.answers[PREDICTION], np.linspace(0, 1, _BUCKETS + 1)[1:-1])
        return [float(edge) for edge in np.unique(edges)]
