"""Every end of a run, and who acts next."""

import errno
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from aurora_runtime.contract import DataOptions, Outcome, Phase, TrainedBy, TrainingReport, TrainingTask
from aurora_runtime.store.model_store import ModelStore
from aurora_runtime.store.serialization import load
from aurora_runtime.trainer.progress import Progress
from aurora_runtime.trainer.run import run
from aurora_runtime.trainer.training import train
from tests.unit.fakes.clock import FakeClock
from tests.unit.runtime.store.crashing_disk import FailingDisk
from tests.unit.runtime.trainer.builders import a_progress, a_task, inputs

OTHER_RUN = "uid-2-1-def"
TRAIN = "aurora_runtime.trainer.run.train"


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(root=tmp_path / "store")


def run_task(store: ModelStore, task: TrainingTask, progress: Progress | None = None) -> TrainingReport:
    clock = FakeClock(datetime(2026, 11, 23, 10, 0, tzinfo=UTC))
    return run(task, store=store, clock=clock, cores=1, progress=progress or a_progress(clock))


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, training fails the run."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(TRAIN, refuse)


# -- Succeeded


@pytest.mark.parametrize(
    ("dataset", "algorithm", "hyperparameters"),
    [
        ("iris", "random_forest", {"n_estimators": 5}),
        ("diabetes", "hist_gradient_boosting", {"max_iter": 5}),
        ("breast_cancer", "svm", {}),
        ("wine", "knn", {"metric": "manhattan"}),
    ],
)
def test_a_trained_version_serves_the_golden_rows_it_was_published_with(
    store: ModelStore, tmp_path: Path, dataset: str, algorithm: str, hyperparameters: dict[str, Any]
) -> None:
    changes = inputs(dataset=dataset, algorithm=algorithm, hyperparameters=hyperparameters)
    report = run_task(store, a_task(inputs=changes))
    assert report.outcome is Outcome.SUCCEEDED
    assert report.facts is not None
    local = store.fetch(model="flowers", version=1, destination=tmp_path / "local", expected_digest=report.facts.digest)
    golden = local.descriptor.golden_rows
    assert len(golden.inputs) >= 8
    answers = load(local).predict(np.array(golden.inputs))
    assert list(answers) == [tensor.name for tensor in local.descriptor.signature.outputs]
    for name, expected in golden.expected.items():
        np.testing.assert_allclose(answers[name], expected, rtol=1e-9, atol=golden.tolerance.absolute)


def test_the_report_repeats_what_the_descriptor_says(store: ModelStore) -> None:
    report = run_task(store, a_task())
    descriptor = store.open("flowers", 1).descriptor
    facts = report.facts
    assert facts is not None
    assert facts.created_at == descriptor.created_at == "2026-11-23T10:00:00Z"
    assert facts.metrics == descriptor.metrics
    assert facts.primary_metric == "accuracy"
    assert facts.metrics["accuracy"] > 0.8
    assert facts.format == "trees"
    assert facts.feature_count == 4
    assert facts.run_id == report.run_id == a_task().run_id
    assert facts.size_bytes == sum(file.size_bytes for file in descriptor.files)
    assert len(report.to_termination_message().encode()) <= 3584


def test_the_descriptor_tells_where_the_version_comes_from(store: ModelStore) -> None:
    task = a_task(inputs=inputs(data_revision="2026-11", data=DataOptions(test_fraction=0.3, seed=4)))
    run_task(store, task)
    descriptor = store.open("flowers", 1).descriptor
    assert descriptor.inputs == task.inputs
    assert descriptor.trained_by == task.trained_by
    assert descriptor.hyperparameters["n_estimators"] == 5
    assert descriptor.hyperparameters["max_features"] == "sqrt"
    lineage = descriptor.lineage
    assert lineage.dataset.revision == "2026-11"
    assert (lineage.dataset.rows, lineage.dataset.train_rows, lineage.dataset.test_rows) == (150, 105, 45)
    assert {"scikit-learn", "numpy", "onnxruntime"} <= set(lineage.libraries)


def test_ranges_in_the_signature_are_those_of_the_training_rows(store: ModelStore) -> None:
    run_task(store, a_task())
    signature = store.open("flowers", 1).descriptor.signature
    assert signature.feature_names[0] == "sepal length (cm)"
    assert signature.inputs[0].minimum is not None
    assert 4.0 < signature.inputs[0].minimum < 5.0
    label, probabilities = signature.outputs
    assert (label.datatype, label.categories) == ("INT64", [0, 1, 2])
    assert (probabilities.datatype, probabilities.shape) == ("FP64", [-1, 3])


def test_prediction_buckets_part_a_regression_into_shares(store: ModelStore) -> None:
    run_task(store, a_task(inputs=inputs(dataset="diabetes")))
    buckets = store.open("flowers", 1).descriptor.prediction_buckets
    assert len(buckets) == 9
    assert buckets == sorted(buckets)


def test_the_same_task_trains_the_same_bytes(store: ModelStore) -> None:
    run_task(store, a_task())
    run_task(store, a_task(version=2, run_id=OTHER_RUN))
    first, second = (store.open("flowers", version).descriptor for version in (1, 2))
    assert first.files[0].sha256 == second.files[0].sha256
    assert first.metrics == second.metrics


def test_the_report_page_lies_beside_the_model(store: ModelStore) -> None:
    run_task(store, a_task())
    page = (store.root / "flowers" / "1" / "report.html").read_text()
    assert "flowers version 1" in page
    assert "<svg" in page


def test_progress_ends_at_a_hundred(store: ModelStore) -> None:
    progress = a_progress()
    run_task(store, a_task(), progress)
    assert (progress.current.phase, progress.current.percent) == (Phase.PUBLISHING, 100)


# -- the same run again


def test_a_run_that_published_before_reports_the_same_facts_without_training(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run_task(store, a_task())
    forbid_training(monkeypatch)
    again = run_task(store, a_task())
    assert again.outcome is Outcome.SUCCEEDED
    assert again.facts == first.facts
    assert "earlier attempt" in again.message


def test_a_number_whose_bytes_went_bad_is_given_up(store: ModelStore) -> None:
    run_task(store, a_task())
    (store.root / "flowers" / "1" / "model.npz").write_bytes(b"rotten")
    report = run_task(store, a_task())
    assert report.outcome is Outcome.VERSION_TAKEN
    assert report.highest_version == 1


# -- VersionTaken


def test_a_folder_of_another_run_is_reported_with_the_highest_number_before_any_training(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_task(store, a_task(version=1))
    run_task(store, a_task(version=4))
    forbid_training(monkeypatch)
    report = run_task(store, a_task(version=1, run_id=OTHER_RUN))
    assert report.outcome is Outcome.VERSION_TAKEN
    assert report.highest_version == 4
    assert report.facts is None


def test_a_folder_without_a_descriptor_is_taken_too(store: ModelStore) -> None:
    (store.root / "flowers" / "3").mkdir(parents=True)
    report = run_task(store, a_task(version=3))
    assert report.outcome is Outcome.VERSION_TAKEN
    assert report.highest_version == 3


def test_a_number_that_is_taken_while_training_is_reported_too(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slower(task: TrainingTask, **arguments: Any) -> Any:
        train(task.model_copy(update={"run_id": OTHER_RUN}), **arguments)
        return train(task, **arguments)

    monkeypatch.setattr(TRAIN, slower)
    report = run_task(store, a_task())
    assert report.outcome is Outcome.VERSION_TAKEN
    assert report.highest_version == 1


# -- Reused


def reusing_task(**changes: Any) -> TrainingTask:
    return a_task(**{"version": 9, "run_id": OTHER_RUN, "may_reuse": True, **changes})


def test_the_newest_version_of_the_same_job_and_inputs_is_reused(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in (1, 2):
        run_task(store, a_task(version=version))
    run_task(store, a_task(version=3, inputs=inputs(algorithm="logistic", hyperparameters={})))
    run_task(store, a_task(version=4, trained_by=TrainedBy(namespace="default", name="another-job")))
    run_task(store, a_task(version=5, trained_by=TrainedBy(namespace="elsewhere", name="train-flowers")))
    forbid_training(monkeypatch)
    # The job was created anew, so its uid is another; its namespace and name are the same.
    reborn = TrainedBy(namespace="default", name="train-flowers", uid="uid-2")
    report = run_task(store, reusing_task(trained_by=reborn))
    assert report.outcome is Outcome.REUSED
    assert report.run_id == OTHER_RUN
    assert report.facts is not None
    assert report.facts.version == 2
    assert report.highest_version == 5


def test_inputs_are_compared_as_values_through_todays_schema(store: ModelStore) -> None:
    """A version that was published before a defaulted input existed equals a task that leaves that input out."""
    run_task(store, a_task())
    path = store.root / "flowers" / "1" / "descriptor.json"
    content = json.loads(path.read_bytes())
    del content["inputs"]["data"], content["inputs"]["task"]
    content["inputs"]["hyperparameters"]["n_estimators"] = 5.0
    path.write_text(json.dumps(content))
    assert run_task(store, reusing_task()).outcome is Outcome.REUSED


def test_a_version_is_reused_even_when_the_number_that_was_asked_for_is_taken(store: ModelStore) -> None:
    """As when the registry was lost and counts from 1 again: one attempt is enough."""
    run_task(store, a_task(version=1))
    report = run_task(store, reusing_task(version=1))
    assert report.outcome is Outcome.REUSED
    assert report.facts is not None
    assert report.facts.version == 1


def test_a_taken_number_without_a_reusable_version_is_still_taken(store: ModelStore) -> None:
    run_task(store, a_task(version=1, trained_by=TrainedBy(namespace="default", name="another-job")))
    report = run_task(store, reusing_task(version=1))
    assert report.outcome is Outcome.VERSION_TAKEN


def test_nothing_is_reused_unless_the_task_says_so(store: ModelStore) -> None:
    run_task(store, a_task())
    report = run_task(store, reusing_task(may_reuse=False))
    assert report.outcome is Outcome.SUCCEEDED
    assert store.versions("flowers") == [1, 9]


def test_a_damaged_version_is_not_reused(store: ModelStore) -> None:
    run_task(store, a_task(version=1))
    run_task(store, a_task(version=2))
    (store.root / "flowers" / "2" / "model.npz").write_bytes(b"rotten")
    report = run_task(store, reusing_task())
    assert report.outcome is Outcome.REUSED
    assert report.facts is not None
    assert report.facts.version == 1


def test_a_version_that_would_run_code_is_trained_anew_and_the_log_says_why(store: ModelStore) -> None:
    pickled = inputs(algorithm="knn", hyperparameters={"metric": "manhattan"})
    run_task(store, a_task(inputs=pickled))
    with structlog.testing.capture_logs() as logs:
        report = run_task(store, reusing_task(inputs=pickled))
    assert report.outcome is Outcome.SUCCEEDED
    assert store.versions("flowers") == [1, 9]
    assert any("nobody vouches" in str(line.get("reason")) for line in logs)


# -- InvalidInput


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dataset": "boston"}, "unknown dataset"),
        ({"algorithm": "xgboost"}, "unknown algorithm"),
        ({"algorithm": "linear", "hyperparameters": {}}, "use logistic"),
        ({"task": "regression"}, "set task to auto"),
        ({"hyperparameters": {"trees": 5}}, "unknown hyperparameter 'trees'"),
        ({"hyperparameters": {"n_estimators": "x"}}, "'n_estimators' of random_forest"),
        ({"data": DataOptions(test_fraction=0.01)}, "fewer than 8 rows"),
        ({"algorithm": "knn", "hyperparameters": {"n_neighbors": 500}}, "knn cannot be fitted"),
    ],
)
def test_inputs_that_cannot_be_trained_are_the_users_to_change(
    store: ModelStore, changes: dict[str, Any], problem: str
) -> None:
    report = run_task(store, a_task(inputs=inputs(**changes)))
    assert report.outcome is Outcome.INVALID_INPUT
    assert problem in report.message
    assert store.highest("flowers") == 0


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_diverges_is_the_users_to_change(store: ModelStore) -> None:
    diverging = {"solver": "sgd", "learning_rate_init": 1e300, "activation": "identity", "max_iter": 5}
    report = run_task(store, a_task(inputs=inputs(dataset="diabetes", algorithm="mlp", hyperparameters=diverging)))
    assert report.outcome is Outcome.INVALID_INPUT


@pytest.mark.parametrize("changes", [{"model": "../up"}, {"model": "Flowers"}, {"run_id": "a/b"}])
def test_names_that_leave_the_store_are_refused(store: ModelStore, changes: dict[str, str]) -> None:
    report = run_task(store, a_task(**changes))
    assert report.outcome is Outcome.INVALID_INPUT
    assert not store.root.exists()


# -- StorageUnavailable and Failed


def test_storage_that_fails_is_not_the_users_fault(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path, disk=FailingDisk(operations=8, code=errno.ENOSPC))
    report = run_task(store, a_task())
    assert report.outcome is Outcome.STORAGE_UNAVAILABLE
    assert "ENOSPC" in report.message
    assert "enlarge the claim" in report.message


def test_storage_that_cannot_be_written_is_found_out_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_training(monkeypatch)
    store = ModelStore(root=tmp_path, disk=FailingDisk(operations=0, code=errno.EROFS))
    report = run_task(store, a_task())
    assert report.outcome is Outcome.STORAGE_UNAVAILABLE
    assert "read-write" in report.message


def test_leftovers_of_this_run_are_gone_even_when_training_fails(store: ModelStore) -> None:
    leftover = store.root / "flowers" / ".staging" / f"{a_task().run_id}-000000000000"
    leftover.mkdir(parents=True)
    run_task(store, a_task(inputs=inputs(dataset="boston")))
    assert not leftover.exists()


@pytest.mark.parametrize(
    ("error", "words"), [(MemoryError("12 GiB"), "resources.limits.memory"), (RuntimeError("odd"), "odd")]
)
def test_anything_else_is_a_failure_with_its_reason(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(TRAIN, fail)
    report = run_task(store, a_task())
    assert report.outcome is Outcome.FAILED
    assert words in report.message


def test_a_store_that_vanishes_under_the_run_is_reported(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def after_the_mount_is_gone(task: TrainingTask, **arguments: Any) -> Any:
        shutil.rmtree(store.root)
        store.root.touch()
        return train(task, **arguments)

    monkeypatch.setattr(TRAIN, after_the_mount_is_gone)
    assert run_task(store, a_task()).outcome is Outcome.STORAGE_UNAVAILABLE
