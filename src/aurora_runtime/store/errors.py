"""What can go wrong with a store.

StoreError
├── ModelNotFound        no such model, or no such version of it
├── VersionExists        the number is taken: versions are never rewritten
├── StorageUnavailable   the volume refuses or fails: time or an administrator helps
└── ArtifactRefused      what lies there is not what was published: it must not be loaded
    ├── InvalidDescriptor
    ├── DigestMismatch   altered or truncated bytes
    ├── FileMissing
    ├── UnexpectedFile
    ├── UnsafePath       a symbolic link, or a name that leaves its folder
    ├── UnsafeModel      a pickle that names code outside the allow-list
    └── BrokenModel      bytes that are no model of their format
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final


class StoreError(Exception):
    """Base of everything a store raises."""


class ModelNotFound(StoreError):
    """The store holds no such model, or no such version of it."""

    def __init__(self, *, model: str, version: int | None = None) -> None:
        self.model = model
        self.version = version
        what = f"version {version} of model {model!r}" if version is not None else f"a version of model {model!r}"
        super().__init__(f"the store does not hold {what}")


class VersionExists(StoreError):
    """The folder of this version exists; ``highest`` is the highest number in use, so ``highest + 1`` is free."""

    def __init__(self, *, model: str, version: int, highest: int) -> None:
        self.model = model
        self.version = version
        self.highest = highest
        super().__init__(f"version {version} of model {model!r} exists already (highest is {highest})")


class StorageUnavailable(StoreError):
    """The storage refused or failed, which no change of the inputs can mend."""

    def __init__(self, *, path: Path, cause: OSError) -> None:
        self.path = path
        self.remedy = _REMEDIES.get(cause.errno or 0, _DEFAULT_REMEDY)
        reason = cause.strerror or str(cause)
        code = errno.errorcode.get(cause.errno or 0, "OSError")
        super().__init__(f"storage failed at {path}: {reason} ({code}); {self.remedy}")


class ArtifactRefused(StoreError):
    """What is stored is not what was published. ``path`` is the file or folder at fault."""

    def __init__(self, message: str, *, path: Path) -> None:
        self.path = path
        super().__init__(message)


class InvalidDescriptor(ArtifactRefused):
    """``descriptor.json`` cannot be read as a descriptor of this version."""

    def __init__(self, *, path: Path, problem: str) -> None:
        super().__init__(f"{path} is not a descriptor of this version: {problem}", path=path)


class DigestMismatch(ArtifactRefused):
    """The bytes are not the ones that were published."""

    def __init__(self, *, path: Path, expected: str, actual: str) -> None:
        self.expected = expected
        self.actual = actual
        super().__init__(f"{path} was altered: expected {expected}, found {actual}", path=path)


class FileMissing(ArtifactRefused):
    """A file of the version is not there."""

    def __init__(self, *, path: Path) -> None:
        super().__init__(f"{path} is missing", path=path)


class UnexpectedFile(ArtifactRefused):
    """The folder of the version holds something that was not published."""

    def __init__(self, *, path: Path) -> None:
        super().__init__(f"{path} is not part of the published version", path=path)


class UnsafePath(ArtifactRefused):
    """A path that could lead out of the store."""

    def __init__(self, *, path: Path, problem: str) -> None:
        super().__init__(f"{path} is refused: {problem}", path=path)


class UnsafeModel(ArtifactRefused):
    """A pickled model that names code which no estimator needs."""

    def __init__(self, *, path: Path, name: str) -> None:
        self.name = name
        super().__init__(f"{path} is refused: it would import {name}, which is outside the allow-list", path=path)


class BrokenModel(ArtifactRefused):
    """A file that is not what its format says."""

    def __init__(self, *, path: Path, problem: str) -> None:
        super().__init__(f"{path} is refused: {problem}", path=path)


_DEFAULT_REMEDY: Final = "check that the volume is mounted and healthy"
_REMEDIES: Final[dict[int, str]] = {
    errno.EIO: "check the health of the storage cluster and of the node's mount",
    errno.ESTALE: "the mount is stale: restart the pod so that the volume is mounted again",
    errno.ENOTCONN: "the mount is dead: restart the pod so that the volume is mounted again",
    errno.ENOSPC: "the volume is full: enlarge the claim or remove versions that nothing serves",
    errno.EDQUOT: "the quota is used up: enlarge the claim or remove versions that nothing serves",
    errno.EROFS: "the volume is mounted read-only: mount it read-write for training",
    errno.EACCES: "grant the pod's user or fsGroup access to the volume",
    errno.EPERM: "grant the pod's user or fsGroup access to the volume",
    errno.ENOENT: "check that the store's folder exists and the volume is mounted",
    errno.ENOTDIR: "the store must be a folder",
}


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns an OSError at ``path`` into StorageUnavailable."""
    try:
        yield
    except OSError as error:
        raise StorageUnavailable(path=Path(error.filename) if _names_a_path(error) else path, cause=error) from error


def _names_a_path(error: OSError) -> bool:
    return isinstance(error.filename, str) and bool(error.filename)
