"""``python -m aurora_controller``: takes its settings from the environment and runs until SIGTERM or SIGINT.

Exit codes: 0 after a clean stop, 1 when something broke or the Lease was lost, 2 when the settings are wrong.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version

import structlog
from prometheus_client import disable_created_metrics

from aurora_controller.app import run
from aurora_controller.kube.kubeconfig import ConfigError
from aurora_controller.kube.manager import LeadershipLost
from aurora_controller.settings import ControllerSettings, SettingsError
from aurora_runtime.logs import configure_logging

OK, FAILED, WRONG_SETTINGS = 0, 1, 2


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m aurora_controller", description="The controller of Aurora.")
    parser.add_argument("--version", action="version", version=version("aurora"))
    parser.parse_args(arguments)
    try:
        settings = ControllerSettings.from_env(environment)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201  logging is one of the settings
        return WRONG_SETTINGS
    configure_logging(settings.log_level)
    # The time at which a series began doubles their number and nobody asks for it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    try:
        asyncio.run(_run_until_signal(settings, environment))
    except Exception as error:  # noqa: BLE001  the last stop
        return _report(error)
    return OK


def _report(error: Exception) -> int:
    """Says in one line what ended the process; with a traceback only when it is a riddle."""
    log = structlog.get_logger("aurora_controller")
    if isinstance(error, ConfigError):
        log.error("no way to the API server", error=str(error))
        return WRONG_SETTINGS
    if isinstance(error, ExceptionGroup) and error.split(LeadershipLost)[1] is None:
        log.error("leadership lost", error="the Lease was not renewed in time, or another replica took it")
    else:
        log.error("controller failed", exc_info=error)
    return FAILED


async def _run_until_signal(settings: ControllerSettings, environment: Mapping[str, str]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def begin_stop(number: signal.Signals) -> None:
        stop.set()
        # Whoever asks a second time does not want to wait.
        loop.remove_signal_handler(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin_stop, number)
    await run(settings, environment=environment, stop=stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
