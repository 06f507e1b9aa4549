"""The story of one run: load → split → fit → evaluate → convert → publish."""

from typing import Any

import structlog

from aurora_runtime.contract import Phase, TrainingTask
from aurora_runtime.store.descriptor import Draft
from aurora_runtime.store.layout import REPORT_FILE
from aurora_runtime.store.model_store import ModelStore, PublishedVersion
from aurora_runtime.store.staging import Staging
from aurora_runtime.trainer import report_page
from aurora_runtime.trainer.algorithms import Estimator, estimator_for
from aurora_runtime.trainer.answers import answers_of
from aurora_runtime.trainer.clock import Clock, rfc3339
from aurora_runtime.trainer.dataset import load_dataset
from aurora_runtime.trainer.errors import InvalidInput
from aurora_runtime.trainer.evaluation import evaluate
from aurora_runtime.trainer.fitting import fit
from aurora_runtime.trainer.hyperparameters import parse_hyperparameters
from aurora_runtime.trainer.pipeline import build_model
from aurora_runtime.trainer.progress import Progress
from aurora_runtime.trainer.serialization import SerializedModel, serialize
from aurora_runtime.trainer.split import Split, split_rows
from aurora_runtime.trainer.trained_model import TrainedModel

log = structlog.get_logger(__name__)


def train(task: TrainingTask, *, store: ModelStore, clock: Clock, cores: int, progress: Progress) -> PublishedVersion:
    """Trains and publishes one version.

    Raises InvalidInput for inputs that cannot be trained, VersionExists and StorageUnavailable as the store does.
    """
    trained = _trained(task, clock=clock, cores=cores, progress=progress)

    progress.begin(Phase.CONVERTING)
    serialized = serialize(trained.model, trained.dataset.task, trained.split.test_features, trained.answers)
    log.info(
        "model converted",
        format=serialized.format,
        size_bytes=len(serialized.data),
        max_abs_error=serialized.parity.max_abs_error,
        joblib_reason=serialized.joblib_reason,
    )

    progress.begin(Phase.PUBLISHING)
    draft = trained.describe(serialized, created_at=rfc3339(clock.now()))
    published = _publish(store, task, draft, serialized, plot=trained.plot())
    progress.advance(1.0)
    log.info("version published", model=task.model, version=task.version, digest=published.digest)
    return published


def _trained(task: TrainingTask, *, clock: Clock, cores: int, progress: Progress) -> TrainedModel:
    inputs = task.inputs
    dataset = load_dataset(inputs.dataset, task=inputs.task)
    estimator = estimator_for(inputs.algorithm, dataset.task)
    hyperparameters = parse_hyperparameters(
        estimator.hyperparameters, inputs.hyperparameters, algorithm=inputs.algorithm
    )
    split = split_rows(dataset, inputs.data)
    log.info("rows loaded", dataset=dataset.name, train_rows=len(split.train_target), test_rows=len(split.test_target))

    progress.begin(Phase.FITTING)
    model = build_model(estimator, hyperparameters, seed=inputs.data.seed, jobs=cores)
    began = clock.monotonic()
    _fit(model, estimator, split, algorithm=inputs.algorithm, cores=cores, progress=progress)
    fit_seconds = clock.monotonic() - began
    log.info("model fitted", algorithm=inputs.algorithm, seconds=round(fit_seconds, 3), cores=cores)

    progress.begin(Phase.EVALUATING)
    answers = answers_of(model, dataset.task, split.test_features)
    metrics = evaluate(dataset.task, split.test_target, answers, getattr(model, "classes_", None))
    log.info("model evaluated", **metrics)
    return TrainedModel(
        task=task,
        hyperparameters=hyperparameters,
        dataset=dataset,
        split=split,
        model=model,
        fit_seconds=fit_seconds,
        answers=answers,
        metrics=metrics,
    )


def _fit(model: Any, estimator: Estimator, split: Split, *, algorithm: str, cores: int, progress: Progress) -> None:
    try:
        fit(model, estimator, split.train_features, split.train_target, cores=cores, on_progress=progress.advance)
        # An estimator may find its arguments at odds with the rows only when it is asked.
        model.predict(split.test_features[:1])
    except ValueError as error:
        raise InvalidInput(f"{algorithm} cannot be fitted with these hyperparameters and rows: {error}") from error


def _publish(
    store: ModelStore, task: TrainingTask, draft: Draft, serialized: SerializedModel, *, plot: str
) -> PublishedVersion:
    def write(staging: Staging) -> Draft:
        staging.write_bytes(serialized.file_name, serialized.data)
        staging.write_bytes(REPORT_FILE, report_page.render(draft, plot=plot).encode())
        return draft

    return store.publish(model=task.model, version=task.version, run_id=task.run_id, write=write)
