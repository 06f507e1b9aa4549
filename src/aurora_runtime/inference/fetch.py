"""Store → private local copy, verified on the way; a store that does not answer is asked again."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from aurora_runtime.store.errors import StorageUnavailable
from aurora_runtime.store.model_store import LocalModel, ModelStore

log = structlog.get_logger(__name__)
FIRST_DELAY_SECONDS: Final = 1.0
LONGEST_DELAY_SECONDS: Final = 30.0


async def fetch(
    store: ModelStore,
    *,
    model: str,
    version: int,
    digest: str | None,
    destination: Path,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> LocalModel:
    """The verified copy in ``destination``. Raises ArtifactRefused and ModelNotFound; waits out StorageUnavailable."""
    delay = FIRST_DELAY_SECONDS
    while True:
        try:
            return await asyncio.to_thread(
                store.fetch,
                model=model,
                version=version,
                destination=destination,
                expected_digest=digest,
                on_progress=Progress(model, version),
            )
        except StorageUnavailable as error:
            log.warning("the store does not answer, trying again", error=str(error), delay_seconds=delay)
            await sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY_SECONDS)


class Progress:
    """Logs every tenth of the bytes."""

    def __init__(self, model: str, version: int) -> None:
        self._model, self._version, self._tenths = model, version, 0

    def __call__(self, copied: int, total: int) -> None:
        tenths = 10 if total == 0 else 10 * copied // total
        if tenths > self._tenths:
            self._tenths = tenths
            log.info("fetching", model=self._model, version=self._version, percent=10 * tenths, total_bytes=total)
