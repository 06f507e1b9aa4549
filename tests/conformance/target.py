"""A server under test, seen from outside: plain HTTP, and bytes that are none."""

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

TIMEOUT_SECONDS: Final = 60
RAW_TIMEOUT_SECONDS: Final = 20
"""For what is answered before it is read to its end."""
JSON: Final = "application/json"


class Failed(AssertionError):
    """The server does not do what a check asks for."""


class NotApplicable(Exception):
    """A check asks for something that this server has no use for. It counts neither way."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A response that was read to its end."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    def json(self) -> Any:
        """Raises Failed when the body is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise Failed(f"status {self.status} with a body that is not JSON: {self.body[:80]!r}") from None

    def ok(self) -> Any:
        """The JSON of a 200. Raises Failed for anything else."""
        if self.status != 200:
            raise Failed(f"status {self.status}: {self.body[:160]!r}")
        return self.json()

    def refused(self, *statuses: int) -> str:
        """The text of an error: a 4xx, or one of ``statuses``, whose body is exactly ``{"error": "<text>"}``."""
        if not (self.status in statuses if statuses else 400 <= self.status < 500):
            expected = " or ".join(map(str, statuses)) or "4xx"
            raise Failed(f"expected status {expected}, got {self.status}: {self.body[:120]!r}")
        error = self.json()
        if not isinstance(error, dict) or list(error) != ["error"] or not isinstance(error["error"], str):
            raise Failed(f"status {self.status}, but the body is not {{'error': <text>}}: {self.body[:120]!r}")
        return str(error["error"])


@dataclass(frozen=True, kw_only=True)
class Example:
    """Rows that the model takes, and what it answers in its first output."""

    tensor: str
    """Name of the input that takes whole rows."""
    rows: list[list[float]]
    predictions: list[float]
    tolerance: float = 1e-6
    datatype: str = "FP64"

    def request(self, *indices: int, **fields: Any) -> dict[str, Any]:
        """A request for these rows, flat; for the first one when none is given."""
        return {"inputs": [self.input(*indices)], **fields}

    def input(self, *indices: int, **changes: Any) -> dict[str, Any]:
        """The tensor of these rows; a change to None leaves a field out."""
        rows = [self.rows[index] for index in indices or (0,)]
        tensor = {
            "name": self.tensor,
            "shape": [len(rows), len(rows[0])],
            "datatype": self.datatype,
            "data": [value for row in rows for value in row],
        }
        return {name: value for name, value in (tensor | changes).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the server is, which model it serves, and an example of what that model answers."""

    url: str
    model: str
    example: Example
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with every request: keys."""

    @property
    def path(self) -> str:
        return f"/v2/models/{self.model}"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    def connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self.url.startswith("https:") else http.client.HTTPConnection
        return kind(*self.address, timeout=TIMEOUT_SECONDS)

    def get(self, path: str, **headers: str) -> Reply:
        return self.request("GET", path, headers=headers)

    def infer(self, body: Any, *, path: str = "", headers: Mapping[str, str] | None = None) -> Reply:
        """POST to the infer endpoint; bytes are sent as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.request("POST", path or f"{self.path}/infer", data, {"Content-Type": JSON, **(headers or {})})

    def request(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """One request on a connection of its own."""
        connection = self.connect()
        try:
            return self.request_on(connection, method, path, body, headers)
        finally:
            connection.close()

    def request_on(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request on a connection that may be used again."""
        try:
            connection.request(
                method, urlsplit(self.url).path.rstrip("/") + path, body, {**self.headers, **(headers or {})}
            )
            return read(connection.getresponse())
        except (http.client.HTTPException, OSError) as error:
            raise Failed(f"no HTTP response: {type(error).__name__}: {error}") from None

    def send(self, *pieces: bytes) -> Reply:
        """Bytes that need not be HTTP, and the first response to them."""
        with self.raw() as connection:
            with suppress(OSError):  # It may have answered and hung up before it read all.
                for piece in pieces:
                    connection.sendall(piece)
            try:
                response = http.client.HTTPResponse(connection)
                response.begin()
                return read(response)
            except (http.client.HTTPException, OSError) as error:
                raise Failed(f"no HTTP response: {type(error).__name__}: {error}") from None

    def raw(self) -> socket.socket:
        """A connection for bytes that need not be HTTP."""
        return socket.create_connection(self.address, timeout=RAW_TIMEOUT_SECONDS)

    def head(self, method: str, path: str, **headers: str) -> bytes:
        """A request head with these headers beside the keys; underscores stand for hyphens."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in {"Host": self.address[0], **self.headers, **given}.items()]
        return "\r\n".join((f"{method} {urlsplit(self.url).path.rstrip('/')}{path} HTTP/1.1", *lines, "", "")).encode()


def read(response: http.client.HTTPResponse) -> Reply:
    """All of a response."""
    body = response.read()
    return Reply(status=response.status, headers={n.lower(): v for n, v in response.getheaders()}, body=body)
