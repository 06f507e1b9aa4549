"""``python -m aurora_runtime.inference``: serves one version of one model. ``--help`` lists the settings."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import structlog

from aurora_runtime.contract import TERMINATION_MESSAGE_PATH, ExitCode
from aurora_runtime.inference.app import serve
from aurora_runtime.inference.errors import GoldenRowsDiffer, InvalidSettings
from aurora_runtime.inference.settings import InferenceSettings
from aurora_runtime.logs import configure_logging
from aurora_runtime.store.errors import ArtifactRefused, ModelNotFound, StorageUnavailable
from aurora_runtime.store.model_store import ModelStore

log = structlog.get_logger(__name__)


def main() -> int:
    """Exit code of the server, see contract.ExitCode."""
    try:
        settings = InferenceSettings.from_command_line(sys.argv[1:], os.environ)
    except InvalidSettings as error:
        sys.stderr.write(f"error: {error}\n")
        return ExitCode.INVALID_INPUT
    configure_logging(settings.log_level)
    try:
        asyncio.run(run(settings))
    except (ArtifactRefused, ModelNotFound, GoldenRowsDiffer) as error:
        return refuse(error, ExitCode.ARTIFACT_REFUSED)
    except StorageUnavailable as error:
        return refuse(error, ExitCode.STORAGE_UNAVAILABLE)
    return ExitCode.OK


async def run(settings: InferenceSettings) -> None:
    """Serves until SIGTERM or SIGINT; a second one ends the drain."""
    stop, hasten = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hasten if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    store = ModelStore(root=settings.store)
    version = (
        settings.version
        if isinstance(settings.version, int)
        else await asyncio.to_thread(newest, store, settings.model)
    )
    await serve(settings, version=version, stop=stop, hasten=hasten)


def newest(store: ModelStore, model: str) -> int:
    """Highest version in the store. Raises ModelNotFound."""
    versions = store.versions(model)
    if not versions:
        raise ModelNotFound(model=model)
    return max(versions)


def refuse(error: Exception, code: ExitCode) -> ExitCode:
    """Says why where people look: the last line of the log, and the pod's termination message."""
    log.error("not served", error=str(error), reason=type(error).__name__)
    with suppress(OSError):
        path = Path(TERMINATION_MESSAGE_PATH)
        if path.exists():
            path.write_text(f"{type(error).__name__}: {error}")
    return code


if __name__ == "__main__":
    sys.exit(main())
