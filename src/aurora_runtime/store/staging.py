"""A version while it is being written, out of everybody's sight."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from aurora_runtime.store.descriptor import StoredFile
from aurora_runtime.store.digest import Hasher
from aurora_runtime.store.disk import Disk
from aurora_runtime.store.errors import storage_errors
from aurora_runtime.store.layout import DESCRIPTOR_FILE, file_in


class Staging:
    """Files of one unpublished version. The digest is taken from the bytes as they are written, never read back,
    so a medium that alters them is found out later."""

    def __init__(self, *, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk
        self._files: list[StoredFile] = []

    @property
    def files(self) -> list[StoredFile]:
        """Files that are complete and on the medium."""
        return list(self._files)

    @contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """A new file to write to. It counts, and is on the medium, when the block ends without an error.

        Raises UnsafePath for a name that is not a plain file name, StorageUnavailable when the disk refuses.
        """
        path = file_in(self.folder, name)
        if name == DESCRIPTOR_FILE:
            raise ValueError(f"{DESCRIPTOR_FILE} is written by the store")
        yield from self._written(path)

    def write_bytes(self, name: str, data: bytes) -> None:
        """A new file with this content."""
        with self.create(name) as file:
            file.write(data)

    def write_descriptor(self, data: bytes) -> None:
        """The file that completes the version."""
        with contextmanager(self._written)(self.folder / DESCRIPTOR_FILE) as file:
            file.write(data)

    def _written(self, path: Path) -> Iterator[BinaryIO]:
        with storage_errors(path):
            raw = self._disk.create_file(path)
        with raw:
            file = _HashingFile(raw, path=path, disk=self._disk)
            # joblib and the like want a binary file that they only write to: the cast promises no more.
            yield cast("BinaryIO", file)
            with storage_errors(path):
                self._disk.sync_file(raw)
        self._files.append(StoredFile(name=path.name, sha256=file.hasher.digest, size_bytes=file.hasher.size_bytes))


class _HashingFile(io.RawIOBase):
    """Write-only file that hashes what passes and turns errors of the disk into StorageUnavailable."""

    def __init__(self, raw: IO[bytes], *, path: Path, disk: Disk) -> None:
        super().__init__()
        self.hasher = Hasher()
        self._raw = raw
        self._path = path
        self._disk = disk

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.hasher.size_bytes

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        with storage_errors(self._path):
            self._disk.write(self._raw, view)
        self.hasher.update(view)
        return len(view)
