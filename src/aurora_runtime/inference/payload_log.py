"""Inputs and outputs of answered predictions, for who asked to have them logged.

Only what fits the signature is logged, value by name: a body that was refused has no names to redact by. Nothing comes
from headers.
"""

from collections.abc import Collection
from math import prod
from typing import Any, Final

import structlog
from numpy.typing import NDArray

from aurora_runtime.contract import Variable
from aurora_runtime.inference.errors import InvalidSettings
from aurora_runtime.inference.sampling import Sampler
from aurora_runtime.store.descriptor import Signature
from aurora_runtime.store.engine import Answers, Rows

log = structlog.get_logger(__name__)
MOST_VALUES: Final = 256
"""Values of inputs in a line, and of each output. A container runtime cuts lines of more than 16 KiB."""
REDACTED: Final = "[redacted]"


class PayloadLog:
    """Logs the payloads that ``sampler`` picks, without the values of the inputs and outputs in ``redact``.

    Raises InvalidSettings for a name that the model does not have: whoever mistyped it wants another one hidden.
    """

    def __init__(self, sampler: Sampler, *, signature: Signature, redact: Collection[str]) -> None:
        self._sampler = sampler
        self._columns = {name: column for column, name in enumerate(signature.feature_names[:MOST_VALUES])}
        self._redact = frozenset(redact)
        names = [*signature.feature_names, *(tensor.name for tensor in signature.outputs)]
        if unknown := sorted(self._redact - set(names)):
            raise InvalidSettings(
                setting="--payload-log",
                variable=Variable.PAYLOAD_LOG,
                problem=f"redact: the model has no input or output {', '.join(map(repr, unknown))}",
            )

    def offer(self, request_id: str, features: Rows, answers: Answers) -> None:
        """Logs a payload if it is picked: ``features`` (rows, features) and the answers to them."""
        if not self._sampler.picks() or not self._sampler.admits():
            return
        shown = features[: max(1, MOST_VALUES // features.shape[1])]
        log.info(
            "payload",
            request_id=request_id,
            rows=len(features),
            inputs={name: self._values(name, shown[:, column]) for name, column in self._columns.items()},
            outputs={name: self._values(name, _beginning(array)) for name, array in answers.items()},
            **self._sampler.dropped(),
        )

    def _values(self, name: str, array: NDArray[Any]) -> object:
        return REDACTED if name in self._redact else array.tolist()


def _beginning(array: NDArray[Any]) -> NDArray[Any]:
    """The first rows, as many as are to be shown; of a row that is too long its beginning."""
    width = max(1, prod(array.shape[1:]))
    rows = array[: max(1, MOST_VALUES // width)]
    return rows if width <= MOST_VALUES else rows.reshape(-1)[:MOST_VALUES]
