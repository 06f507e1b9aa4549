"""A model comes from the store whole, whatever the storage does in between."""

import errno
import os
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from structlog.testing import capture_logs

from aurora_runtime.inference.fetch import Progress, Version, fetch
from aurora_runtime.inference.workers import Workers
from aurora_runtime.store import reading
from aurora_runtime.store.errors import DigestMismatch, ModelNotFound, StorageUnavailable
from aurora_runtime.store.model_store import LocalModel, ModelStore
from tests.unit.runtime.inference.models import MODEL, a_regressor, publish


class FailingStore(ModelStore):
    """Fails as often as told before it gives what is there."""

    failures: list[int]

    def fetch(self, **arguments: Any) -> LocalModel:
        if self.failures:
            self.failures.pop()
            raise StorageUnavailable(path=self.root, cause=OSError(errno.EIO, os.strerror(errno.EIO)))
        return super().fetch(**arguments)


def failing(store: ModelStore, times: int) -> ModelStore:
    failing_store = FailingStore(root=store.root)
    object.__setattr__(failing_store, "failures", [errno.EIO] * times)
    return failing_store


class Sleeps(list[float]):
    """Remembers how long it should have slept."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


async def fetched(
    store: ModelStore, destination: Path, *, version: Version = 1, digest: str | None = None, sleep: Any = None
) -> LocalModel:
    async with Workers(threads=1) as workers:
        return await fetch(
            store,
            model=MODEL,
            version=version,
            digest=digest,
            destination=destination,
            workers=workers,
            sleep=Sleeps() if sleep is None else sleep,
        )


async def test_latest_is_the_highest_published_version(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path / "store")
    for version in (1, 2, 10):
        publish(store, a_regressor(), version=version)
    local = await fetched(store, tmp_path / "local", version="latest")
    assert local.descriptor.version == 10


@pytest.mark.parametrize("version", ["latest", 7])
async def test_a_model_that_is_not_there_is_not_waited_for(tmp_path: Path, version: Version) -> None:
    with pytest.raises(ModelNotFound, match=MODEL):
        await fetched(ModelStore(root=tmp_path), tmp_path / "local", version=version)


async def test_a_failing_storage_is_asked_again_at_growing_distances(store: ModelStore, tmp_path: Path) -> None:
    sleeps = Sleeps()
    with capture_logs() as logs:
        local = await fetched(failing(store, 7), tmp_path / "local", sleep=sleeps)
    assert local.descriptor.model == MODEL
    assert sleeps == [1, 2, 4, 8, 16, 30, 30]
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert len(warnings) == 7
    assert "check the health of the storage" in warnings[0]["error"]


async def test_altered_bytes_are_refused_and_not_asked_for_again(store: ModelStore, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch, match=r"descriptor\.json"):
        await fetched(store, tmp_path / "local", digest="sha256:" + "1" * 64)


def test_progress_is_logged_every_few_seconds_in_bytes_and_percent() -> None:
    now = [0.0]
    with capture_logs() as logs:
        progress = Progress(clock=lambda: now[0])
        for second in range(8):
            now[0] = float(second)
            progress(100 * second, 1000)
    assert [(line["percent"], line["copied_bytes"], line["total_bytes"]) for line in logs] == [
        (30, 300, 1000),
        (60, 600, 1000),
    ]


def test_progress_within_one_large_file_is_told(store: ModelStore, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    local = store.fetch(
        model=MODEL, version=1, destination=tmp_path / "local", on_progress=lambda *step: told.append(step)
    )
    size = local.descriptor.size_bytes
    assert told[-1] == (size, size)
    assert told == sorted(told)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE])
async def test_a_storage_that_fails_within_a_file_gives_the_whole_file_at_the_next_attempt(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    read = reading._read_chunk
    reads = 0

    def fails_after_the_first_chunk(source: BinaryIO, path: Path) -> bytes:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise StorageUnavailable(path=path, cause=OSError(code, os.strerror(code)))
        return read(source, path)

    monkeypatch.setattr(reading, "_read_chunk", fails_after_the_first_chunk)
    sleeps = Sleeps()
    local = await fetched(store, tmp_path / "local", sleep=sleeps)
    assert sleeps == [1]
    published = store.root / MODEL / "1" / "model.joblib"
    assert (local.path / "model.joblib").read_bytes() == published.read_bytes()
