"""What a start refuses to load, and in which words; nothing of it was deserialised before it was verified."""

import asyncio
import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from aurora_runtime.inference import fetch
from aurora_runtime.inference.app import serve
from aurora_runtime.inference.errors import GoldenRowsDiffer, LibrariesDiffer
from aurora_runtime.inference.refusal import refusal_text
from aurora_runtime.inference.settings import InferenceSettings
from aurora_runtime.store import model_store, serialization
from aurora_runtime.store.errors import (
    ArtifactRefused,
    DigestMismatch,
    FileMissing,
    ModelNotFound,
    StorageUnavailable,
    UnexpectedFile,
    UnsafeModel,
    UnsafePath,
)
from aurora_runtime.store.model_store import ModelStore, PublishedVersion
from aurora_runtime.store.reading import copy_verified
from tests.unit.runtime.inference.models import MODEL, a_regressor, publish, until


async def refusal(root: Path, error: type[Exception], **changes: Any) -> str:
    """The words of a server that must end with this error."""
    settings = InferenceSettings(store=root, model=MODEL, host="127.0.0.1", port=0, metrics_port=0, **changes)
    with pytest.raises(error) as raised:
        await serve(settings, stop=asyncio.Event(), hasten=asyncio.Event())
    assert isinstance(raised.value, ArtifactRefused | ModelNotFound | GoldenRowsDiffer | LibrariesDiffer)
    return refusal_text(raised.value)


def flip(artifact: Path) -> None:
    data = bytearray(artifact.read_bytes())
    data[len(data) // 2] ^= 1
    artifact.write_bytes(data)


def truncate(artifact: Path) -> None:
    artifact.write_bytes(artifact.read_bytes()[:-1])


def grow(artifact: Path) -> None:
    artifact.write_bytes(artifact.read_bytes() + b"x")


def replace_by_a_link(artifact: Path) -> None:
    elsewhere = artifact.parent.parent / "elsewhere"
    artifact.rename(elsewhere)
    artifact.symlink_to(elsewhere)


@pytest.fixture
def published(tmp_path: Path) -> PublishedVersion:
    return publish(ModelStore(root=tmp_path), a_regressor())


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        pytest.param(flip, DigestMismatch, id="altered"),
        pytest.param(truncate, DigestMismatch, id="truncated"),
        pytest.param(grow, DigestMismatch, id="grown"),
        pytest.param(Path.unlink, FileMissing, id="missing"),
        pytest.param(replace_by_a_link, UnsafePath, id="a link"),
    ],
)
async def test_damaged_bytes_are_refused_by_file_and_digest_and_never_loaded(
    published: PublishedVersion,
    tmp_path: Path,
    damage: Callable[[Path], None],
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[object] = []
    monkeypatch.setattr(serialization, "load", loaded.append)
    artifact = published.path / "model.joblib"
    damage(artifact)
    text = await refusal(tmp_path, error, version=1, digest=published.digest)
    assert str(artifact) in text
    assert "Restore the files" in text
    assert loaded == []
    if error is DigestMismatch:
        assert len(set(re.findall(r"sha256:[0-9a-f]{64}", text))) == 2


async def test_another_file_beside_the_published_ones_is_refused(published: PublishedVersion, tmp_path: Path) -> None:
    (published.path / "extra.joblib").write_bytes(b"x")
    assert "extra.joblib" in await refusal(tmp_path, UnexpectedFile)


async def test_another_digest_than_the_one_asked_for_is_refused(published: PublishedVersion, tmp_path: Path) -> None:
    asked = "sha256:" + "1" * 64
    text = await refusal(tmp_path, DigestMismatch, version=1, digest=asked)
    assert asked in text
    assert published.digest in text


class Burglar:
    """Predicts, and leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def predict(self, features: Any) -> Any:
        return a_regressor().predict(features)

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._mark),)


async def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    publish(ModelStore(root=tmp_path / "store"), Burglar(mark))
    assert "outside the allow-list" in await refusal(tmp_path / "store", UnsafeModel)
    assert not mark.exists()


async def test_libraries_are_compared_before_a_byte_of_the_model_is_copied(tmp_path: Path) -> None:
    version = publish(ModelStore(root=tmp_path), a_regressor(), libraries={"scikit-learn": "0.24.2"})
    truncate(version.path / "model.joblib")  # a copy would find this first
    assert "scikit-learn 0.24.2" in await refusal(tmp_path, LibrariesDiffer)


async def test_a_library_that_differs_is_told_once_however_often_the_storage_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(ModelStore(root=tmp_path), a_regressor(), libraries={"numpy": "1.0"})
    failures = iter([OSError(errno.EIO, "failed")] * 3)

    def copy(*arguments: Any) -> None:
        if (error := next(failures, None)) is not None:
            raise StorageUnavailable(path=tmp_path, cause=error)
        copy_verified(*arguments)

    monkeypatch.setattr(model_store, "copy_verified", copy)
    monkeypatch.setattr(fetch, "FIRST_DELAY_SECONDS", 0)
    settings = InferenceSettings(store=tmp_path, model=MODEL, host="127.0.0.1", port=0, metrics_port=0)
    stop = asyncio.Event()
    with capture_logs() as logs:
        running = asyncio.create_task(serve(settings, stop=stop, hasten=asyncio.Event()))
        await until(lambda: any(line["event"] == "ready" for line in logs))
        stop.set()
        await running
    events = [line["event"] for line in logs]
    assert events.count("storage failed, fetching again") == 3
    assert events.count("library differs from training") == 1


async def test_other_golden_rows_are_refused_with_the_remedy(tmp_path: Path) -> None:
    publish(ModelStore(root=tmp_path), a_regressor(), falsified_by=0.5)
    text = await refusal(tmp_path, GoldenRowsDiffer)
    assert "golden row 0" in text
    assert "image" in text


async def test_a_model_that_does_not_exist_is_named_with_the_remedy(tmp_path: Path) -> None:
    text = await refusal(tmp_path, ModelNotFound)
    assert MODEL in text
    assert "train the model first" in text


async def test_a_stop_while_the_storage_fails_ends_at_once_and_tells_the_failure(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.symlink_to(root)  # reading it fails for ever
    settings = InferenceSettings(store=root, model=MODEL, version=1, host="127.0.0.1", port=0, metrics_port=0)
    stop = asyncio.Event()
    with capture_logs() as logs:
        running = asyncio.create_task(serve(settings, stop=stop, hasten=asyncio.Event()))
        await until(lambda: any("storage failed" in line["event"] for line in logs))
        assert any("ELOOP" in str(line.get("error")) for line in logs)
        stop.set()
        with pytest.raises(StorageUnavailable, match="ELOOP"):
            await asyncio.wait_for(running, 5)
