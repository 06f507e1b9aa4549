import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_runtime.store import disk as disk_module
from aurora_runtime.store.disk import Disk


@pytest.fixture(params=["one step", "check and rename"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Both ways to move a folder: with the kernel's help, and as on a file system that does not know the flag."""
    if request.param == "check and rename":
        monkeypatch.setattr(disk_module, "_renameat2", refuse_flags)
    return Disk()


def refuse_flags(source: Path, target: Path, flags: int) -> None:
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), str(target))


def ignore_flags(source: Path, target: Path, flags: int) -> None:
    source.rename(target)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "file").write_text("new")
    return folder


def test_a_folder_moves_to_a_free_name(disk: Disk, source: Path, tmp_path: Path) -> None:
    disk.move_folder(source, tmp_path / "target")
    assert (tmp_path / "target" / "file").read_text() == "new"
    assert not source.exists()


def make_empty_folder(target: Path) -> None:
    target.mkdir()


def make_full_folder(target: Path) -> None:
    target.mkdir()
    (target / "file").write_text("old")


def make_file(target: Path) -> None:
    target.write_text("old")


def make_dangling_link(target: Path) -> None:
    target.symlink_to("nowhere")


@pytest.mark.parametrize("occupy", [make_empty_folder, make_full_folder, make_file, make_dangling_link])
def test_nothing_that_has_the_name_is_replaced(
    disk: Disk, source: Path, tmp_path: Path, occupy: Callable[[Path], None]
) -> None:
    target = tmp_path / "target"
    occupy(target)
    with pytest.raises(FileExistsError):
        disk.move_folder(source, target)
    assert (source / "file").read_text() == "new"
    assert os.path.lexists(target)


@pytest.mark.parametrize("renameat2", [refuse_flags, ignore_flags])
def test_a_published_folder_that_slips_in_after_the_check_survives(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renameat2: Callable[[Path, Path, int], None]
) -> None:
    """Another machine may publish between check and rename; and a file system may ignore what it does not know."""
    target = tmp_path / "target"
    make_full_folder(target)
    monkeypatch.setattr(disk_module, "_renameat2", renameat2)
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(FileExistsError):
        Disk().move_folder(source, target)
    assert (target / "file").read_text() == "old"


def test_another_refusal_is_not_taken_for_a_missing_feature(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Disk().move_folder(tmp_path / "missing", tmp_path / "target")


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        Disk().make_folder(tmp_path / "folder")
        with Disk().create_file(tmp_path / "folder" / "file") as file:
            Disk().write(file, b"content")
    finally:
        os.umask(before)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "folder" / "file").stat().st_mode & 0o777 == 0o644


def test_a_file_that_exists_is_not_opened_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    with pytest.raises(FileExistsError):
        Disk().create_file(tmp_path / "file")


def test_a_link_is_removed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    Disk().remove_tree(tmp_path / "link")
    assert (tmp_path / "kept").is_dir()
    assert not (tmp_path / "link").exists()


def test_a_file_system_that_cannot_sync_folders_is_tolerated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "fsync", refuse)
    Disk().sync_folder(tmp_path)


def test_a_folder_that_fails_to_sync_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        Disk().sync_folder(tmp_path)
