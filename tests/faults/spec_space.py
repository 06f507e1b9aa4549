"""Every property of a CRD's spec at its edges and beyond them, made from the schema alone. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Schema = Mapping[str, Any]

_PRESERVES: Final = "x-kubernetes-preserve-unknown-fields"
_NONSENSE: Final = {"nonsense": {"of": ["a", 1]}}


@dataclass(frozen=True, kw_only=True)
class Mutation:
    """``value`` at ``path`` below spec. Whether the property allows it; other rules may still refuse it."""

    path: tuple[str, ...]
    what: str
    value: Any
    is_allowed: bool

    @property
    def patch(self) -> dict[str, Any]:
        value = self.value
        for name in reversed(self.path):
            value = {name: value}
        return {"spec": value}

    def __str__(self) -> str:
        return f"{'.'.join(self.path)} {self.what}"


def mutations(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[Mutation]:
    for name, inner in schema.get("properties", {}).items():
        here = (*path, name)
        for what, value, is_allowed in _edges(inner):
            yield Mutation(path=here, what=what, value=value, is_allowed=is_allowed)
        yield from mutations(inner, here)


def _edges(schema: Schema) -> Iterator[tuple[str, Any, bool]]:
    if schema.get("x-kubernetes-int-or-string"):
        yield "a flag", True, False
        return
    match schema.get("type"):
        case "integer" | "number":
            yield from _numbers(schema)
        case "boolean":
            yield from (("true", True, True), ("false", False, True), ("a text", "yes", False))
        case "string":
            yield from _texts(schema)
        case "array":
            yield from _lists(schema)
        case "object":
            yield from _objects(schema)


def _numbers(schema: Schema) -> Iterator[tuple[str, Any, bool]]:
    if "minimum" in schema:
        yield "at its minimum", schema["minimum"], True
        yield "below its minimum", schema["minimum"] - 1, False
    if "maximum" in schema:
        yield "at its maximum", schema["maximum"], True
        yield "above its maximum", schema["maximum"] + 1, False
    yield "a text", "many", False


def _texts(schema: Schema) -> Iterator[tuple[str, Any, bool]]:
    yield "a number", 7, False
    if "enum" in schema:
        for value in schema["enum"]:
            yield f"{value}", value, True
        yield "out of its choice", "Nonsense", False
        return
    if schema.get("minLength"):
        yield "empty", "", False
    if "maxLength" in schema:
        yield "as long as may be", "x" * schema["maxLength"], True
        yield "too long", "x" * (schema["maxLength"] + 1), False
    if "pattern" in schema:
        yield "of another form", "-No_Name-", False


def _lists(schema: Schema) -> Iterator[tuple[str, Any, bool]]:
    yield "empty", [], True
    yield "no list", "one", False
    if schema["items"].get(_PRESERVES):
        yield "nonsense", [_NONSENSE], True
    if "maxItems" in schema and schema["items"].get("type") == "string":
        yield "too many", [f"i{number}" for number in range(schema["maxItems"] + 1)], False


def _objects(schema: Schema) -> Iterator[tuple[str, Any, bool]]:
    yield "empty", {}, True
    yield "no object", "one", False
    if schema.get(_PRESERVES) and "properties" not in schema:
        yield "nonsense", _NONSENSE, True
    inner = schema.get("additionalProperties")
    if isinstance(inner, dict):
        value: Any = inner.get("minimum", 1) if inner.get("type") == "integer" else "1"
        yield "with one key", {"key": value}, True
        if "maxProperties" in schema:
            yield "with too many keys", {f"k{n}": value for n in range(schema["maxProperties"] + 1)}, False
