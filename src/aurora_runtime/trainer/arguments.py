"""Command line and environment → what to train, where, and how to tell."""

import argparse
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aurora_runtime.contract import (
    METRICS_PORT,
    STORE_MOUNT_PATH,
    TERMINATION_MESSAGE_PATH,
    TRAINING_TASK_VARIABLE,
    DataOptions,
    TrainingInputs,
    TrainingTask,
    Variable,
)
from aurora_runtime.logs import LEVELS
from aurora_runtime.store.errors import UnsafePath
from aurora_runtime.store.model_store import ModelStore
from aurora_runtime.trainer.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One invocation of the trainer."""

    task: TrainingTask
    store: Path
    status_port: int | None
    """Where /metrics and /progress are served; None serves them nowhere."""
    termination_message_path: Path | None
    """In a pod, where the report is written besides stdout."""
    log_level: str


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """With ``--store`` the command line says it all; without it the environment of a pod does.

    Raises InvalidInput, StorageUnavailable (the next version is read from the store), and SystemExit as argparse does.
    """
    flags = _parser().parse_args(arguments)
    log_level = flags.log_level or environment.get(Variable.LOG_LEVEL, "info")
    if log_level.lower() not in LEVELS:
        raise InvalidInput(f"log level {log_level!r} is none of {', '.join(LEVELS)}")
    if flags.store is None:
        return Settings(
            task=_task_from(environment),
            store=Path(environment.get(Variable.STORE, STORE_MOUNT_PATH)),
            status_port=METRICS_PORT if flags.metrics_port is None else flags.metrics_port or None,
            termination_message_path=Path(TERMINATION_MESSAGE_PATH),
            log_level=log_level,
        )
    return Settings(
        task=_task_of(flags),
        store=flags.store,
        status_port=flags.metrics_port or None,
        termination_message_path=None,
        log_level=log_level,
    )


def _task_from(environment: Mapping[str, str]) -> TrainingTask:
    text = environment.get(TRAINING_TASK_VARIABLE)
    if text is None:
        raise InvalidInput(f"give --store, --model, --dataset and --algorithm, or the task in {TRAINING_TASK_VARIABLE}")
    try:
        return TrainingTask.model_validate_json(text)
    except ValidationError as error:
        raise InvalidInput(f"{TRAINING_TASK_VARIABLE} is not a training task: {error}") from error


def _task_of(flags: argparse.Namespace) -> TrainingTask:
    missing = [f"--{name}" for name in ("model", "dataset", "algorithm") if getattr(flags, name) is None]
    if missing:
        raise InvalidInput(f"--store needs {', '.join(missing)} too")
    try:
        version = flags.version if flags.version is not None else ModelStore(root=flags.store).highest(flags.model) + 1
        return TrainingTask(
            model=flags.model,
            version=version,
            run_id=flags.run_id or f"cli-{uuid.uuid4().hex}",
            inputs=TrainingInputs(
                dataset=flags.dataset,
                data_revision=flags.data_revision,
                data=DataOptions(test_fraction=flags.test_fraction, seed=flags.seed),
                algorithm=flags.algorithm,
                task=flags.task,
                hyperparameters=dict(flags.param),
            ),
        )
    except (UnsafePath, ValidationError) as error:
        raise InvalidInput(str(error)) from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aurora_runtime.trainer",
        description="Trains one model, publishes it as a new version and prints one JSON report as its last line.",
    )
    parser.add_argument("--store", type=Path, metavar="DIR", help="folder of the store; made when missing")
    parser.add_argument("--model", metavar="NAME", help="model that gets the version")
    parser.add_argument("--dataset", metavar="NAME", help="synthetic, diabetes, iris, wine, breast_cancer or digits")
    parser.add_argument("--algorithm", metavar="NAME", help="such as random_forest; an unknown name lists all")
    parser.add_argument("--task", default="auto", help="auto (default), regression or classification")
    parser.add_argument(
        "--param", action="append", default=[], type=_parameter, metavar="NAME=VALUE",
        help="a hyperparameter; VALUE is JSON or a word; may be repeated",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=DataOptions().seed, metavar="N", help="of split and algorithm")
    parser.add_argument(
        "--test-fraction", type=float, default=DataOptions().test_fraction, metavar="F", help="share held out"
    )
    parser.add_argument("--version", type=int, metavar="N", help="default: the highest number in use + 1")
    parser.add_argument("--data-revision", metavar="TEXT", help="recorded with the version")
    parser.add_argument("--run-id", metavar="ID", help="the same id finds what it published before")
    parser.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="serve /metrics and /progress there; 0 does not"
    )
    parser.add_argument("--log-level", choices=LEVELS)
    return parser


def _parameter(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
