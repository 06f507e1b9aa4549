"""What JSON could stand in an object's fields instead of what its schema says."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from aurora_controller.kube.meta import Manifest

Path: TypeAlias = tuple[str | int, ...]
MISSING: Final = object()
VALUES: Final = (MISSING, None, "odd", -1, ["odd"], {"odd": "odd"})


def mutations(manifest: Manifest, values: Sequence[Any] = VALUES) -> Iterator[tuple[Path, Manifest]]:
    """Each node beside metadata, replaced by each value."""
    content = {part: value for part, value in manifest.items() if part not in {"apiVersion", "kind", "metadata"}}
    for path in list(paths(content)):
        for value in values:
            odd = copy.deepcopy(manifest)
            parent = at(odd, path[:-1])
            if value is not MISSING:
                parent[path[-1]] = copy.deepcopy(value)
            elif isinstance(parent, dict):
                del parent[path[-1]]
            if odd != manifest:
                yield path, odd


def paths(node: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    # One item of a list stands for all, and the templates of pods are nobody's but Kubernetes' to read.
    items = node.items() if isinstance(node, dict) else enumerate(node[:1]) if isinstance(node, list) else ()
    for key, inner in items:
        if key != "template":
            yield from paths(inner, (*path, key))


def at(node: Any, path: Path) -> Any:
    """The node there, or None."""
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            return None
    return node


def named(path: Path) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))
