"""How a fake API server is made to misbehave, and what it remembers of each request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from multidict import CIMultiDictProxy

from aurora_controller.kube.meta import Manifest


@dataclass(frozen=True)
class Received:
    """A request as it came. ``name`` is empty for a collection."""

    method: str
    plural: str
    namespace: str
    name: str
    subresource: str
    query: Mapping[str, str]
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def is_watch(self) -> bool:
        return self.query.get("watch") in {"true", "1"}

    @property
    def verb(self) -> str:
        """As audit logs call it: get, list, watch, create, update, patch or delete."""
        if self.method == "GET":
            return "watch" if self.is_watch else "get" if self.name else "list"
        return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[self.method]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """In place of what the server would say."""

    code: int = 200
    body: bytes | Manifest = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A body sent piece by piece, which then ends as a body should, is cut off, or stays open without a word."""

    chunks: Sequence[bytes] = ()
    ending: str = "end"
    """``end``, ``abort`` or ``silence``."""
    content_type: str = "application/json"


@dataclass(frozen=True)
class LoseAnswer:
    """The request is performed, and the connection breaks before the answer."""


@dataclass(frozen=True)
class Abort:
    """The connection breaks, and nothing is performed."""


Behaviour: TypeAlias = Answer | Stream | LoseAnswer | Abort


@dataclass
class Rule:
    """The next ``times`` matching requests (None: all of them) meet ``behaviour``."""

    matches: Callable[[Received], bool]
    behaviour: Behaviour
    times: int | None
