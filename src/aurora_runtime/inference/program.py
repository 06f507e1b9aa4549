"""The server as a process: settings, signals, exit codes, last words."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import structlog

from aurora_runtime.contract import MAX_TERMINATION_MESSAGE_BYTES, TERMINATION_MESSAGE_PATH, ExitCode
from aurora_runtime.inference import payload_log
from aurora_runtime.inference.app import serve
from aurora_runtime.inference.errors import GoldenRowsDiffer, InvalidSettings, LibrariesDiffer
from aurora_runtime.inference.refusal import refusal_text
from aurora_runtime.inference.settings import InferenceSettings
from aurora_runtime.logs import configure_logging
from aurora_runtime.store.errors import ArtifactRefused, ModelNotFound, StorageUnavailable

log = structlog.get_logger(__name__)


def main() -> int:
    """Exit code of the server, see contract.ExitCode."""
    try:
        settings = InferenceSettings.from_command_line(sys.argv[1:], os.environ)
    except InvalidSettings as error:
        sys.stderr.write(f"error: {error}\n")
        return ExitCode.INVALID_INPUT
    begin_logging(settings.log_level)
    try:
        asyncio.run(run(settings))
    except (ArtifactRefused, ModelNotFound, GoldenRowsDiffer, LibrariesDiffer) as error:
        text = refusal_text(error)
        write_termination_message(text)
        log.error("model refused", reason=type(error).__name__, error=text)
        return ExitCode.ARTIFACT_REFUSED
    except StorageUnavailable as error:
        write_termination_message(str(error))
        log.error("stopped while the storage failed", error=str(error))
        return ExitCode.STORAGE_UNAVAILABLE
    except InvalidSettings as error:
        write_termination_message(str(error))
        log.error("settings refused", error=str(error))
        return ExitCode.INVALID_INPUT
    except Exception as error:
        write_termination_message(f"{type(error).__name__}: {error}")
        log.exception("server failed")
        return ExitCode.FAILED
    return ExitCode.OK


def begin_logging(level: str) -> None:
    """Lines of ``level`` and above on stderr, and payloads, whose own setting says whether there are any."""
    configure_logging(level)
    logging.captureWarnings(True)
    logging.getLogger(payload_log.__name__).setLevel(logging.INFO)


async def run(settings: InferenceSettings) -> None:
    """Serves until SIGTERM or SIGINT; a second one ends the drain."""
    stop, hasten = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hasten if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await serve(settings, stop=stop, hasten=hasten)


def write_termination_message(text: str, path: Path = Path(TERMINATION_MESSAGE_PATH)) -> None:
    """Tells the kubelet, which makes the file: where it is missing this is no pod."""
    if path.exists():
        path.write_bytes(text.encode()[:MAX_TERMINATION_MESSAGE_BYTES])
