"""How many requests without a valid key an address may send before it is told to slow down.

A token bucket per peer address. Only failures take tokens: a right key is compared before anything here is asked, so
nobody is refused for the failures of others, although behind an Ingress all clients share its address. The limit
therefore does not bound guessing, which 256 random bits do; it tells broken clients to wait.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final

BURST: Final = 20.0
"""Failures that an address may have at once."""
PER_SECOND: Final = 1.0
"""And how many it earns again."""
MOST_ADDRESSES: Final = 1024
"""The address that failed longest ago is forgotten first, so that a flood of addresses costs no memory."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class AuthFailures:
    """Buckets of the addresses that failed lately. ``clock`` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def record(self, address: str) -> int:
        """Seconds that the address should wait for its next try; 0 while it has failures left."""
        now = self._clock()
        bucket = self._buckets.setdefault(address, _Bucket(BURST, now))
        self._buckets.move_to_end(address)
        if len(self._buckets) > MOST_ADDRESSES:
            self._buckets.popitem(last=False)
        bucket.tokens = min(BURST, bucket.tokens + (now - bucket.filled_at) * PER_SECOND)
        bucket.filled_at = now
        if bucket.tokens < 1:
            return ceil((1 - bucket.tokens) / PER_SECOND)
        bucket.tokens -= 1
        return 0

    def __len__(self) -> int:
        return len(self._buckets)
