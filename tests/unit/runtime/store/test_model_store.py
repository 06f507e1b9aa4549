"""Reading: nothing that differs from what was published gets past the store."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from aurora_runtime.store import reading
from aurora_runtime.store.errors import (
    ArtifactRefused,
    DigestMismatch,
    FileMissing,
    InvalidDescriptor,
    ModelNotFound,
    StorageUnavailable,
    UnexpectedFile,
    UnsafePath,
)
from aurora_runtime.store.model_store import ModelStore, PublishedVersion
from tests.unit.runtime.store.builders import FILES, MODEL, publish


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(root=tmp_path / "store")


@pytest.fixture
def published(store: ModelStore) -> PublishedVersion:
    return publish(store)


def truncate(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"the")


def alter(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"the modem")


def append(folder: Path) -> None:
    with (folder / "model.onnx").open("ab") as file:
        file.write(b"!")


def remove(folder: Path) -> None:
    (folder / "model.onnx").unlink()


def replace_by_link_to_same_bytes(folder: Path) -> None:
    target = folder.parent / "same"
    shutil.move(folder / "model.onnx", target)
    (folder / "model.onnx").symlink_to(target)


def replace_by_folder(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").mkdir()


def replace_by_pipe(folder: Path) -> None:
    (folder / "model.onnx").unlink()
    os.mkfifo(folder / "model.onnx")


def add_file(folder: Path) -> None:
    (folder / "sitecustomize.py").touch()


def add_folder(folder: Path) -> None:
    (folder / "extra").mkdir()


DAMAGES = [
    pytest.param(truncate, DigestMismatch, "model.onnx", id="truncated"),
    pytest.param(alter, DigestMismatch, "model.onnx", id="altered"),
    pytest.param(append, DigestMismatch, "model.onnx", id="longer"),
    pytest.param(remove, FileMissing, "model.onnx", id="missing"),
    pytest.param(replace_by_link_to_same_bytes, UnsafePath, "model.onnx", id="a link to the same bytes"),
    pytest.param(replace_by_folder, UnsafePath, "model.onnx", id="a folder"),
    pytest.param(replace_by_pipe, UnsafePath, "model.onnx", id="a pipe"),
    pytest.param(add_file, UnexpectedFile, "sitecustomize.py", id="an extra file"),
    pytest.param(add_folder, UnexpectedFile, "extra", id="an extra folder"),
]


@pytest.mark.parametrize(("damage", "error", "culprit"), DAMAGES)
def test_verification_refuses_a_version_and_names_the_file(
    store: ModelStore,
    published: PublishedVersion,
    damage: Callable[[Path], None],
    error: type[ArtifactRefused],
    culprit: str,
) -> None:
    damage(published.path)
    with pytest.raises(error) as refusal:
        store.verify(published)
    assert refusal.value.path == published.path / culprit
    assert culprit in str(refusal.value)


@pytest.mark.parametrize(("damage", "error", "culprit"), DAMAGES)
def test_fetching_refuses_a_version_and_leaves_no_copy(
    store: ModelStore,
    tmp_path: Path,
    damage: Callable[[Path], None],
    error: type[ArtifactRefused],
    culprit: str,
) -> None:
    published = publish(store)
    damage(published.path)
    destination = tmp_path / "local"
    with pytest.raises(error, match=culprit):
        store.fetch(model=MODEL, version=1, destination=destination, expected_digest=published.digest)
    assert not destination.exists() or not any(destination.iterdir())


def test_a_fetched_version_is_a_verified_copy(store: ModelStore, published: PublishedVersion, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    local = store.fetch(
        model=MODEL,
        version=1,
        destination=tmp_path / "local" / "model",
        expected_digest=published.digest,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert {path.name: path.read_bytes() for path in local.path.iterdir()} == FILES
    assert local.model_file.read_bytes() == FILES["model.onnx"]
    assert local.descriptor == published.descriptor
    assert local.digest == published.digest
    total = sum(len(data) for data in FILES.values())
    assert progress == [(9, total), (total, total)]


def test_a_copy_of_an_earlier_attempt_is_overwritten(
    store: ModelStore, published: PublishedVersion, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(b"half of something much longer than the model")
    local = store.fetch(model=MODEL, version=1, destination=tmp_path)
    assert local.model_file.read_bytes() == FILES["model.onnx"]


def test_a_file_that_grows_without_end_is_not_followed(
    store: ModelStore, published: PublishedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_CHUNK_BYTES", 16)
    with (published.path / "model.onnx").open("ab") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(DigestMismatch):
        store.verify(published)


def test_the_expected_digest_is_checked_before_the_descriptor_is_believed(
    store: ModelStore, published: PublishedVersion
) -> None:
    (published.path / "descriptor.json").write_bytes(b"not even JSON")
    with pytest.raises(DigestMismatch) as refusal:
        store.open(MODEL, 1, published.digest)
    assert refusal.value.path == published.path / "descriptor.json"
    assert refusal.value.expected == published.digest


def test_without_a_digest_a_broken_descriptor_is_refused_all_the_same(
    store: ModelStore, published: PublishedVersion
) -> None:
    (published.path / "descriptor.json").write_bytes(b"{}")
    with pytest.raises(InvalidDescriptor):
        store.open(MODEL, 1)


def test_a_descriptor_without_end_is_not_read_into_memory(store: ModelStore, published: PublishedVersion) -> None:
    with (published.path / "descriptor.json").open("ab") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(InvalidDescriptor, match="more than"):
        store.open(MODEL, 1)


def test_a_version_in_the_wrong_place_is_refused(store: ModelStore, published: PublishedVersion) -> None:
    shutil.copytree(published.path, published.path.parent / "2")
    with pytest.raises(InvalidDescriptor, match="describes version 1"):
        store.open(MODEL, 2)


@pytest.mark.parametrize("level", ["model", "version", "descriptor.json"])
def test_a_link_anywhere_on_the_way_is_refused(store: ModelStore, published: PublishedVersion, level: str) -> None:
    linked = {
        "model": published.path.parent,
        "version": published.path,
        "descriptor.json": published.path / "descriptor.json",
    }[level]
    moved = store.root / "moved"
    shutil.move(linked, moved)
    linked.symlink_to(moved)
    with pytest.raises(UnsafePath):
        store.open(MODEL, 1, published.digest)


def test_a_missing_version_or_model_is_not_found(store: ModelStore, published: PublishedVersion) -> None:
    with pytest.raises(ModelNotFound, match="version 2"):
        store.open(MODEL, 2)
    with pytest.raises(ModelNotFound, match="'other'"):
        store.open("other", 1)


def test_a_version_without_a_descriptor_is_refused(store: ModelStore, published: PublishedVersion) -> None:
    (published.path / "descriptor.json").unlink()
    with pytest.raises(FileMissing):
        store.open(MODEL, 1)


def test_versions_are_the_published_ones_in_order_and_highest_counts_every_number(store: ModelStore) -> None:
    for version in (10, 2, 1):
        publish(store, version=version)
    (store.root / MODEL / "11").mkdir()
    assert store.versions(MODEL) == [1, 2, 10]
    assert store.highest(MODEL) == 11


def test_an_unknown_model_has_no_versions(store: ModelStore) -> None:
    assert store.versions("unknown") == []
    assert store.highest("unknown") == 0


def test_a_name_that_leaves_the_store_is_refused_everywhere(store: ModelStore, tmp_path: Path) -> None:
    for ask in (store.versions, store.highest, store.sync, lambda name: store.open(name, 1)):
        with pytest.raises(UnsafePath):
            ask("../elsewhere")


def test_a_descriptor_cannot_lead_the_reader_out_of_its_folder(store: ModelStore, published: PublishedVersion) -> None:
    path = published.path / "descriptor.json"
    content = json.loads(path.read_bytes())
    content["files"][0]["name"] = "../../../secret"
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidDescriptor):
        store.open(MODEL, 1)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_read_that_fails_says_where_and_what_to_do(
    store: ModelStore, published: PublishedVersion, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(path: object, flags: int) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(StorageUnavailable) as failure:
        store.verify(published)
    assert failure.value.path == published.path / "model.onnx"
    assert errno.errorcode[code] in str(failure.value)
