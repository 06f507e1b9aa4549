"""Who owns which field: the part of server-side apply that is pure.

A field's path is a tuple of steps: a name, or for an item of a keyed list a tuple of its (key, value) pairs. Maps are
owned by entry and keyed lists by item; every other list, and the maps named in ``ATOMIC_MAPS``, is owned whole.
Real servers know this from each kind's schema; here the names of fields decide.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

Step: TypeAlias = str | tuple[tuple[str, Any], ...]
Path: TypeAlias = tuple[Step, ...]

LIST_KEYS: Mapping[str, tuple[str, ...]] = {
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
PORT_KEYS = ("containerPort", "port")
ATOMIC_MAPS = frozenset({"matchLabels", "selector", "nodeSelector"})

_UNOWNED = frozenset(
    {
        ("apiVersion",),
        ("kind",),
        *(
            ("metadata", name)
            for name in (
                "creationTimestamp",
                "deletionTimestamp",
                "deletionGracePeriodSeconds",
                "generation",
                "managedFields",
                "name",
                "namespace",
                "resourceVersion",
                "uid",
            )
        ),
    }
)


def owned_paths(manifest: Mapping[str, Any]) -> frozenset[Path]:
    """Every field that the manifest sets."""
    return frozenset(path for path, _ in _leaves(manifest, ()) if path[:2] not in _UNOWNED and path not in _UNOWNED)


def value_at(manifest: Any, path: Path) -> Any:
    """None when there is nothing; an item of a keyed list is there or not, whatever else it holds."""
    value = manifest
    for step in path:
        value = _child(value, step)
        if value is None:
            return None
    return True if path and not isinstance(path[-1], str) else value


def merged(live: Mapping[str, Any], intent: Mapping[str, Any]) -> dict[str, Any]:
    """``live`` with every field that ``intent`` sets."""
    result = dict(copy.deepcopy(live))
    for name, value in intent.items():
        result[name] = _merge_value(result.get(name), value, name)
    return result


def without(manifest: Mapping[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """A copy that lacks these fields; maps that were left empty by it go too."""
    result = dict(copy.deepcopy(manifest))
    for path in sorted(paths, key=len, reverse=True):
        _remove(result, path)
    return result


def changed_paths(old: Mapping[str, Any], new: Mapping[str, Any]) -> frozenset[Path]:
    """Fields of ``new`` that ``old`` lacks or has otherwise."""
    return frozenset(path for path in owned_paths(new) if value_at(old, path) != value_at(new, path))


def as_fields_v1(paths: Iterable[Path]) -> dict[str, Any]:
    """As ``managedFields[].fieldsV1`` tells it."""
    fields: dict[str, Any] = {}
    for path in sorted(paths, key=repr):
        place = fields
        for step in path:
            place = place.setdefault(_step_name(step), {})
        if path and not isinstance(path[-1], str):
            place["."] = {}
    return fields


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    name = path[-1] if path else ""
    if isinstance(value, Mapping) and value and name not in ATOMIC_MAPS:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and (keys := _keys_of(name, value)):
        for item in value:
            step = tuple((key, item[key]) for key in keys if key in item)
            yield (*path, step), True
            yield from _leaves({name: inner for name, inner in item.items() if name not in keys}, (*path, step))
    elif value is not None:
        yield path, value


def _keys_of(name: Step, items: Sequence[Any]) -> tuple[str, ...]:
    """Empty for a list that is owned whole."""
    if not isinstance(name, str) or not items or not all(isinstance(item, Mapping) for item in items):
        return ()
    if name == "ports":
        return (*(key for key in PORT_KEYS if key in items[0]), "protocol")
    return LIST_KEYS.get(name, ())


def _child(value: Any, step: Step) -> Any:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, Mapping) else None
    return next((item for item in value if _matches(item, step)), None) if isinstance(value, list) else None


def _matches(item: Any, step: tuple[tuple[str, Any], ...]) -> bool:
    return isinstance(item, Mapping) and all(item.get(key) == wanted for key, wanted in step)


def _merge_value(live: Any, intent: Any, name: str) -> Any:
    if isinstance(live, Mapping) and isinstance(intent, Mapping) and name not in ATOMIC_MAPS:
        return merged(live, intent)
    if isinstance(live, list) and isinstance(intent, list) and (keys := _keys_of(name, intent)):
        items = copy.deepcopy(live)
        for wanted in intent:
            step = tuple((key, wanted[key]) for key in keys if key in wanted)
            found = next((place for place, item in enumerate(items) if _matches(item, step)), None)
            if found is None:
                items.append(copy.deepcopy(wanted))
            else:
                items[found] = merged(items[found], wanted)
        return items
    return copy.deepcopy(intent)


def _remove(value: Any, path: Path) -> None:
    parents: list[tuple[Any, Step]] = []
    place = value
    for step in path[:-1]:
        parents.append((place, step))
        place = _child(place, step)
        if place is None:
            return
    _remove_step(place, path[-1])
    for parent, step in reversed(parents):
        child = _child(parent, step)
        # An item of a keyed list goes only when the item itself was owned; a map goes with its last entry.
        if child or not isinstance(step, str):
            return
        _remove_step(parent, step)


def _remove_step(place: Any, step: Step) -> None:
    if isinstance(step, str):
        if isinstance(place, dict):
            place.pop(step, None)
    elif isinstance(place, list):
        # Fields of the item that others own stay, and the item with them.
        place[:] = [item for item in place if not (_matches(item, step) and set(item) == {key for key, _ in step})]


def _step_name(step: Step) -> str:
    if isinstance(step, str):
        return f"f:{step}"
    pairs = ",".join(f'"{key}":"{value}"' if isinstance(value, str) else f'"{key}":{value}' for key, value in step)
    return f"k:{{{pairs}}}"
