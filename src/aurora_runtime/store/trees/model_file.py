"""Tree ensembles as they are stored: arrays in a NumPy archive (``.npz``) without pickles.

Everything is data, in the form in which it is walked: loading is reading and checking. Any NumPy reads it.
"""

import io
import zipfile
from dataclasses import fields
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store.descriptor import LABEL, PREDICTION, PROBABILITIES
from aurora_runtime.store.engine import Answers, Rows
from aurora_runtime.store.errors import BrokenModel
from aurora_runtime.store.trees.estimators import TreeSum
from aurora_runtime.store.trees.forest import Forest
from aurora_runtime.store.trees.layout import Arrays

_SCHEMA: Final = 1


class Link(StrEnum):
    """What the sums are."""

    IDENTITY = "identity"
    """The prediction."""
    SHARES = "shares"
    """Of each class."""
    LOGISTIC = "logistic"
    """The log-odds of the second of two classes, or a score for each. At zero it is the first class."""
    LOGISTIC_SECOND_AT_ZERO = "logistic, second at zero"
    """As before, but at zero it is the second class."""


class TreesEngine:
    """An estimator made of trees."""

    def __init__(self, total: TreeSum, *, link: Link, classes: NDArray[Any] | None = None) -> None:
        """``classes`` are what labels are chosen from, in the order of the targets; None for a regression.

        Raises ValueError when they do not fit each other.
        """
        self._total = total
        self._link = link
        self._classes = classes
        targets = total.forest.targets
        scores = targets if link is Link.SHARES or targets > 1 else 2
        expected = None if link is Link.IDENTITY else (scores,)
        if (None if classes is None else classes.shape) != expected or total.start.shape != (targets,):
            raise ValueError(f"classes: expected {expected}, a start for each of {targets} targets")

    def predict(self, features: Rows) -> Answers:
        """As Engine.predict."""
        sums = self._total(features)
        if self._classes is None:
            return {PREDICTION: sums.reshape(-1)}
        if self._link is Link.SHARES:
            return {LABEL: self._classes[sums.argmax(axis=1)], PROBABILITIES: sums}
        if sums.shape[1] == 1:
            second = sums >= 0 if self._link is Link.LOGISTIC_SECOND_AT_ZERO else sums > 0
            with np.errstate(over="ignore"):  # a score far below zero has no share
                share = 1 / (1 + np.exp(-sums))
            return {LABEL: self._classes[second[:, 0].astype(int)], PROBABILITIES: np.hstack([1 - share, share])}
        shares = np.exp(sums - sums.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return {LABEL: self._classes[sums.argmax(axis=1)], PROBABILITIES: shares}

    def to_bytes(self) -> bytes:
        """The archive. The same model has the same bytes."""
        forest = self._total.forest
        arrays: dict[str, Any] = {
            "schema": _SCHEMA,
            "link": self._link.value,
            "features": forest.features,
            "rounds": forest.rounds,
            "start": self._total.start,
            "divisor": self._total.divisor,
            **vars(forest.arrays),
        }
        if self._classes is not None:
            arrays["classes"] = self._classes
        archive = io.BytesIO()
        np.savez(archive, allow_pickle=False, **arrays)
        return archive.getvalue()

    @classmethod
    def load(cls, file: Path | BinaryIO, *, path: Path) -> Self:
        """What ``to_bytes`` gave; ``path`` is named in errors. Raises BrokenModel."""
        try:
            with np.load(file, allow_pickle=False) as archive:
                return cls._of({name: archive[name] for name in archive.files})
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise BrokenModel(path=path, problem=str(error)) from error

    @classmethod
    def _of(cls, arrays: dict[str, NDArray[Any]]) -> Self:
        if (schema := int(arrays["schema"])) != _SCHEMA:
            raise ValueError(f"schema {schema} is not {_SCHEMA}, the one that this release reads")
        start = arrays["start"]
        forest = Forest(
            Arrays(**{field.name: arrays[field.name] for field in fields(Arrays)}),
            features=int(arrays["features"]),
            targets=len(start),
            rounds=bool(arrays["rounds"]),
        )
        total = TreeSum(forest=forest, start=start, divisor=float(arrays["divisor"]))
        return cls(total, link=Link(str(arrays["link"])), classes=arrays.get("classes"))
