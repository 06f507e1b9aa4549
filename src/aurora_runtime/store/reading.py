"""Reading files that are not trusted: no links are followed, no byte counts before its digest is right."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from aurora_runtime.store import layout
from aurora_runtime.store.descriptor import StoredFile
from aurora_runtime.store.digest import Hasher
from aurora_runtime.store.errors import (
    DigestMismatch,
    FileMissing,
    InvalidDescriptor,
    UnexpectedFile,
    UnsafePath,
    storage_errors,
)

_CHUNK_BYTES: Final = 1024 * 1024


def read_small_file(path: Path, *, limit_bytes: int) -> bytes:
    """Content of ``descriptor.json``. Raises InvalidDescriptor when it is longer than ``limit_bytes``."""
    with storage_errors(path), _open_regular(path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise InvalidDescriptor(path=path, problem=f"it has more than {limit_bytes} bytes")
    return data


def verify_file(folder: Path, file: StoredFile) -> None:
    """Reads a file to its end. Raises DigestMismatch, FileMissing, UnsafePath or StorageUnavailable."""
    _read_through(folder, file, lambda _: None)


def copy_verified(folder: Path, file: StoredFile, destination: Path, on_chunk: Callable[[int], None]) -> None:
    """Copies a file into the folder ``destination`` and raises as ``verify_file`` does, with the copy still there.

    ``on_chunk`` gets the size of each part, in bytes, when it is copied.
    """
    target = layout.file_in(destination, file.name)
    with storage_errors(target), target.open("wb") as copy:

        def keep(chunk: bytes) -> None:
            copy.write(chunk)
            on_chunk(len(chunk))

        _read_through(folder, file, keep)


def refuse_unlisted_files(folder: Path, files: list[StoredFile]) -> None:
    """Raises UnexpectedFile when the folder of a version holds more than its descriptor lists."""
    listed = {file.name for file in files} | {layout.DESCRIPTOR_FILE}
    with storage_errors(folder):
        entries = sorted(folder.iterdir())
    for entry in entries:
        if entry.name not in listed:
            raise UnexpectedFile(path=entry)


def _read_through(folder: Path, file: StoredFile, take: Callable[[bytes], None]) -> None:
    """At most one chunk more than the listed size is read: a file that grows without end is refused, not followed."""
    path = layout.file_in(folder, file.name)
    hasher = Hasher()
    with storage_errors(path):
        source = _open_regular(path)
    with source:
        while hasher.size_bytes <= file.size_bytes and (chunk := _read_chunk(source, path)):
            hasher.update(chunk)
            take(chunk)
    if hasher.digest != file.sha256:
        raise DigestMismatch(path=path, expected=file.sha256, actual=hasher.digest)


def _read_chunk(source: BinaryIO, path: Path) -> bytes:
    with storage_errors(path):
        return source.read(_CHUNK_BYTES)


def _open_regular(path: Path) -> BinaryIO:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError as error:
        raise FileMissing(path=path) from error
    if not stat.S_ISREG(mode):
        raise UnsafePath(path=path, problem="it is not a regular file")
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb")
