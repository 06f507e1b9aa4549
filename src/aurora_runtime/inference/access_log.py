"""One line per request that is worth one: every error, and a share of what went well.

Health is not logged, probes ask for it all the time. Neither are bodies and headers.
"""

from typing import Final

import structlog

from aurora_runtime.inference.sampling import Sampler

log = structlog.get_logger(__name__)
_HEALTH: Final = "/v2/health/"


class AccessLog:
    """Picks the requests to log: all errors, and those of the successful ones that ``sampler`` picks."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler

    def wants(self, path: str, status: int) -> bool:
        """Whether a request that ended so is to be logged."""
        if path.startswith(_HEALTH) or (status < 400 and not self._sampler.picks()):
            return False
        return self._sampler.admits()

    def write(self, *, request_id: str, method: str, path: str, status: int, seconds: float) -> None:
        """Logs one request."""
        log.info(
            "request",
            request_id=request_id,
            method=method,
            path=path[:200],
            status=status,
            milliseconds=round(1000 * seconds, 3),
            **self._sampler.dropped(),
        )
