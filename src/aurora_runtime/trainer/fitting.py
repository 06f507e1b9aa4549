"""Fitting on all cores, telling how far it is where the algorithm can tell."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import joblib
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from aurora_runtime.store.pickled_model import use_one_core
from aurora_runtime.trainer.algorithms import Estimator
from aurora_runtime.trainer.pipeline import core_of

_STEPS: Final = 10


def available_cores() -> int:
    """Cores that this process may use: affinity and the container's CPU quota count."""
    return int(joblib.cpu_count())


def fit(
    model: Any,
    estimator: Estimator,
    features: NDArray[np.float64],
    target: NDArray[Any],
    *,
    cores: int,
    on_progress: Callable[[float], None],
) -> None:
    """Fits ``model`` in place and leaves it answering on one core. ``on_progress`` gets the share done, 0 to 1."""
    # BLAS and OpenMP count the node's cores, not the container's.
    with threadpool_limits(limits=cores):
        if estimator.grows_by is None:
            model.fit(features, target)
        else:
            for share in _grow(model, estimator.grows_by, features, target, round_of=cores):
                on_progress(share)
    use_one_core(model)
    on_progress(1.0)


def _grow(
    model: Any, size: str, features: NDArray[np.float64], target: NDArray[Any], *, round_of: int
) -> Iterator[float]:
    """Fits by parts, giving the share done after each. warm_start draws the same random numbers as one fit would."""
    core = core_of(model)
    full_size = core.get_params(deep=False)[size]
    # Whole rounds of all cores: a last tree on one core would leave the others idle.
    step = math.ceil(full_size / _STEPS / round_of) * round_of
    core.set_params(warm_start=True)
    for reached in [*range(step, full_size, step), full_size]:
        core.set_params(**{size: reached})
        model.fit(features, target)
        yield reached / full_size
    core.set_params(warm_start=False)
