"""API keys: a folder with one key per file, read again and again, compared in constant time.

The folder is a mounted Secret: Kubernetes replaces its content by switching the link ``..data``. Several keys are
valid at once, so that they can be rotated. A folder without keys, or without the folder itself, lets nobody in.
"""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

import structlog

from aurora_runtime.inference.errors import Unauthorized

log = structlog.get_logger(__name__)


class ApiKeys:
    """Names and SHA-256 of the keys in a folder; the keys themselves are not kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: Mapping[str, bytes] | None = None

    def reload(self) -> None:
        """Reads the folder and logs a change. Blocking: not for the event loop."""
        found = {name: hashlib.sha256(key).digest() for name, key in self._read().items()}
        if found != self._digests:
            self._digests = found
            if found:
                log.info("api keys loaded", folder=str(self._folder), names=list(found))
            else:
                log.error("no api key can be read, every request is refused", folder=str(self._folder))

    @property
    def count(self) -> int:
        """How many keys are valid."""
        return len(self._digests or ())

    def check(self, headers: Mapping[str, str]) -> str:
        """Name of the key that came with a request. Raises Unauthorized.

        Every key is compared whatever matched before, so the time it takes tells nothing about them.
        """
        given = _keys_in(headers)
        matching: str | None = None
        for key in given:
            digest = hashlib.sha256(key).digest()
            for name, known in (self._digests or {}).items():
                if hmac.compare_digest(digest, known):
                    matching = name
        if matching is None:
            raise Unauthorized(reason="wrong" if given else "missing")
        return matching

    def _read(self) -> dict[str, bytes]:
        """Name → key. Files that cannot be read, as one removed a moment ago, are no keys."""
        try:
            # Dot files are Kubernetes' own: ..data, and the dated folders it points to.
            paths = sorted(path for path in self._folder.iterdir() if not path.name.startswith(".") and path.is_file())
        except OSError as error:
            log.warning("api keys cannot be read", folder=str(self._folder), error=str(error))
            return {}
        keys = {}
        for path in paths:
            try:
                key = path.read_bytes().strip()
            except OSError as error:
                log.warning("an api key cannot be read", name=path.name, error=str(error))
                continue
            if key:
                keys[path.name] = key
        return keys


def _keys_in(headers: Mapping[str, str]) -> list[bytes]:
    """What came as ``Authorization: Bearer`` and as ``X-API-Key``; a proxy may use the first for itself."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    given = [token if scheme.lower() == "bearer" else "", headers.get("X-API-Key", "")]
    return [key.strip().encode(errors="surrogateescape") for key in given if key.strip()]
