"""Kubernetes quantities: ``500m``, ``0.5``, ``1Gi``, ``1e3``.

The API server stores built-in objects with quantities in their shortest form, so what was written and what is read
are often two spellings of one number. Source: apimachinery, pkg/api/resource.
"""

import re
from decimal import Decimal
from typing import Final

_QUANTITY: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]))?")
_SUFFIXES: Final = {
    "n": Decimal(10) ** -9,
    "u": Decimal(10) ** -6,
    "m": Decimal(10) ** -3,
    "k": Decimal(10) ** 3,
    **{prefix: Decimal(10) ** (3 * power) for power, prefix in enumerate("MGTPE", start=2)},
    **{f"{prefix}i": Decimal(2) ** (10 * power) for power, prefix in enumerate("KMGTPE", start=1)},
}


def parse_quantity(text: str | float) -> Decimal:
    """The number a quantity means. Raises ValueError when it is none."""
    match = _QUANTITY.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"not a quantity: {text!r}")
    number, exponent, suffix = match.groups()
    return Decimal(number + (exponent or "")) * _SUFFIXES.get(suffix or "", Decimal(1))


def same_quantity(one: object, other: object) -> bool:
    """Whether both are quantities of the same amount."""
    if not isinstance(one, str | int | float) or not isinstance(other, str | int | float):
        return False
    try:
        return parse_quantity(one) == parse_quantity(other)
    except ValueError:
        return False
