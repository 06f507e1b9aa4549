import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from aurora_runtime.store.descriptor import Draft
from aurora_runtime.store.digest import digest_of
from aurora_runtime.store.disk import Disk
from aurora_runtime.store.errors import StorageUnavailable, UnsafePath, VersionExists
from aurora_runtime.store.model_store import ModelStore
from aurora_runtime.store.staging import Staging
from tests.unit.runtime.store.builders import FILES, MODEL, RUN, a_draft, publish
from tests.unit.runtime.store.crashing_disk import Crash, CrashingDisk, FailingDisk

DAY = 24 * 3600


class RecordingDisk(Disk):
    """Remembers what was done, in order."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []

    def sync_file(self, file: IO[bytes]) -> None:
        self.done.append(("sync file", Path(f"/proc/self/fd/{file.fileno()}").readlink().name))
        super().sync_file(file)

    def sync_folder(self, path: Path) -> None:
        self.done.append(("sync folder", "staged" if path.parent.name == ".staging" else path.name))
        super().sync_folder(path)

    def move_folder(self, source: Path, target: Path) -> None:
        self.done.append(("rename", target.name))
        super().move_folder(source, target)


def operations_of_one_publication(tmp_path: Path) -> int:
    """How many operations there are to fail at."""
    disk = FailingDisk(operations=10_000)
    publish(ModelStore(root=tmp_path / "counted", disk=disk))
    return 10_000 - disk._left


def staged(store: ModelStore) -> list[str]:
    folder = store.root / MODEL / ".staging"
    return [entry.name for entry in folder.iterdir()] if folder.is_dir() else []


def test_a_published_version_is_found_with_its_digest(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path / "new" / "store")
    published = publish(store)
    assert published.digest == digest_of((tmp_path / "new/store/housing/1/descriptor.json").read_bytes())
    found = store.open(MODEL, 1, published.digest)
    assert found == published
    assert {file.name: file.sha256 for file in found.descriptor.files} == {
        name: digest_of(data) for name, data in FILES.items()
    }
    store.verify(found)


def test_everything_is_on_the_medium_before_its_name_counts(tmp_path: Path) -> None:
    disk = RecordingDisk()
    publish(ModelStore(root=tmp_path, disk=disk))
    assert disk.done == [
        ("sync file", "model.onnx"),
        ("sync file", "report.html"),
        ("sync file", "descriptor.json"),
        ("sync folder", "staged"),
        ("rename", "1"),
        ("sync folder", MODEL),
    ]


def test_another_user_can_read_what_a_strict_umask_published(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        publish(ModelStore(root=tmp_path / "store"))
    finally:
        os.umask(before)
    for folder, _, files in os.walk(tmp_path / "store"):
        assert Path(folder).stat().st_mode & 0o777 == 0o755
        assert all((Path(folder) / file).stat().st_mode & 0o777 == 0o644 for file in files)


def test_a_number_is_never_used_twice(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)
    first = publish(store)
    publish(store, version=7)
    with pytest.raises(VersionExists) as refusal:
        publish(store, run_id="another", files={"model.onnx": b"other bytes"})
    assert refusal.value.highest == 7
    store.verify(store.open(MODEL, 1, first.digest))
    assert staged(store) == []


@pytest.mark.parametrize("occupy", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_a_name_that_is_taken_by_anything_is_not_replaced(tmp_path: Path, occupy: Callable[[Path], None]) -> None:
    store = ModelStore(root=tmp_path)
    publish(store, version=1)
    occupy(tmp_path / MODEL / "2")
    with pytest.raises(VersionExists) as refusal:
        publish(store, version=2)
    assert refusal.value.highest == 2


def test_a_taken_number_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)
    publish(store)

    def write(staging: Staging) -> Draft:
        raise AssertionError("written")

    with pytest.raises(VersionExists):
        store.publish(model=MODEL, version=1, run_id="another", write=write)


def test_of_two_publishers_of_one_number_one_wins(tmp_path: Path) -> None:
    """Both pass the first check; the rename decides."""
    store = ModelStore(root=tmp_path)
    inner: list[object] = []

    def write(staging: Staging) -> Draft:
        inner.append(publish(store, run_id="faster"))
        staging.write_bytes("model.onnx", b"slower")
        return a_draft(run_id="slower")

    with pytest.raises(VersionExists):
        store.publish(model=MODEL, version=1, run_id="slower", write=write)
    assert store.open(MODEL, 1).descriptor.run_id == "faster"
    assert staged(store) == []


def test_many_publishers_at_once_publish_each_number_once(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)

    def attempt(number: int) -> bool:
        try:
            publish(store, run_id=f"run-{number}", version=1 + number % 4)
        except VersionExists:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(attempt, range(32)))
    assert sum(won) == 4
    assert store.versions(MODEL) == [1, 2, 3, 4]
    for version in store.versions(MODEL):
        store.verify(store.open(MODEL, version))


def test_a_writer_that_raises_leaves_nothing(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)

    def write(staging: Staging) -> Draft:
        staging.write_bytes("model.onnx", b"half")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        store.publish(model=MODEL, version=1, run_id=RUN, write=write)
    assert store.versions(MODEL) == []
    assert store.highest(MODEL) == 0
    assert staged(store) == []


def test_a_descriptor_of_another_version_is_not_published(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)

    def write(staging: Staging) -> Draft:
        staging.write_bytes("model.onnx", b"m")
        return a_draft(version=2)

    with pytest.raises(ValueError, match="version 2"):
        store.publish(model=MODEL, version=1, run_id=RUN, write=write)
    assert store.highest(MODEL) == 0


def test_a_writer_cannot_write_elsewhere_or_forge_the_descriptor(tmp_path: Path) -> None:
    staging = Staging(folder=tmp_path, disk=Disk())
    with pytest.raises(UnsafePath):
        staging.write_bytes("../escaped", b"")
    with pytest.raises(ValueError, match="written by the store"):
        staging.write_bytes("descriptor.json", b"")
    assert not any(tmp_path.iterdir())


def test_a_crash_at_any_step_leaves_all_or_nothing_visible_and_can_be_repeated(tmp_path: Path) -> None:
    steps = operations_of_one_publication(tmp_path)
    outcomes = []
    for step in range(steps):
        root = tmp_path / f"crash-{step}"
        with pytest.raises(Crash):
            publish(ModelStore(root=root, disk=CrashingDisk(operations=step)))
        store = ModelStore(root=root)
        visible = store.versions(MODEL)
        outcomes.append(visible)
        if visible:
            store.verify(store.open(MODEL, 1))
        else:
            assert store.highest(MODEL) == 0
            publish(store)
            store.verify(store.open(MODEL, 1))
            assert staged(store) == []
    # Only a crash after the rename, while the parent is put on the medium, leaves the version there.
    assert outcomes == [[]] * (steps - 1) + [[1]]


def test_a_storage_error_at_any_step_is_reported_and_leaves_all_or_nothing(tmp_path: Path) -> None:
    steps = operations_of_one_publication(tmp_path)
    for step in range(steps):
        store = ModelStore(root=tmp_path / f"error-{step}", disk=FailingDisk(operations=step))
        with pytest.raises(StorageUnavailable, match="EIO"):
            publish(store)
        if step < steps - 1:
            assert store.highest(MODEL) == 0
            assert staged(store) == []
        else:
            store.verify(store.open(MODEL, 1))


def test_own_leftovers_and_old_ones_are_removed_and_young_ones_of_others_stay(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)
    staging = tmp_path / MODEL / ".staging"
    for name, age in ((f"{RUN}-000000000000", 0), ("other-1", 0), ("older-1", DAY + 60), (f"{RUN}0-1", 0)):
        (staging / name).mkdir(parents=True)
        (staging / name / "model.onnx").write_text("half")
        past = (staging / name).stat().st_mtime - age
        for path in (staging / name / "model.onnx", staging / name):
            os.utime(path, (past, past))
    publish(store)
    assert sorted(staged(store)) == sorted(["other-1", f"{RUN}0-1"])


def test_a_leftover_in_which_something_was_written_lately_is_not_old(tmp_path: Path) -> None:
    slow = tmp_path / MODEL / ".staging" / "slow-1"
    slow.mkdir(parents=True)
    (slow / "model.onnx").write_text("growing")
    past = slow.stat().st_mtime - 2 * DAY
    os.utime(slow, (past, past))
    publish(ModelStore(root=tmp_path))
    assert slow.is_dir()


def test_leftovers_are_never_versions(tmp_path: Path) -> None:
    (tmp_path / MODEL / ".staging" / "other-1").mkdir(parents=True)
    (tmp_path / MODEL / "report.txt").touch()
    store = ModelStore(root=tmp_path)
    assert store.versions(MODEL) == []
    assert store.highest(MODEL) == 0


def test_a_link_in_place_of_the_staging_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / MODEL).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / MODEL / ".staging").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UnsafePath, match=r"\.staging"):
        publish(ModelStore(root=tmp_path))
    assert not any((tmp_path / "elsewhere").iterdir())


def test_a_store_that_cannot_be_written_says_so_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable):
        ModelStore(root=tmp_path / "file").check_writable(model=MODEL, run_id=RUN)


def test_the_check_leaves_nothing(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)
    store.check_writable(model=MODEL, run_id=RUN)
    assert staged(store) == []
    assert store.highest(MODEL) == 0


def test_the_descriptor_on_disk_is_canonical_json(tmp_path: Path) -> None:
    published = publish(ModelStore(root=tmp_path))
    data = (published.path / "descriptor.json").read_bytes()
    again = json.dumps(json.loads(data), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert data == again
