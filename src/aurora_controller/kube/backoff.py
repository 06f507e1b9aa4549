"""Pauses that double while trouble lasts, and start small again after a calm time."""

from collections.abc import Callable

from aurora_controller.kube.clock import Clock


class Backoff:
    """Pauses of ``first_seconds`` doubled up to ``longest_seconds``, each stretched by up to its own length again.

    The stretch keeps clients that failed together from coming back together. The defaults are client-go's for watches.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        first_seconds: float = 0.8,
        longest_seconds: float = 30.0,
        calm_seconds: float = 120.0,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._first = first_seconds
        self._longest = longest_seconds
        self._calm = calm_seconds
        self._next = first_seconds
        self._last_asked: float | None = None

    def next_seconds(self) -> float:
        now = self._clock.monotonic()
        if self._last_asked is not None and now - self._last_asked > self._calm:
            self._next = self._first
        self._last_asked = now
        seconds = self._next
        self._next = min(2 * self._next, self._longest)
        return seconds * (1 + self._jitter())
