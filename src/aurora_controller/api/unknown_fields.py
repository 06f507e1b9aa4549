"""Fields of stored objects that this version does not know: a CRD of a later version lets them in.

They are left as they are, and none of what they ask for is done. That is worth a line in the log, after an upgrade that
was taken back, or while a new CRD waits for its controller.
"""

from collections.abc import Iterator
from typing import Any, Final

import structlog
from prometheus_client import Counter

from aurora_controller.api.schema import CustomResource, Schema, object_schema
from aurora_controller.kube.meta import Manifest, key_of
from aurora_controller.kube.metrics import REGISTRY

UNKNOWN_FIELDS: Final = Counter(
    "unknown_fields",
    "Fields that this version does not know, in objects as they appeared or changed.",
    ["kind"],
    registry=REGISTRY,
)

log = structlog.get_logger(__name__)


class UnknownFields:
    """Hears of every change of one kind's objects. Counts every such field, and names each one once."""

    def __init__(self, resource: CustomResource) -> None:
        self._kind = resource.kind.kind
        self._schema = object_schema(resource.model)
        self._told: set[str] = set()

    def __call__(self, old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None:  # noqa: ARG002
        if new is None:
            return
        for field in unknown_fields(new, self._schema):
            UNKNOWN_FIELDS.labels(kind=self._kind).inc()
            if field not in self._told:
                self._told.add(field)
                log.warning("unknown field", kind=self._kind, field=field, object=str(key_of(new)))


def unknown_fields(value: Manifest | list[Any], schema: Schema, path: str = "") -> Iterator[str]:
    """Paths that the API server would prune by this structural schema, such as ``spec.routing.odd``."""
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return
    if isinstance(value, list):
        items = schema.get("items", {})
        for inner in value:
            if isinstance(inner, dict | list):
                yield from unknown_fields(inner, items, f"{path}[]")
        return
    properties, others = schema.get("properties"), schema.get("additionalProperties")
    for name, inner in value.items():
        if properties is not None and name not in properties:
            yield f"{path}.{name}".lstrip(".")
        elif isinstance(inner, dict | list):  # nothing is unknown within anything else, and this runs for every event
            if properties is not None:
                yield from unknown_fields(inner, properties[name], f"{path}.{name}".lstrip("."))
            elif others is not None:
                yield from unknown_fields(inner, others, f"{path}.*")
