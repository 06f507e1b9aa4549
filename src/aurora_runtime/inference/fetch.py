"""Store → private local copy, verified on the way; a storage that fails is asked again until it answers."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal

import structlog

from aurora_runtime.inference.workers import Workers
from aurora_runtime.store.errors import ModelNotFound, StorageUnavailable
from aurora_runtime.store.model_store import LocalModel, ModelStore

log = structlog.get_logger(__name__)
FIRST_DELAY_SECONDS: Final = 1.0
LONGEST_DELAY_SECONDS: Final = 30.0

Version = int | Literal["latest"]


async def fetch(
    store: ModelStore,
    *,
    model: str,
    version: Version,
    digest: str | None,
    destination: Path,
    workers: Workers,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> LocalModel:
    """The verified copy in the folder ``destination``.

    Raises ArtifactRefused and ModelNotFound. Waits for the storage without end: whoever started the server knows how
    long to be patient, in a cluster by the startup probe.
    """
    delay = FIRST_DELAY_SECONDS
    while True:
        try:
            return await workers.run(_fetch_once, store, model, version, digest, destination)
        except StorageUnavailable as error:
            log.warning("storage failed, fetching again", error=str(error), delay_seconds=delay)
            await sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)


def newest(store: ModelStore, model: str) -> int:
    """Highest published version. Raises ModelNotFound."""
    versions = store.versions(model)
    if not versions:
        raise ModelNotFound(model=model)
    return max(versions)


def _fetch_once(store: ModelStore, model: str, version: Version, digest: str | None, destination: Path) -> LocalModel:
    number = newest(store, model) if version == "latest" else version
    log.info("fetching", model=model, version=number, store=str(store.root))
    local = store.fetch(
        model=model, version=number, destination=destination, expected_digest=digest, on_progress=Progress()
    )
    log.info("verified", model=model, version=number, digest=local.digest, size_bytes=local.descriptor.size_bytes)
    return local


class Progress:
    """Logs each further tenth of the bytes."""

    def __init__(self) -> None:
        self._tenths = 0

    def __call__(self, copied: int, total: int) -> None:
        tenths = 10 * copied // max(total, 1)
        if tenths > self._tenths:
            self._tenths = tenths
            log.info("fetched", percent=10 * tenths, copied_bytes=copied, total_bytes=total)
