"""``python -m aurora_runtime.trainer``: listens for a stop, then loads the program, which takes seconds."""

import os
import signal
import sys
from types import FrameType
from typing import Final

_TERMINATED: Final = 128 + signal.SIGTERM


def main() -> int:
    """The exit code."""
    # The first process of a container is deaf to signals without a handler, so this comes before the imports.
    signal.signal(signal.SIGTERM, _end_at_once)

    from aurora_runtime.trainer import program  # noqa: PLC0415

    return program.main(sys.argv[1:], os.environ)


def _end_at_once(_: int, __: FrameType | None) -> None:
    """Leaves without a report, so the same attempt is made again. Nothing half-written is visible, and what lies in
    the staging folder must stay there: the training thread may be renaming it at this moment."""
    os.write(sys.stderr.fileno(), b'{"event":"terminated before the end","level":"warning"}\n')
    os._exit(_TERMINATED)


if __name__ == "__main__":
    sys.exit(main())
