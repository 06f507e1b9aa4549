"""A version that is there already and answers the task, so that nothing needs to be trained."""

import structlog

from aurora_runtime.contract import TrainingTask
from aurora_runtime.store.errors import ArtifactRefused, ModelNotFound
from aurora_runtime.store.model_store import ModelStore, PublishedVersion

log = structlog.get_logger(__name__)


def find_reusable(store: ModelStore, task: TrainingTask) -> PublishedVersion | None:
    """The newest version of the same job and inputs, every byte of it verified.

    Its digest comes from the volume alone, so nobody vouches for it: a format that can run code when it is loaded
    is passed over. Raises StorageUnavailable.
    """
    for version in reversed(store.versions(task.model)):
        try:
            published = store.open(task.model, version)
            if not _answers(published, task):
                continue
            store.verify(published)
        except (ArtifactRefused, ModelNotFound) as error:
            log.warning("stored version passed over", model=task.model, version=version, reason=str(error))
            continue
        return published
    return None


def _answers(published: PublishedVersion, task: TrainingTask) -> bool:
    descriptor = published.descriptor
    by = descriptor.trained_by
    if (by.namespace, by.name) != (task.trained_by.namespace, task.trained_by.name) or descriptor.inputs != task.inputs:
        return False
    if descriptor.format == "joblib":
        log.warning(
            "stored version passed over",
            model=descriptor.model,
            version=descriptor.version,
            reason=f"its format {descriptor.format} runs code when loaded and nobody vouches for it; training anew",
        )
        return False
    return True
