"""``python -m aurora_runtime.inference``: serves one version of one model. ``--help`` lists the settings."""

import os
import signal
import sys
from types import FrameType


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Nothing is served yet, so there is nothing to finish."""
    os._exit(0)


if __name__ == "__main__":
    # The imports take a second or more, and process 1 of a container ignores a signal that it has no handler for: a
    # stop in that time would be lost.
    signal.signal(signal.SIGTERM, _leave)
    from aurora_runtime.inference.program import main

    sys.exit(main())
