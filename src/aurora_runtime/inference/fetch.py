"""Store → private local copy, verified on the way; a storage that fails is asked again until it answers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Final, Literal

import structlog

from aurora_runtime.inference.workers import Workers
from aurora_runtime.store.descriptor import Descriptor
from aurora_runtime.store.errors import ModelNotFound, StorageUnavailable
from aurora_runtime.store.model_store import LocalModel, ModelStore

log = structlog.get_logger(__name__)
FIRST_DELAY_SECONDS: Final = 1.0
LONGEST_DELAY_SECONDS: Final = 30.0
PROGRESS_SECONDS: Final = 3.0

Version = int | Literal["latest"]


async def fetch(
    store: ModelStore,
    *,
    model: str,
    version: Version,
    digest: str | None,
    destination: Path,
    workers: Workers,
    before_copy: Callable[[Descriptor], None] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> LocalModel:
    """The verified copy in the folder ``destination``.

    Raises ArtifactRefused, ModelNotFound and what ``before_copy`` raises for the descriptor. Waits for the storage
    without end: whoever started the server knows how long to be patient, in a cluster by the startup probe. Cancelled
    after a failure it raises that StorageUnavailable: it is why the server never came up.
    """
    attempt = partial(
        _fetch_once,
        store,
        model=model,
        version=version,
        digest=digest,
        destination=destination,
        before_copy=before_copy,
    )
    delay = FIRST_DELAY_SECONDS
    failure: StorageUnavailable | None = None
    try:
        while True:
            try:
                return await workers.run(attempt)
            except StorageUnavailable as error:
                failure = error
            log.warning("storage failed, fetching again", error=str(failure), delay_seconds=delay)
            await sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)
    except asyncio.CancelledError:
        if failure is None:
            raise
        raise failure from None


def newest(store: ModelStore, model: str) -> int:
    """Highest published version. Raises ModelNotFound."""
    versions = store.versions(model)
    if not versions:
        raise ModelNotFound(model=model)
    return max(versions)


def _fetch_once(
    store: ModelStore,
    *,
    model: str,
    version: Version,
    digest: str | None,
    destination: Path,
    before_copy: Callable[[Descriptor], None] | None,
) -> LocalModel:
    number = newest(store, model) if version == "latest" else version
    log.info("fetching", model=model, version=number, store=str(store.root))
    local = store.fetch(
        model=model,
        version=number,
        destination=destination,
        expected_digest=digest,
        before_copy=before_copy,
        on_progress=Progress(),
    )
    log.info("verified", model=model, version=number, digest=local.digest, size_bytes=local.descriptor.size_bytes)
    return local


class Progress:
    """Logs how far the copy is, at most every PROGRESS_SECONDS. ``clock`` gives monotonic seconds."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logged_at = clock()

    def __call__(self, copied: int, total: int) -> None:
        now = self._clock()
        if now - self._logged_at >= PROGRESS_SECONDS:
            self._logged_at = now
            log.info("fetched so far", percent=100 * copied // max(total, 1), copied_bytes=copied, total_bytes=total)
