"""How long predictions take, by their number of rows: which are so cheap that a thread would cost more than they do."""

from math import inf
from typing import Final

CHEAP_SECONDS: Final = 1e-3
"""What the event loop may spend on one prediction: about what it spends on parsing a large body."""
_NEW_SHARE: Final = 0.2
"""Weight of the newest measurement in the average."""
_MOST_TIMES: Final = 8
"""How many times the average a measurement counts at most: another program may have had the processor for long."""


class Costs:
    """Moving averages of seconds, by size class: 1, 2–3, 4–7, … rows."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def record(self, rows: int, seconds: float) -> None:
        """A prediction of this many rows took this long."""
        size = rows.bit_length()
        while len(self._seconds) <= size:
            self._seconds.append(inf)
        before = self._seconds[size]
        if before == inf:
            self._seconds[size] = seconds
        else:
            self._seconds[size] += _NEW_SHARE * (min(seconds, _MOST_TIMES * before) - before)

    def cheap(self, rows: int) -> bool:
        """Whether as many rows took less than CHEAP_SECONDS lately. What was never measured is not cheap."""
        size = rows.bit_length()
        return size < len(self._seconds) and self._seconds[size] <= CHEAP_SECONDS
