"""API keys: a folder with one key per file, read anew when it changes, compared in constant time.

The folder is a mounted Secret: Kubernetes replaces its content by switching the link ``..data``. Several keys are
valid at once, so that they can be rotated. An empty or missing folder lets nobody in.
"""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)


class ApiKeys:
    """Names and SHA-256 of the keys in a folder; the keys themselves are not kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digests: Mapping[str, bytes] = {}

    def reload(self) -> None:
        """Reads the folder. Blocking; an unreadable folder keeps the keys that are known."""
        try:
            found = {
                path.name: hashlib.sha256(path.read_bytes().strip()).digest()
                for path in sorted(self._folder.iterdir())
                if not path.name.startswith(".") and path.is_file() and path.read_bytes().strip()
            }
        except FileNotFoundError:
            found = {}
        except OSError as error:
            log.warning(
                "api keys cannot be read, the known ones stay valid", folder=str(self._folder), error=str(error)
            )
            return
        if found != self._digests:
            self._digests = found
            event = "api keys loaded" if found else "no api key: every request is refused"
            log.info(event, folder=str(self._folder), names=sorted(found))

    def name_of(self, key: str | None) -> str | None:
        """Name of the key, or None. Compares with every key, so the time tells nothing about them."""
        given = hashlib.sha256((key or "").encode()).digest()
        matching = [name for name, digest in self._digests.items() if hmac.compare_digest(digest, given)]
        return matching[0] if key and matching else None


def key_in(headers: Mapping[str, str]) -> str | None:
    """The key of ``Authorization: Bearer`` or ``X-API-Key``."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("X-API-Key")
