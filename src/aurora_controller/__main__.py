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
from types import FrameType

OK, FAILED, WRONG_SETTINGS = 0, 1, 2


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    # The first process of a container is deaf to signals it has no handler for, and the imports below take a second
    # or more. A stop in that time would otherwise be lost, and a pod that is going away would take the Lease.
    signal.signal(signal.SIGTERM, _leave)
    parser = argparse.ArgumentParser(prog="python -m aurora_controller", description="The controller of Aurora.")
    parser.add_argument("--version", action="version", version=version("aurora"))
    parser.parse_args(arguments)

    from aurora_controller.settings import ControllerSettings, SettingsError  # noqa: PLC0415
    from aurora_runtime.logs import configure_logging  # noqa: PLC0415

    try:
        settings = ControllerSettings.from_env(environment)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201  logging is one of the settings
        return WRONG_SETTINGS
    configure_logging(settings.log_level)

    from aurora_controller.app import run  # noqa: PLC0415

    async def run_until_signal() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await run(settings, environment=environment, stop=stop)

    try:
        asyncio.run(run_until_signal())
    except Exception as error:  # noqa: BLE001  the last stop
        return _report(error)
    return OK


def _leave(_: int, __: FrameType | None) -> None:
    raise SystemExit(OK)


def _report(error: Exception) -> int:
    """Says in one line what ended the process; with a traceback only when it is a riddle."""
    import structlog  # noqa: PLC0415

    from aurora_controller.kube.kubeconfig import ConfigError  # noqa: PLC0415
    from aurora_controller.kube.manager import LeadershipLost  # noqa: PLC0415

    log = structlog.get_logger("aurora_controller")
    if isinstance(error, ConfigError):
        log.error("no way to the API server", error=str(error))
        return WRONG_SETTINGS
    if isinstance(error, ExceptionGroup) and error.split(LeadershipLost)[1] is None:
        log.error("leadership lost", error="the Lease was not renewed in time, or another replica took it")
    else:
        log.error("controller failed", exc_info=error)
    return FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
