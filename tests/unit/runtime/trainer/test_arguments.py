from pathlib import Path

import pytest

from aurora_runtime.contract import METRICS_PORT, STORE_MOUNT_PATH, TERMINATION_MESSAGE_PATH, DataOptions
from aurora_runtime.store.errors import StorageUnavailable
from aurora_runtime.trainer.arguments import Settings, parse
from aurora_runtime.trainer.errors import InvalidInput
from tests.unit.runtime.trainer.builders import a_task


def parsed(store: Path, *more: str) -> Settings:
    flags = ["--store", str(store), "--model", "housing", "--dataset", "synthetic", "--algorithm", "random_forest"]
    return parse([*flags, *more], {})


def test_the_command_line_says_it_all(tmp_path: Path) -> None:
    settings = parsed(
        tmp_path,
        *("--param", "n_estimators=50", "--param", "max_features=sqrt", "--param", "max_depth=null"),
        *("--seed", "7", "--test-fraction", "0.3", "--version", "12", "--data-revision", "r1"),
        *("--metrics-port", "9191", "--run-id", "mine", "--log-level", "debug"),
    )
    task = settings.task
    assert (task.model, task.version, task.run_id) == ("housing", 12, "mine")
    assert task.inputs.hyperparameters == {"n_estimators": 50, "max_features": "sqrt", "max_depth": None}
    assert task.inputs.data == DataOptions(test_fraction=0.3, seed=7)
    assert task.inputs.data_revision == "r1"
    assert not task.may_reuse
    assert settings.status_port == 9191
    assert settings.log_level == "debug"
    assert settings.termination_message_path is None


def test_the_command_line_serves_no_metrics_unless_told_to(tmp_path: Path) -> None:
    assert parsed(tmp_path).status_port is None
    assert parsed(tmp_path, "--metrics-port", "0").status_port is None


def test_the_next_free_number_is_taken(tmp_path: Path) -> None:
    assert parsed(tmp_path / "missing").task.version == 1
    (tmp_path / "housing" / "7").mkdir(parents=True)
    assert parsed(tmp_path).task.version == 8


def test_two_runs_never_share_an_id(tmp_path: Path) -> None:
    assert parsed(tmp_path).task.run_id != parsed(tmp_path).task.run_id


def test_a_value_may_be_json_or_a_word(tmp_path: Path) -> None:
    settings = parsed(tmp_path, "--param", "hidden_layer_sizes=[50, 20]", "--param", "x=a=b", "--param", "y=")
    assert settings.task.inputs.hyperparameters == {"hidden_layer_sizes": [50, 20], "x": "a=b", "y": ""}


def test_in_a_pod_the_environment_says_it_all() -> None:
    task = a_task(may_reuse=True)
    settings = parse([], {"AURORA_TRAINING_TASK": task.to_json(), "AURORA_LOG_LEVEL": "WARNING"})
    assert settings.task == task
    assert settings.store == Path(STORE_MOUNT_PATH)
    assert settings.status_port == METRICS_PORT
    assert settings.termination_message_path == Path(TERMINATION_MESSAGE_PATH)
    assert settings.log_level == "WARNING"


@pytest.mark.parametrize(
    ("arguments", "environment", "problem"),
    [
        ([], {}, "AURORA_TRAINING_TASK"),
        ([], {"AURORA_TRAINING_TASK": "{"}, "not a training task"),
        ([], {"AURORA_TRAINING_TASK": "{}"}, "not a training task"),
        (["--store", "x", "--model", "m"], {}, "--dataset, --algorithm"),
        (["--store", "x", "--model", "../m", "--dataset", "iris", "--algorithm", "knn"], {}, "not a name of a model"),
        (
            ["--store", "x", "--model", "m", "--dataset", "iris", "--algorithm", "knn", "--version", "0"],
            {},
            "version",
        ),
        ([], {"AURORA_TRAINING_TASK": "{}", "AURORA_LOG_LEVEL": "loud"}, "log level 'loud'"),
    ],
)
def test_what_is_missing_or_wrong_is_named(arguments: list[str], environment: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        parse(arguments, environment)


@pytest.mark.parametrize("flag", [["--param", "n_estimators"], ["--param", "=5"], ["--seed", "x"]])
def test_a_malformed_flag_ends_as_command_lines_do(tmp_path: Path, flag: list[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(tmp_path, *flag)


def test_a_store_that_cannot_be_read_is_not_a_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable):
        parsed(tmp_path / "file")
