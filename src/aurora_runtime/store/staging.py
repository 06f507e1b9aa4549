"""A version while it is being written, out of everybody's sight."""

from pathlib import Path

from aurora_runtime.store.descriptor import StoredFile
from aurora_runtime.store.digest import digest_of
from aurora_runtime.store.disk import Disk
from aurora_runtime.store.errors import storage_errors
from aurora_runtime.store.layout import DESCRIPTOR_FILE, file_in


class Staging:
    """Files of one unpublished version. A digest is that of the bytes that were handed in, never of what can be read
    back, so a medium that alters them is found out later."""

    def __init__(self, *, folder: Path, disk: Disk) -> None:
        self.folder = folder
        self._disk = disk
        self._files: list[StoredFile] = []

    @property
    def files(self) -> list[StoredFile]:
        """Files that are complete and on the medium."""
        return list(self._files)

    def write_bytes(self, name: str, data: bytes) -> None:
        """A new file, on the medium before this returns.

        Raises UnsafePath for a name that is not a plain file name, StorageUnavailable when the disk refuses.
        """
        if name == DESCRIPTOR_FILE:
            raise ValueError(f"{DESCRIPTOR_FILE} is written by the store")
        self._write(file_in(self.folder, name), data)
        self._files.append(StoredFile(name=name, sha256=digest_of(data), size_bytes=len(data)))

    def complete(self, descriptor: bytes) -> None:
        """Writes the file that completes the version, and puts the names of all on the medium."""
        self._write(self.folder / DESCRIPTOR_FILE, descriptor)
        with storage_errors(self.folder):
            self._disk.sync_folder(self.folder)

    def _write(self, path: Path, data: bytes) -> None:
        with storage_errors(path), self._disk.create_file(path) as file:
            self._disk.write(file, data)
            self._disk.sync_file(file)
