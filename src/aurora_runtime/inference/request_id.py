"""The name of a request in logs and in its response: the client's where it is well formed, else one made here."""

import re
from collections.abc import Mapping
from itertools import count
from secrets import token_hex
from typing import Final

HEADER: Final = "X-Request-Id"
_GIVEN: Final = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_TRACE_PARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?"
)
"""Source: W3C Trace Context, "traceparent": version ff and ids of zeros only are invalid; later versions may append."""


class RequestIds:
    """Ids of one process: a random beginning and a number, which costs less than randomness for each."""

    def __init__(self, *, beginning: str | None = None) -> None:
        self._beginning = token_hex(8) if beginning is None else beginning
        self._numbers = count(1)

    def of(self, headers: Mapping[str, str]) -> str:
        """``X-Request-Id`` before the trace id of ``traceparent`` before one of our own. Safe in a header."""
        given = headers.get(HEADER)
        if given is not None and _GIVEN.fullmatch(given):
            return given
        parent = headers.get("traceparent")
        if parent is not None and (found := _TRACE_PARENT.fullmatch(parent)):
            return found[1]
        return f"{self._beginning}-{next(self._numbers)}"
