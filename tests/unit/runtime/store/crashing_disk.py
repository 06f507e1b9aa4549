"""A disk that fails at one chosen operation."""

import errno
import os
from pathlib import Path
from typing import IO

from aurora_runtime.store.disk import Disk


class Crash(BaseException):
    """The process is gone."""


class CrashingDisk(Disk):
    """Does ``operations`` operations, then the process dies: every later one, clean-up included, only raises.

    A write that the crash interrupts leaves half of its bytes.
    """

    def __init__(self, *, operations: int) -> None:
        self._left = operations

    def make_folder(self, path: Path) -> None:
        self._spend()
        super().make_folder(path)

    def create_file(self, path: Path) -> IO[bytes]:
        self._spend()
        return super().create_file(path)

    def write(self, file: IO[bytes], data: bytes) -> None:
        if self._left == 0:
            super().write(file, data[: len(data) // 2])
        self._spend()
        super().write(file, data)

    def sync_file(self, file: IO[bytes]) -> None:
        self._spend()
        super().sync_file(file)

    def sync_folder(self, path: Path) -> None:
        self._spend()
        super().sync_folder(path)

    def move_folder(self, source: Path, target: Path) -> None:
        self._spend()
        super().move_folder(source, target)

    def remove_tree(self, path: Path) -> None:
        self._spend()
        super().remove_tree(path)

    def _spend(self) -> None:
        if self._left == 0:
            raise Crash
        self._left -= 1


class FailingDisk(CrashingDisk):
    """Fails ``operations`` operations in with an error of the storage, and works again afterwards."""

    def __init__(self, *, operations: int, code: int = errno.EIO) -> None:
        super().__init__(operations=operations)
        self._code = code

    def _spend(self) -> None:
        self._left -= 1
        if self._left == -1:
            raise OSError(self._code, os.strerror(self._code))
