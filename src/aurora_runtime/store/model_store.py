"""The store: model versions that are published once, in one step, and never change.

A version is written under ``.staging``, every file on the medium before its name counts, and renamed into
place. Readers therefore see all of a version or nothing, and a publisher that dies leaves only rubbish in
``.staging``, which the next one removes. Two publishers of the same number: the rename decides, the loser
gets VersionExists. Nothing here trusts the volume: what is read is compared with the digest that came by
another way (the cluster, a flag) or with the descriptor that this digest vouches for.
"""

import os
import secrets
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aurora_runtime.store import layout
from aurora_runtime.store.descriptor import Descriptor, Draft
from aurora_runtime.store.digest import Digest, digest_of
from aurora_runtime.store.disk import Disk
from aurora_runtime.store.errors import (
    DigestMismatch,
    InvalidDescriptor,
    ModelNotFound,
    UnsafePath,
    VersionExists,
    storage_errors,
)
from aurora_runtime.store.reading import copy_verified, read_small_file, refuse_unlisted_files, verify_file
from aurora_runtime.store.staging import Staging

MAX_DESCRIPTOR_BYTES: Final = 16 * 1024 * 1024
LEFTOVER_AGE_SECONDS: Final = 24 * 3600


@dataclass(frozen=True, kw_only=True)
class PublishedVersion:
    """A version in the store, as its descriptor tells it. Its files are not yet verified."""

    descriptor: Descriptor
    digest: Digest
    path: Path
    """Folder of the version."""


@dataclass(frozen=True, kw_only=True)
class LocalModel:
    """A private copy of a version, every byte of which was verified while it was copied."""

    descriptor: Descriptor
    digest: Digest
    path: Path
    """Folder of the copy."""

    @property
    def model_file(self) -> Path:
        return layout.file_in(self.path, self.descriptor.model_file)


@dataclass(frozen=True, kw_only=True)
class ModelStore:
    """Versions of models under ``root``. Blocking; safe to use from several processes at once."""

    root: Path
    disk: Disk = field(default_factory=Disk)

    # -- writing

    def publish(self, *, model: str, version: int, run_id: str, write: Callable[[Staging], Draft]) -> PublishedVersion:
        """Publishes what ``write`` writes, or leaves no trace of it.

        ``write`` creates the files and returns the descriptor without them. Raises VersionExists when the number is
        taken (before calling ``write`` where that is known already), StorageUnavailable, and whatever ``write`` raises.
        """
        target = layout.version_folder(self.root, model, version)
        folder = layout.staged_version_folder(self.root, model, run_id, secrets.token_hex(6))
        self.check_free(model, version)
        self._begin(folder, run_id)
        try:
            descriptor, digest = self._fill(Staging(folder=folder, disk=self.disk), model, version, write)
            self._move_into_place(model, version, folder, target)
        except BaseException:
            self._discard(folder)
            raise
        self.sync(model)
        return PublishedVersion(descriptor=descriptor, digest=digest, path=target)

    def check_free(self, model: str, version: int) -> None:
        """Raises VersionExists when the number is taken, whatever lies there."""
        target = layout.version_folder(self.root, model, version)
        with storage_errors(target):
            taken = os.path.lexists(target)
        if taken:
            raise VersionExists(model=model, version=version, highest=self.highest(model))

    def check_writable(self, *, model: str, run_id: str) -> None:
        """Removes leftovers and makes sure that this run could begin to publish. Raises StorageUnavailable."""
        folder = layout.staged_version_folder(self.root, model, run_id, secrets.token_hex(6))
        self._begin(folder, run_id)
        self._discard(folder)

    def sync(self, model: str) -> None:
        """Waits until the names of all versions of a model are on the medium."""
        folder = layout.model_folder(self.root, model)
        with storage_errors(folder):
            self.disk.sync_folder(folder)

    # -- reading

    def versions(self, model: str) -> list[int]:
        """Numbers of the published versions, ascending; empty for an unknown model."""
        folder = layout.model_folder(self.root, model)
        numbers = self._numbers(model)
        with storage_errors(folder):
            return [number for number in numbers if (folder / str(number) / layout.DESCRIPTOR_FILE).is_file()]

    def highest(self, model: str) -> int:
        """Highest number in use, published or not; 0 when there is none."""
        return max(self._numbers(model), default=0)

    def open(self, model: str, version: int, expected_digest: Digest | None = None) -> PublishedVersion:
        """Reads the descriptor, after its digest was checked where one is given.

        Raises ModelNotFound, StorageUnavailable or ArtifactRefused (DigestMismatch, InvalidDescriptor, UnsafePath).
        """
        folder = layout.version_folder(self.root, model, version)
        path = folder / layout.DESCRIPTOR_FILE
        self._refuse_links(model, version, folder)
        data = read_small_file(path, limit_bytes=MAX_DESCRIPTOR_BYTES)
        digest = digest_of(data)
        if expected_digest is not None and digest != expected_digest:
            raise DigestMismatch(path=path, expected=expected_digest, actual=digest)
        try:
            descriptor = Descriptor.from_bytes(data)
        except ValueError as error:
            raise InvalidDescriptor(path=path, problem=str(error)) from error
        if (descriptor.model, descriptor.version) != (model, version):
            problem = f"it describes version {descriptor.version} of {descriptor.model!r}"
            raise InvalidDescriptor(path=path, problem=problem)
        return PublishedVersion(descriptor=descriptor, digest=digest, path=folder)

    def verify(self, published: PublishedVersion) -> None:
        """Reads every byte of a version. Raises ArtifactRefused naming the first file at fault, StorageUnavailable."""
        refuse_unlisted_files(published.path, published.descriptor.files)
        for file in published.descriptor.files:
            verify_file(published.path, file)

    def fetch(
        self,
        *,
        model: str,
        version: int,
        destination: Path,
        expected_digest: Digest | None = None,
        before_copy: Callable[[Descriptor], None] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> LocalModel:
        """Copies a version into the folder ``destination`` (made when missing), verifying while copying.

        Files of an earlier, broken attempt are overwritten. ``before_copy`` gets the descriptor and may raise, so that
        nothing is copied; ``on_progress`` gets copied and total bytes. Raises as ``open`` and ``verify`` do, and then
        leaves no file behind.
        """
        published = self.open(model, version, expected_digest)
        refuse_unlisted_files(published.path, published.descriptor.files)
        if before_copy is not None:
            before_copy(published.descriptor)
        with storage_errors(destination):
            destination.mkdir(parents=True, exist_ok=True)
        total, done = published.descriptor.size_bytes, 0

        def on_chunk(size: int) -> None:
            nonlocal done
            done += size
            if on_progress is not None:
                on_progress(done, total)

        try:
            for file in published.descriptor.files:
                copy_verified(published.path, file, destination, on_chunk)
        except BaseException:
            for file in published.descriptor.files:
                with suppress(OSError):
                    layout.file_in(destination, file.name).unlink()
            raise
        return LocalModel(descriptor=published.descriptor, digest=published.digest, path=destination)

    # -- steps of publish

    def _begin(self, folder: Path, run_id: str) -> None:
        """Makes the staged folder, and the folders above it, and removes what dead publishers left."""
        staging = folder.parent
        with storage_errors(self.root):
            self.root.parent.mkdir(parents=True, exist_ok=True)
        for parent in (self.root, staging.parent, staging):
            with storage_errors(parent), suppress(FileExistsError):
                self.disk.make_folder(parent)
        for parent in (staging.parent, staging):
            with storage_errors(parent):
                mode = parent.lstat().st_mode
            if not stat.S_ISDIR(mode):
                raise UnsafePath(path=parent, problem="it is not a folder")
        with storage_errors(folder):
            self.disk.make_folder(folder)
        with storage_errors(staging):
            self._remove_leftovers(folder, run_id)

    def _remove_leftovers(self, own: Path, run_id: str) -> None:
        """Removes what this run left earlier, and anything a day older than the folder ``own`` that was just made.

        The file system's clock is compared with itself, so the clocks of machines do not matter.
        """
        now = own.lstat().st_mtime
        for entry in own.parent.iterdir():
            # A second publisher may be removing the same leftovers.
            with suppress(FileNotFoundError):
                is_old = now - _last_change(entry) > LEFTOVER_AGE_SECONDS
                if entry != own and (is_old or layout.run_id_of_staged(entry.name) == run_id):
                    self.disk.remove_tree(entry)

    def _fill(
        self, staging: Staging, model: str, version: int, write: Callable[[Staging], Draft]
    ) -> tuple[Descriptor, Digest]:
        draft = write(staging)
        if (draft.model, draft.version) != (model, version):
            raise ValueError(f"the descriptor is for version {draft.version} of {draft.model!r}")
        descriptor = Descriptor.of(draft, staging.files)
        data = descriptor.to_bytes()
        if len(data) > MAX_DESCRIPTOR_BYTES:
            raise ValueError(f"the descriptor has {len(data)} bytes, more than {MAX_DESCRIPTOR_BYTES}")
        staging.complete(data)
        return descriptor, digest_of(data)

    def _move_into_place(self, model: str, version: int, folder: Path, target: Path) -> None:
        with storage_errors(target):
            try:
                self.disk.move_folder(folder, target)
            except FileExistsError as error:
                raise VersionExists(model=model, version=version, highest=self.highest(model)) from error

    def _discard(self, folder: Path) -> None:
        """Best effort: the storage that refused to write may refuse to remove, and the next run tries again."""
        with suppress(OSError):
            self.disk.remove_tree(folder)

    # -- steps of reading

    def _numbers(self, model: str) -> list[int]:
        folder = layout.model_folder(self.root, model)
        with storage_errors(folder):
            try:
                names = [entry.name for entry in folder.iterdir()]
            except FileNotFoundError:
                return []
        return sorted(number for name in names if (number := layout.version_of(name)) is not None)

    def _refuse_links(self, model: str, version: int, folder: Path) -> None:
        for path in (folder.parent, folder):
            with storage_errors(path):
                try:
                    mode = path.lstat().st_mode
                except FileNotFoundError as error:
                    raise ModelNotFound(model=model, version=version) from error
            if not stat.S_ISDIR(mode):
                raise UnsafePath(path=path, problem="it is not a folder")


def _last_change(entry: Path) -> float:
    paths = [entry, *entry.iterdir()] if entry.is_dir() and not entry.is_symlink() else [entry]
    return max(path.lstat().st_mtime for path in paths)
