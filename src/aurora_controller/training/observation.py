"""Reads what matters to one MLTrainingJob into one frozen value."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aurora_controller.api import labels
from aurora_controller.api.reading import Unreadable, parsed
from aurora_controller.api.v1alpha1.kinds import ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB, MODEL_NAME
from aurora_controller.api.v1alpha1.mlmodelversion import version_name
from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJob, Run, RunPhase
from aurora_controller.api.v1alpha1.readings import JobReading, ModelReading, Version, numbers_in, versions_of
from aurora_controller.kube.meta import (
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    Kind,
    Manifest,
    ObjectKey,
    annotations_of,
    is_deleting,
    labels_of,
    uid_of,
)
from aurora_controller.kube.ownership import controller_of, is_controlled_by
from aurora_controller.kube.reconcile import ObjectReader, Request
from aurora_controller.training.inputs import answers, inputs_of, job_uid_of
from aurora_controller.training.pods import is_finished, is_live, is_of_run, is_running
from aurora_controller.training.progress import ProgressReader
from aurora_runtime.contract import TrainingInputs, TrainingProgress


def fingerprint_in(version: Version) -> str:
    """Of the inputs of its run; empty when the object was not made by a reservation."""
    return annotations_of(version.manifest).get(labels.INPUTS, "")


@dataclass(frozen=True, kw_only=True)
class Observation:
    """An MLTrainingJob and all that its next step depends on."""

    manifest: Manifest
    job: MLTrainingJob
    inputs: TrainingInputs
    """The inputs its spec asks for now."""
    runtime_image: str
    jobs: Sequence[Manifest] = ()
    """Jobs that this very MLTrainingJob owns."""
    pods: Sequence[Manifest] = ()
    """Pods of its runs."""
    predecessors: Sequence[Manifest] = ()
    """Jobs and live pods of an earlier MLTrainingJob of the same name."""
    claim: Manifest | None = None
    """The claim that the spec names."""
    versions: Mapping[int, Version] = field(default_factory=dict)
    """Versions of the model by number; only while the run is not done."""
    unreadable: Mapping[str, Unreadable] = field(default_factory=dict)
    """Those that cannot be read, by name."""
    highest_number: int = 0
    """Highest version number that anybody is known to hold; only while the run may still take one."""
    progress: TrainingProgress | None = None
    """What the running trainer last told of itself."""

    def unreadable_version(self, number: int) -> Unreadable | None:
        return self.unreadable.get(version_name(self.job.spec.model_name, number))

    @property
    def run(self) -> Run | None:
        return self.job.status.run

    @property
    def image(self) -> str:
        return self.job.spec.image or self.runtime_image


async def observe(
    cache: ObjectReader, progress: ProgressReader, runtime_image: str, request: Request
) -> Observation | None:
    """None when the job is gone or going: its children go with it."""
    manifest = cache.get(ML_TRAINING_JOB, request)
    if manifest is None or is_deleting(manifest):
        return None
    job = parsed(MLTrainingJob, manifest)
    inputs = inputs_of(job.spec)
    jobs, foreign_jobs = _split(_labelled(cache, JOB, request), lambda item: is_controlled_by(item, manifest))
    pods, foreign_pods = _split(
        _labelled(cache, POD, request),
        lambda item: job_uid_of(labels_of(item).get(labels.RUN, "")) == job.metadata.uid,
    )
    is_settled, is_training = _is_settled(job, inputs), _is_training(job, inputs, pods)
    versions, unreadable = ([], []) if is_settled else _versions(cache, job)
    by_number = {version.number: version for version in versions}
    return Observation(
        manifest=manifest,
        job=job,
        inputs=inputs,
        runtime_image=runtime_image,
        jobs=jobs,
        pods=pods,
        # An orphan that is done harms nobody and would stay for ever; what an earlier job owned is being collected.
        predecessors=[
            *(item for item in foreign_jobs if _owner_uid(item) or not is_finished(item)),
            *(item for item in foreign_pods if is_live(item)),
        ],
        claim=cache.get(PERSISTENT_VOLUME_CLAIM, ObjectKey(request.namespace, job.spec.storage.claim_name)),
        versions=by_number,
        unreadable={one.name: one for one in unreadable},
        # Reads the whole namespace, so not whenever a running trainer is looked after.
        highest_number=0 if is_settled or is_training else _highest_number(cache, job, by_number),
        progress=await _progress(progress, job, pods),
    )


def _is_settled(job: MLTrainingJob, inputs: TrainingInputs) -> bool:
    """Whether nothing is to be done before the spec changes."""
    run = job.status.run
    if run is None or not answers(run, inputs):
        return False
    failed_for_good = run.phase is RunPhase.FAILED and run.generation == job.metadata.generation
    return run.phase is RunPhase.SUCCEEDED or failed_for_good


def _is_training(job: MLTrainingJob, inputs: TrainingInputs, pods: Sequence[Manifest]) -> bool:
    """Whether the trainer of the run that answers the inputs is at work."""
    run = job.status.run
    return (
        run is not None
        and answers(run, inputs)
        and not job.spec.suspend
        and any(is_running(pod) and is_of_run(pod, run.id) for pod in pods)
    )


def _labelled(cache: ObjectReader, kind: Kind, request: Request) -> Sequence[Manifest]:
    return cache.with_label(kind, labels.TRAINING_JOB, request.name, request.namespace)


def _split(items: Sequence[Manifest], is_ours: Callable[[Manifest], bool]) -> tuple[list[Manifest], list[Manifest]]:
    return [item for item in items if is_ours(item)], [item for item in items if not is_ours(item)]


def _owner_uid(manifest: Manifest) -> str:
    """Of what controls it; empty for an orphan."""
    reference = controller_of(manifest)
    return str(reference["uid"]) if reference is not None else ""


def _versions(cache: ObjectReader, job: MLTrainingJob) -> tuple[list[Version], list[Unreadable]]:
    namespace, model_name, run = job.metadata.namespace, job.spec.model_name, job.status.run
    found = list(cache.with_label(ML_MODEL_VERSION, labels.MODEL, model_name, namespace))
    if run is not None and run.version is not None:
        own = cache.get(ML_MODEL_VERSION, ObjectKey(namespace, version_name(model_name, run.version)))
        found += [own] if own is not None else []
    return versions_of(model_name, found)


def _highest_number(cache: ObjectReader, job: MLTrainingJob, versions: Mapping[int, Version]) -> int:
    namespace, model_name = job.metadata.namespace, job.spec.model_name
    known = {0, *versions}
    model = cache.get(ML_MODEL, ObjectKey(namespace, model_name))
    if model is not None:
        known |= numbers_in(ModelReading, model)
    for other in cache.with_field(ML_TRAINING_JOB, MODEL_NAME, model_name, namespace):
        known |= numbers_in(JobReading, other)
    highest = max(known)
    # A version whose label somebody removed is not among them, and its name is taken all the same.
    while cache.get(ML_MODEL_VERSION, ObjectKey(namespace, version_name(model_name, highest + 1))) is not None:
        highest += 1
    return highest


async def _progress(reader: ProgressReader, job: MLTrainingJob, pods: Sequence[Manifest]) -> TrainingProgress | None:
    run = job.status.run
    if run is None:
        return None
    for pod in pods:
        address = (pod.get("status") or {}).get("podIP")
        if address and is_running(pod) and is_of_run(pod, run.id):
            progress = await reader.read(pod_uid=uid_of(pod), pod_ip=address)
            return progress if progress is not None and progress.run_id == run.id else None
    return None
