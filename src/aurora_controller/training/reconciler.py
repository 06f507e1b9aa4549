"""Brings an MLTrainingJob to one finished run and one version of its model, per change of its inputs."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from aurora_controller.api import labels
from aurora_controller.api.model import Storage
from aurora_controller.api.v1alpha1.kinds import ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.merge_patch import merge_patch
from aurora_controller.kube.meta import (
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    Manifest,
    ObjectKey,
    PolicyRule,
    is_deleting,
    key_of,
    labels_of,
)
from aurora_controller.kube.reconcile import Delete, ObjectReader, PatchStatus, Plan, Request, Watch, Write
from aurora_controller.kube.store import text_at
from aurora_controller.training.decision import DONE
from aurora_controller.training.desired import trainer_job_name
from aurora_controller.training.lifecycle import decide
from aurora_controller.training.observation import Observation, observe
from aurora_controller.training.pods import ended_at
from aurora_controller.training.progress import ProgressReader
from aurora_controller.training.status import SUCCEEDED_CONDITION, events_of, next_status

_MANAGED: Final = f"{labels.MANAGED_BY}={labels.MANAGED_BY_AURORA}"
_READ: Final = ("get", "list", "watch")


class TrainingReconciler:
    """Reads the cache, asks running trainers for their progress, and decides purely."""

    name = "training"
    kind = ML_TRAINING_JOB
    primary_condition = SUCCEEDED_CONDITION
    rules: Sequence[PolicyRule] = (
        PolicyRule(labels.GROUP, ("mltrainingjobs",), _READ),
        PolicyRule(labels.GROUP, ("mltrainingjobs/status",), ("patch",)),
        PolicyRule(labels.GROUP, ("mlmodelversions",), (*_READ, "create", "delete")),
        PolicyRule(labels.GROUP, ("mlmodelversions/status",), ("patch",)),
        PolicyRule(labels.GROUP, ("mlmodels",), _READ),
        PolicyRule("batch", ("jobs",), (*_READ, "create", "delete")),
        PolicyRule("", ("pods",), _READ),
        PolicyRule("", ("persistentvolumeclaims",), _READ),
    )

    def __init__(self, *, cache: ObjectReader, runtime_image: str, progress: ProgressReader) -> None:
        """``runtime_image`` is what trainers run when the user names none."""
        self._cache = cache
        self._runtime_image = runtime_image
        self._progress = progress
        self.watches: Sequence[Watch] = (
            Watch(kind=ML_MODEL_VERSION, requests=_training_job),
            # Read for its highest number when a run is reserved; no change of it asks for anything.
            Watch(kind=ML_MODEL, requests=lambda _: ()),
            Watch(kind=JOB, requests=_training_job, label_selector=_MANAGED),
            Watch(kind=POD, requests=_training_job, label_selector=_MANAGED),
            Watch(kind=PERSISTENT_VOLUME_CLAIM, requests=self._users_of_claim),
        )

    async def observe(self, request: Request) -> Observation | None:
        return await observe(self._cache, self._progress, self._runtime_image, request)

    def plan(self, observed: Observation, now: datetime) -> Plan:
        decision = decide(observed, now)
        expired, next_expiry = _expired(observed, now)
        writes: list[Write] = [*decision.writes, *expired]
        events = list(decision.events)
        if decision.standing is not None:
            status = next_status(observed, decision, decision.standing, now)
            events = events_of(observed, decision, decision.standing)
            if merge_patch(observed.manifest.get("status"), status, partial=True):
                writes.append(PatchStatus(existing=observed.manifest, kind=ML_TRAINING_JOB, status=status))
        delays = [seconds for seconds in (decision.requeue_after_seconds, next_expiry) if seconds is not None]
        return Plan(writes=tuple(writes), events=tuple(events), requeue_after_seconds=min(delays, default=None))

    def _users_of_claim(self, claim: Manifest) -> Iterable[Request]:
        key = key_of(claim)
        for job in self._cache.list(ML_TRAINING_JOB, key.namespace):
            name = text_at(job, "spec.storage.claimName") or Storage().claim_name
            if name == key.name and text_at(job, "status.phase") not in DONE:
                yield key_of(job)


def _training_job(obj: Manifest) -> Iterable[Request]:
    """The job that an object of one of its runs is labelled with."""
    name = labels_of(obj).get(labels.TRAINING_JOB)
    return (ObjectKey(key_of(obj).namespace, name),) if name else ()


def _expired(observed: Observation, now: datetime) -> tuple[list[Write], float | None]:
    """Jobs whose logs have been kept long enough, and the seconds until the next one has been."""
    ttl = observed.job.spec.ttl_seconds_after_finished
    if ttl is None:
        return [], None
    run = observed.run
    needed = trainer_job_name(observed.job, run) if run is not None and run.phase not in DONE else None
    expired: list[Write] = []
    waiting: list[float] = []
    for job in observed.jobs:
        end = ended_at(job, observed.pods)
        if end is None or is_deleting(job) or key_of(job).name == needed:
            continue
        left = (end + timedelta(seconds=ttl) - now).total_seconds()
        if left > 0:
            waiting.append(left)
        else:
            expired.append(Delete(existing=job, kind=JOB))
    return expired, min(waiting, default=None)
