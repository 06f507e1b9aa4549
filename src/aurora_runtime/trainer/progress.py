"""How far a run is. Written by the thread that trains, read by the event loop that answers."""

from typing import Final

from prometheus_client import CollectorRegistry, Gauge

from aurora_runtime.contract import Phase, TrainingProgress
from aurora_runtime.trainer.clock import Clock

_SHARES: Final[dict[Phase, tuple[int, int]]] = {
    Phase.LOADING: (0, 5),
    Phase.FITTING: (5, 80),
    Phase.EVALUATING: (80, 85),
    Phase.CONVERTING: (85, 95),
    Phase.PUBLISHING: (95, 100),
}
"""Per phase, the percentage at its start and at its end."""


class Progress:
    """Phase and percentage; neither goes back within a run."""

    def __init__(self, *, run_id: str, clock: Clock, registry: CollectorRegistry) -> None:
        self._clock = clock
        self._phase_began = clock.monotonic()
        self._current = TrainingProgress(run_id=run_id, phase=Phase.LOADING, percent=0)
        self._ratio = Gauge(
            "aurora_training_progress_ratio", "Share of the run that is done, 0 to 1.", registry=registry
        )
        self._seconds = Gauge(
            "aurora_training_phase_seconds", "Seconds that a finished phase took.", ["phase"], registry=registry
        )

    @property
    def current(self) -> TrainingProgress:
        """A frozen snapshot."""
        return self._current

    def begin(self, phase: Phase) -> None:
        """A new phase; the one before is over."""
        now = self._clock.monotonic()
        self._seconds.labels(phase=self._current.phase).set(now - self._phase_began)
        self._phase_began = now
        self._set(phase, 0.0)

    def advance(self, share: float) -> None:
        """``share``, 0 to 1, of the current phase is done."""
        self._set(self._current.phase, share)

    def _set(self, phase: Phase, share: float) -> None:
        start, end = _SHARES[phase]
        percent = max(self._current.percent, start + int((end - start) * share))
        self._current = TrainingProgress(run_id=self._current.run_id, phase=phase, percent=percent)
        self._ratio.set(percent / 100)
