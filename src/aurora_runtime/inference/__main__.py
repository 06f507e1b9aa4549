"""``python -m aurora_runtime.inference``: serves one version of one model. ``--help`` lists the settings."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """Nothing is served yet, so there is nothing to finish."""
    os._exit(0)


@contextmanager
def quick_imports() -> Iterator[None]:
    """Inside, the collector does not look at what stays anyway, and OpenSSL finds no certificates.

    aiohttp reads those of all authorities when it is imported, a seventh of the imports, for clients that verify a
    server; here is none. Source: OpenSSL, "SSL_CTX_set_default_verify_paths".
    """
    variable = "SSL_CERT_FILE"
    given = os.environ.get(variable)
    os.environ[variable] = os.devnull
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        del os.environ[variable]
        if given is not None:
            os.environ[variable] = given


if __name__ == "__main__":
    # The imports take half a second or more, and process 1 of a container ignores a signal that it has no handler for:
    # a stop in that time would be lost.
    signal.signal(signal.SIGTERM, _leave)
    with quick_imports():
        from aurora_runtime.inference.program import main

    sys.exit(main())
