"""Which of many events are logged: an even share of them, at a bounded rate."""

import time
from collections.abc import Callable
from typing import Final

LINES_PER_SECOND: Final = 100
"""More would make the log the bottleneck of a server under attack."""


class Sampler:
    """Picks ``share`` (0 to 1) of what happens, evenly and not by chance. ``clock`` gives monotonic seconds.

    A line that the rate does not admit is counted, to be told with the next one.
    """

    def __init__(self, *, share: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._share = share
        self._clock = clock
        self._seen = 0
        self._second = 0
        self._lines = 0
        self._dropped = 0

    def picks(self) -> bool:
        """Whether the next event belongs to the share."""
        before = int(self._seen * self._share)
        self._seen += 1
        return int(self._seen * self._share) > before

    def admits(self) -> bool:
        """Whether one more line may be written now."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._lines = second, 0
        if self._lines >= LINES_PER_SECOND:
            self._dropped += 1
            return False
        self._lines += 1
        return True

    def dropped(self) -> dict[str, int]:
        """Field of the next line that tells how many were not admitted since the one before; empty when none."""
        dropped, self._dropped = self._dropped, 0
        return {"dropped_lines": dropped} if dropped else {}
