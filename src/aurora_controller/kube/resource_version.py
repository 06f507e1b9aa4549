"""Which of two versions of the same resource is newer, or that it cannot be told.

Since Kubernetes 1.35 (KEP-5504) a resourceVersion is a decimal number that grows with each write of a resource. Older
servers always did so, but other implementations of the API may not: then all we know is whether two are equal.
Versions of different resources are never compared.
"""

import re

_DECIMAL = re.compile(r"[1-9][0-9]*")


def ordinal(version: str) -> int | None:
    """The version's place in the order, or None when it has none: ``""``, ``"0"`` ("any"), or an opaque string."""
    return int(version) if _DECIMAL.fullmatch(version) else None


def is_at_least(seen: str, wanted: str) -> bool | None:
    """Whether ``seen`` is ``wanted`` or newer; None when the two cannot be compared."""
    if seen == wanted:
        return True
    ours, theirs = ordinal(seen), ordinal(wanted)
    return None if ours is None or theirs is None else ours >= theirs
