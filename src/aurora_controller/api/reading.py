"""Objects → what their schema makes of them, or what is wrong with them.

An object that the schema would refuse may be in etcd all the same: an older schema let it in, or somebody edited etcd.
Whose reconcile is about it reads it whole (``parsed``), and is stalled with the field named. Whoever else looks at it
reads only what concerns him (``read``), goes on without it, and names it where people look.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from aurora_controller.kube.meta import key_of
from aurora_controller.kube.reconcile import Stalled

INVALID_OBJECT: Final = "InvalidObject"

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """Another's object that is not as its schema says."""

    kind: str
    name: str
    problem: str
    """The field and what is wrong with it."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name} cannot be read: {self.problem}"


def parsed(model: type[Model], manifest: Mapping[str, Any]) -> Model:
    """The whole object. Raises Stalled where its schema would refuse it."""
    try:
        # As JSON, where a string may stand for an enum, and strictly: the API server takes no "3" for a 3 either.
        return model.model_validate_json(orjson.dumps(manifest), strict=True)
    except ValidationError as error:
        raise Stalled(INVALID_OBJECT, _problem(error)) from error


def read(model: type[Model], manifest: Mapping[str, Any]) -> Model | Unreadable:
    """What ``model`` has of the object. Its enums must be plain strings."""
    try:
        return model.model_validate(manifest, strict=True)
    except ValidationError as error:
        return Unreadable(kind=manifest["kind"], name=key_of(manifest).name, problem=_problem(error))


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
