"""The program behind ``python -m aurora_runtime.trainer``: arguments in, report and exit code out."""

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog
from prometheus_client import CollectorRegistry

from aurora_runtime.contract import EXIT_CODES, TERMINATION_MESSAGE_PATH, TRAINING_TASK_VARIABLE, TrainingReport
from aurora_runtime.logs import configure_logging
from aurora_runtime.store.errors import StorageUnavailable
from aurora_runtime.store.model_store import ModelStore
from aurora_runtime.trainer.arguments import Settings, parse
from aurora_runtime.trainer.clock import SystemClock
from aurora_runtime.trainer.errors import InvalidInput
from aurora_runtime.trainer.fitting import available_cores
from aurora_runtime.trainer.progress import Progress
from aurora_runtime.trainer.run import failure, run
from aurora_runtime.trainer.status_server import build_app, status_server

log = structlog.get_logger(__name__)


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """The exit code."""
    configure_logging("info")
    in_pod = TRAINING_TASK_VARIABLE in environment
    try:
        settings = parse(arguments, environment)
    except (InvalidInput, StorageUnavailable) as error:
        return deliver(failure("", error), Path(TERMINATION_MESSAGE_PATH) if in_pod else None)
    configure_logging(settings.log_level)
    logging.captureWarnings(True)
    structlog.contextvars.bind_contextvars(
        run_id=settings.task.run_id, model=settings.task.model, version=settings.task.version
    )
    return deliver(asyncio.run(_train_and_serve_status(settings)), settings.termination_message_path)


def deliver(report: TrainingReport, termination_message_path: Path | None) -> int:
    """Writes the report where the caller looks for it and gives the exit code."""
    if termination_message_path is not None:
        try:
            termination_message_path.write_text(report.to_termination_message())
        except OSError as error:
            log.error("termination message not written", path=str(termination_message_path), reason=str(error))
    sys.stdout.write(report.to_json() + "\n")
    sys.stdout.flush()
    return EXIT_CODES[report.outcome]


async def _train_and_serve_status(settings: Settings) -> TrainingReport:
    clock = SystemClock()
    registry = CollectorRegistry()
    progress = Progress(run_id=settings.task.run_id, clock=clock, registry=registry)
    async with status_server(build_app(progress, registry), port=settings.status_port):
        return await asyncio.to_thread(
            run,
            settings.task,
            store=ModelStore(root=settings.store),
            clock=clock,
            cores=available_cores(),
            progress=progress,
        )
