"""SHA-256 digests, written as ``sha256:<64 lower-case hex digits>``."""

import hashlib
from typing import Annotated, Final

from pydantic import StringConstraints

PREFIX: Final = "sha256:"

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


def digest_of(data: bytes) -> Digest:
    """Digest of bytes that are in memory."""
    hasher = Hasher()
    hasher.update(data)
    return hasher.digest


class Hasher:
    """Digest and size of bytes that pass by piece after piece."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size_bytes = 0

    def update(self, data: bytes) -> None:
        self._sha256.update(data)
        self.size_bytes += len(data)

    @property
    def digest(self) -> Digest:
        """Digest of everything so far."""
        return f"{PREFIX}{self._sha256.hexdigest()}"
