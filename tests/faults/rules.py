"""Which requests a fault meets, and what it does to them. Pure, but for the counting of a ``RuleBook``."""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

import orjson

_PATH: Final = re.compile(
    r"^/(?:api|apis/(?P<group>[^/]+))/(?P<version>[^/]+)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<resource>[^/]+)(?:/(?P<name>[^/]+))?(?:/(?P<subresource>[^/]+))?$"
)
_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_UNCOUNTED: Final = frozenset({"events", "leases"})
"""Best effort, and the election: neither is a step of a reconcile."""
WORDS: Final = "said by the fault proxy"
"""Message of every refusal."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """A request in the words of the API: ``verb`` is get, list, watch, create, update, patch, apply or delete."""

    verb: str
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""
    parameters: frozenset[str] = frozenset()
    """Names of what its query gives."""

    @property
    def is_write(self) -> bool:
        return self.verb not in {"get", "list", "watch"}

    @property
    def is_step(self) -> bool:
        """A write that a reconcile made, the kind that is numbered."""
        return self.is_write and self.resource not in _UNCOUNTED

    def __str__(self) -> str:
        what = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        return f"{self.verb} {what} {self.name}".rstrip()


def call_of(method: str, path: str, query: Mapping[str, str], content_type: str = "") -> Call:
    """What a request asks for; what is no request for a resource has none."""
    found = _PATH.match(path)
    parts = {key: value or "" for key, value in found.groupdict().items()} if found else {}
    if method in _VERBS:
        verb = "apply" if method == "PATCH" and "apply-patch" in content_type else _VERBS[method]
    elif query.get("watch") in {"1", "true"}:
        verb = "watch"
    else:
        verb = "get" if parts.get("name") else "list"
    return Call(
        verb=verb,
        resource=parts.get("resource", ""),
        namespace=parts.get("namespace", ""),
        name=parts.get("name", ""),
        subresource=parts.get("subresource", ""),
        parameters=frozenset(query),
    )


@dataclass(frozen=True, kw_only=True)
class Refuse:
    """The connection breaks before the server hears of it."""


@dataclass(frozen=True, kw_only=True)
class LoseAnswer:
    """The server performs it; the connection breaks before the answer."""


@dataclass(frozen=True, kw_only=True)
class Delay:
    """Before the server hears of it."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Detour:
    """Takes so long, half of it on the way there. Whoever hangs up before half of it was not heard."""

    seconds: Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Neither forwarded nor answered nor broken, until the connection is closed by the other end."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The server never hears of it."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(code: int, reason: str, *, retry_after_seconds: int | None = None) -> Answer:
    """As the API server says it."""
    headers = {"Content-Type": "application/json"}
    if retry_after_seconds is not None:
        headers["Retry-After"] = str(retry_after_seconds)
    return Answer(status=code, body=orjson.dumps(status(code, reason)), headers=headers)


def status(code: int, reason: str) -> Mapping[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": WORDS,
        "reason": reason,
        "code": code,
    }


Lines: TypeAlias = AsyncIterator[bytes]


class Break(Exception):
    """Raised by an edit: the connection is reset here, in the middle of the body, after a part of a chunk."""

    def __init__(self, part: bytes = b"") -> None:
        super().__init__()
        self.part = part


_Text = TypeVar("_Text", str, bytes)


def as_it_is(text: _Text) -> _Text:
    return text


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Rewrites the lines of a watch while they pass; each ends with its newline unless the edit means it not to."""

    lines: Callable[[Lines], Lines]
    url: Callable[[str], str] = as_it_is


@dataclass(frozen=True, kw_only=True)
class Reword:
    """Changes what is asked and what is answered; a watch's answer line by line."""

    url: Callable[[str], str] = as_it_is
    body: Callable[[bytes], bytes] = as_it_is
    answer: Callable[[bytes], bytes] = as_it_is


Action: TypeAlias = Refuse | LoseAnswer | Delay | Detour | Hang | Answer | Edit | Reword


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Meets calls that are as given (empty: any), from the ``nth`` on, ``times`` of them (None: for ever).

    With ``each``, calls for one thing after the other are counted apart: those of each name, or each collection.
    ``every`` second or third of them are met, when it is not one.
    """

    action: Action
    verb: str = ""
    resource: str = ""
    name: str = ""
    subresource: str | None = None
    namespace: str = ""
    parameter: str = ""
    steps_only: bool = False
    writes_only: bool = False
    nth: int = 1
    times: int | None = 1
    each: bool = False
    every: int = 1
    kills: bool = False
    """Whoever sent it is dead from here on: nothing more of it reaches the server."""

    def is_about(self, call: Call) -> bool:
        given = ((self.verb, call.verb), (self.resource, call.resource), (self.name, call.name))
        return (
            all(not wanted or wanted == actual for wanted, actual in given)
            and (self.subresource is None or self.subresource == call.subresource)
            and (not self.namespace or self.namespace == call.namespace)
            and (not self.parameter or self.parameter in call.parameters)
            and (call.is_step or not self.steps_only)
            and (call.is_write or not self.writes_only)
        )

    def meets(self, count: int) -> bool:
        """Whether it acts on the ``count``-th call it is about, from 1."""
        turn, rest = divmod(count - self.nth, self.every)
        return turn >= 0 and rest == 0 and (self.times is None or turn < self.times)

    def place_of(self, call: Call) -> str:
        """What is counted together with this call."""
        return f"{call.namespace} {call}" if self.each else ""


class RuleBook:
    """Counts for each rule the calls it is about. The first that acts decides."""

    def __init__(self) -> None:
        self._counts: dict[int, Counter[str]] = {}
        self._rules: list[Rule] = []
        self.fired: list[tuple[Rule, Call]] = []

    def add(self, rule: Rule) -> Rule:
        self._rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        self._rules = [one for one in self._rules if one is not rule]
        self._counts.pop(id(rule), None)

    def clear(self) -> None:
        self._rules.clear()
        self._counts.clear()

    def decide(self, call: Call) -> Rule | None:
        acting: Rule | None = None
        for rule in self._rules:
            if not rule.is_about(call):
                continue
            counts, place = self._counts.setdefault(id(rule), Counter()), rule.place_of(call)
            counts[place] += 1
            if acting is None and rule.meets(counts[place]):
                acting = rule
        if acting is not None:
            self.fired.append((acting, call))
        return acting
