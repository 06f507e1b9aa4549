"""Whether a stored object already is what we want it to be, so that nothing needs to be sent.

An *intent* is the manifest we apply: every field we care about, and no other. A stored object covers it when each of
those fields is there with that value; what the server or others added is not ours. That alone would not notice a
field that *left* the intent, which server-side apply must remove. So a hash of the last applied intent is kept in an
annotation, as a part of the intent: when the two differ, the object does not cover it.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson

from aurora_controller.kube.meta import Manifest
from aurora_controller.kube.quantity import same_quantity

_QUANTITIES: Final = frozenset({"limits", "requests", "sizeLimit", "capacity", "divisor", "averageValue"})
"""Fields that hold a quantity, or a map of quantities."""

_MERGE_KEYS: Final[Mapping[str, str]] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "ownerReferences": "uid",
}
"""Lists that the server merges by key: others may add elements, and their order is nobody's intent.

Every other list is compared whole; so are associative lists that miss here, at the price of an apply too many when
somebody else adds to one.
"""


def stamped(intent: Mapping[str, Any], *, annotation: str) -> Manifest:
    """The intent with its own hash as an annotation."""
    metadata = intent["metadata"]
    digest = sha256(orjson.dumps(intent, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    annotations = {**(metadata.get("annotations") or {}), annotation: digest}
    return {**intent, "metadata": {**metadata, "annotations": annotations}}


def covers(existing: Any, intent: Any, *, field: str = "", quantity: bool = False) -> bool:
    """Whether ``existing`` holds everything that ``intent`` asks for.

    Empty maps and lists and None may be absent: the server drops them. ``field`` is the name under which both are
    found; ``quantity`` says that strings below it are quantities.
    """
    # Manifests are made of dicts and lists alone. To ask whether something is a Mapping instead took a third of the
    # time of a reconcile that has nothing to do, and so does a generator below.
    if isinstance(intent, dict):
        return _covers_map(existing, intent, quantity=quantity or field in _QUANTITIES)
    if isinstance(intent, (list, tuple)):
        return _covers_list(existing, intent, key=_MERGE_KEYS.get(field))
    if intent is None:
        return existing is None
    if same_scalar(existing, intent):
        return True
    return (quantity or field in _QUANTITIES) and same_quantity(existing, intent)


def same_scalar(one: object, other: object) -> bool:
    """As JSON sees it: 1 and 1.0 are one number, 1 and true are not."""
    return isinstance(one, bool) is isinstance(other, bool) and one == other


def _covers_map(existing: Any, intent: dict[str, Any], *, quantity: bool) -> bool:
    if existing is None:
        return not intent
    if not isinstance(existing, dict):
        return False
    for name, value in intent.items():  # noqa: SIM110
        if not covers(existing.get(name), value, field=name, quantity=quantity):
            return False
    return True


def _covers_list(existing: Any, intent: Sequence[Any], *, key: str | None) -> bool:
    if existing is None:
        return not intent
    if not isinstance(existing, list):
        return False
    if key is None:
        return len(existing) == len(intent) and all(map(covers, existing, intent))
    by_key = {element.get(key): element for element in existing}
    return all(covers(by_key.get(element.get(key)), element) for element in intent)
