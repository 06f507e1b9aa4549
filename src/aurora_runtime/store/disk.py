"""The few operations on a file system that publication is made of, each durable or refused.

Folders are 0755 and files 0644 whatever the umask: a server that runs as another user reads what a trainer wrote.
"""

import ctypes
import errno
import io
import os
import shutil
from pathlib import Path
from typing import IO, Final

FOLDER_MODE: Final = 0o755
FILE_MODE: Final = 0o644

_RENAME_NOREPLACE: Final = 1
_AT_FDCWD: Final = -100
_UNSUPPORTED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP})


class Disk:
    """Operations on the real file system. Raises OSError."""

    def make_folder(self, path: Path) -> None:
        """Creates one folder. Raises FileExistsError when it is there."""
        path.mkdir()
        path.chmod(FOLDER_MODE)

    def create_file(self, path: Path) -> IO[bytes]:
        """Opens a new file for writing; an existing one, or a symbolic link, is an error."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        os.fchmod(descriptor, FILE_MODE)
        return io.FileIO(descriptor, "wb")

    def write(self, file: IO[bytes], data: bytes) -> None:
        """Writes all of ``data``."""
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]

    def sync_file(self, file: IO[bytes]) -> None:
        """Waits until the bytes of an open file are on the medium."""
        os.fsync(file.fileno())

    def sync_folder(self, path: Path) -> None:
        """Waits until the names in a folder are on the medium, where the file system can do that for folders."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        finally:
            os.close(descriptor)

    def move_folder(self, source: Path, target: Path) -> None:
        """Renames a folder in one step. Raises FileExistsError when ``target`` exists in whatever form.

        rename(2) replaces an empty folder without a word, renameat2(2) with RENAME_NOREPLACE does not. File systems
        that do not know the flag (CephFS, most of FUSE) get a check and a plain rename: whatever slips in between the
        two is replaced only when it is an empty folder, which never is a published version.
        """
        try:
            _rename_no_replace(source, target)
        except OSError as error:
            if error.errno == errno.ENOTEMPTY:
                raise _exists(target) from error
            raise

    def remove_tree(self, path: Path) -> None:
        """Removes a folder and all in it; a symbolic link is removed, never followed."""
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)


def _rename_no_replace(source: Path, target: Path) -> None:
    try:
        _renameat2(source, target, _RENAME_NOREPLACE)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if os.path.lexists(target):
            raise _exists(target) from error
        source.rename(target)


def _renameat2(source: Path, target: Path, flags: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(target))
    if libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def _exists(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
