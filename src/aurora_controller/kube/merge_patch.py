"""The smallest JSON merge patch (RFC 7386) that turns one value into another."""

from collections.abc import Mapping
from typing import Any

from aurora_controller.kube.meta import Manifest


def merge_patch(current: Any, desired: Mapping[str, Any], *, partial: bool = False) -> Manifest:
    """Empty when nothing differs. None in ``desired`` means absent; a ``current`` that is no object counts as empty.

    A ``partial`` value leaves keys it does not name alone; values inside it are complete all the same. Lists are
    replaced whole.
    """
    current = current if isinstance(current, Mapping) else {}
    patch: Manifest = {}
    for key, value in desired.items():
        if value is None:
            if key in current:
                patch[key] = None
        elif isinstance(value, Mapping) and isinstance(current.get(key), Mapping):
            if inner := merge_patch(current[key], value):
                patch[key] = inner
        elif key not in current or _differ(current[key], _without_none(value)):
            patch[key] = _without_none(value)
    if not partial:
        patch |= {key: None for key in current if key not in desired}
    return patch


def _differ(current: Any, desired: Any) -> bool:
    return isinstance(current, bool) is not isinstance(desired, bool) or bool(current != desired)


def _without_none(value: Any) -> Any:
    """What the server keeps of a value: it prunes nulls inside lists as well, where a merge patch does not."""
    if isinstance(value, Mapping):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [_without_none(element) for element in value]
    return value
