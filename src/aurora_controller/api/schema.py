"""Pydantic models → structural OpenAPI v3 schemas → CustomResourceDefinitions.

A structural schema is a small subset of JSON Schema: no references, one ``type`` per node, no null. The transformation
knows this subset alone and raises on everything else, so that a model that the API server would refuse, or accept and
not enforce, fails where it is written.

Defaults stand at the smallest place: an object whose fields have defaults gets the default ``{}``, and the API server
fills in the rest, also when a user gives a part of it. Status has no defaults, for its writer would never be able to
remove a value; neither have list items, for server-side apply merges them by key.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from pydantic import BaseModel

from aurora_controller.kube.meta import Kind, Manifest

Schema: TypeAlias = dict[str, Any]

_COPIED: Final = frozenset(
    {
        "type",
        "format",
        "enum",
        "pattern",
        "minLength",
        "maxLength",
        "minimum",
        "maximum",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "required",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    }
)
_DROPPED: Final = frozenset({"title", "$defs", "propertyNames"})
_TRANSFORMED: Final = frozenset(
    {"description", "properties", "items", "additionalProperties", "anyOf", "$ref", "default"}
)
_ROOT_PROPERTIES: Final[Schema] = {
    "apiVersion": {"type": "string", "description": "Group and version of this object's schema."},
    "kind": {"type": "string", "description": "Kind of this object."},
    "metadata": {"type": "object"},
}


class UnsupportedSchemaError(TypeError):
    """A model says something that a structural schema cannot say."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path or '<root>'}: {what} cannot be said in a structural schema")
        self.path = path


@dataclass(frozen=True, kw_only=True)
class PrinterColumn:
    """A column of ``kubectl get``."""

    name: str
    type: Literal["string", "integer", "number", "boolean", "date"] = "string"
    path: str
    description: str


@dataclass(frozen=True, kw_only=True)
class CustomResource:
    """A kind, the model of its objects, and how people see it."""

    kind: Kind
    model: type[BaseModel]
    short_name: str
    columns: tuple[PrinterColumn, ...]


def custom_resource_definition(resource: CustomResource) -> Manifest:
    """The CustomResourceDefinition that makes the API server serve ``resource``."""
    kind = resource.kind
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": object_schema(resource.model)},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in resource.columns],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{kind.group}", "labels": {"app.kubernetes.io/part-of": "aurora"}},
        "spec": {
            "group": kind.group,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [resource.short_name],
                "categories": ["aurora"],
            },
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "versions": [version],
        },
    }


@cache
def object_schema(model: type[BaseModel]) -> Schema:
    """Schema of whole objects: ``spec`` with defaults, ``status`` without; metadata is the API server's to check.

    To be read only: making it takes some 50 ms, so all who ask share one.
    """
    source = model.model_json_schema(by_alias=True)
    reader = _Reader(source.get("$defs", {}))
    properties: Schema = dict(_ROOT_PROPERTIES)
    for name in ("spec", "status"):
        properties[name] = reader.schema(source["properties"][name], path=name, defaults=name == "spec")
    schema = {
        "type": "object",
        "description": source["description"],
        "properties": properties,
        "x-kubernetes-validations": source.get("x-kubernetes-validations"),
        "required": [name for name in source.get("required", ()) if name == "spec"],
    }
    return {key: value for key, value in schema.items() if value}


def _column(column: PrinterColumn) -> Schema:
    return {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.path,
    }


@dataclass(frozen=True)
class _Reader:
    """Transforms nodes of one JSON Schema, whose definitions it knows."""

    definitions: Mapping[str, Schema]

    def schema(self, node: Schema, *, path: str, defaults: bool) -> Schema:
        node = self._resolved(node, path)
        unknown = node.keys() - _COPIED - _DROPPED - _TRANSFORMED
        if unknown:
            raise UnsupportedSchemaError(path, ", ".join(sorted(unknown)))
        result: Schema = {key: node[key] for key in ("description",) if key in node}
        result |= {key: value for key, value in node.items() if key in _COPIED}
        if node.get("properties"):
            result["properties"] = {
                name: self.schema(child, path=f"{path}.{name}", defaults=defaults)
                for name, child in node["properties"].items()
            }
        if "items" in node:
            result["items"] = self.schema(node["items"], path=f"{path}[]", defaults=False)
        result |= self._values(node, path)
        if defaults:
            result |= _default(node, result)
        return _with_default_told(result)

    def _values(self, node: Schema, path: str) -> Schema:
        match node.get("additionalProperties", False):
            case False:
                return {}
            case True:
                return {"x-kubernetes-preserve-unknown-fields": True}
            case values:
                return {"additionalProperties": self.schema(values, path=f"{path}{{}}", defaults=False)}

    def _resolved(self, node: Schema, path: str) -> Schema:
        """``node`` with its reference followed and its alternatives reduced to one."""
        if "$ref" in node:
            target = self.definitions[node["$ref"].removeprefix("#/$defs/")]
            return self._resolved(_merged(target, node, without="$ref"), path)
        if "anyOf" not in node:
            return node
        alternatives = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
        if node.get("x-kubernetes-int-or-string"):
            return {key: value for key, value in node.items() if key != "anyOf"}
        if len(alternatives) != 1:
            raise UnsupportedSchemaError(path, "a choice of types")
        return self._resolved(_merged(alternatives[0], node, without="anyOf"), path)


def _merged(inner: Schema, outer: Schema, *, without: str) -> Schema:
    """Both, the outer one winning, except that validation rules add up."""
    merged = inner | {key: value for key, value in outer.items() if key != without}
    validations = [*inner.get("x-kubernetes-validations", ()), *outer.get("x-kubernetes-validations", ())]
    return merged | ({"x-kubernetes-validations": validations} if validations else {})


def _default(node: Schema, schema: Schema) -> Schema:
    """``default`` of the node in its smallest form; nothing when leaving it out means the same."""
    value = _without_empty(node.get("default"))
    if not isinstance(value, Mapping):
        return {} if value is None else {"default": value}
    properties = schema.get("properties", {})
    beyond = {key: item for key, item in value.items() if item != _filled(properties.get(key, {}))}
    return {"default": beyond} if beyond or _has_defaults(schema) else {}


def _without_empty(value: Any) -> Any:
    """Without what means the same when it is absent: null, empty lists, and empty objects below the top."""
    match value:
        case Mapping():
            items = {key: _without_empty(item) for key, item in value.items()}
            return {key: item for key, item in items.items() if item is not None and item != {}}
        case []:
            return None
        case _:
            return value


def _with_default_told(schema: Schema) -> Schema:
    """``kubectl explain`` shows no defaults, so that the description has to."""
    default = schema.get("default")
    if default is None or isinstance(default, Mapping):
        return schema
    return schema | {"description": f"{schema['description']} Default: {json.dumps(default).strip(chr(34))}."}


def _filled(schema: Schema) -> Any:
    """The value that the API server gives an absent field."""
    default = schema.get("default")
    if not isinstance(default, Mapping):
        return default
    implied = {name: _filled(child) for name, child in schema.get("properties", {}).items()}
    return {name: value for name, value in implied.items() if value is not None} | dict(default)


def _has_defaults(schema: Schema) -> bool:
    return any("default" in child for child in schema.get("properties", {}).values())
