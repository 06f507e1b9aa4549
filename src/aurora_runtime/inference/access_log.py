"""One line per request that is worth one: every error, and a share of what went well, at a bounded rate.

Health is not logged, probes ask for it all the time. Neither are bodies and headers. A line that the rate does not
admit is counted and told with the next one.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger(__name__)
LINES_PER_SECOND: Final = 100
"""More would make the log the bottleneck of a server under attack."""
_HEALTH: Final = "/v2/health/"


class AccessLog:
    """Picks the requests to log: all errors, and ``share`` (0 to 1) of the successful ones.

    ``clock`` gives monotonic seconds.
    """

    def __init__(self, *, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock = clock
        self._successes = 0
        self._second = 0
        self._lines = 0
        self._dropped = 0

    def wants(self, path: str, status: int) -> bool:
        """Whether a request that ended so is to be logged. Successful ones are taken evenly, not by chance."""
        if path.startswith(_HEALTH):
            return False
        if status < 400:
            before = int(self._successes * self._share)
            self._successes += 1
            if int(self._successes * self._share) == before:
                return False
        return self._admits()

    def write(self, *, request_id: str, method: str, path: str, status: int, seconds: float) -> None:
        """Logs one request."""
        dropped, self._dropped = self._dropped, 0
        log.info(
            "request",
            request_id=request_id,
            method=method,
            path=path[:200],
            status=status,
            milliseconds=round(1000 * seconds, 3),
            **({"dropped_lines": dropped} if dropped else {}),
        )

    def _admits(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= LINES_PER_SECOND:
            self._dropped += 1
            return False
        self._lines += 1
        return True
