"""Backoff per key: 5 ms after the first failure, doubled by each further one, at most 1000 s.

The defaults are controller-runtime's. There is no limit over all keys: the API server's priority and fairness
does that better than a guess on our side.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class ExponentialBackoff(Generic[Key]):
    """Remembers how often each key failed in a row; only failing keys take memory."""

    def __init__(self, *, base_seconds: float = 0.005, max_seconds: float = 1000.0) -> None:
        self._base = base_seconds
        self._max = max_seconds
        self._failures: dict[Key, int] = {}

    def next_delay(self, key: Key) -> float:
        """Counts one more failure; seconds to wait before the next try."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        # Beyond 2^64 the cap has long won; without this a float would overflow one day.
        return float(min(self._base * 2 ** min(failures, 64), self._max))

    def failures(self, key: Key) -> int:
        return self._failures.get(key, 0)

    def forget(self, key: Key) -> None:
        self._failures.pop(key, None)
