"""The objects of a run: the reservation of its version, and the Job of an attempt."""

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, Final

from aurora_controller.api import labels
from aurora_controller.api.model import Placement
from aurora_controller.api.v1alpha1.kinds import ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.api.v1alpha1.mlmodelversion import version_name
from aurora_controller.api.v1alpha1.mltrainingjob import MLTrainingJob, Run
from aurora_controller.kube.meta import JOB, Manifest, annotations_of
from aurora_controller.kube.ownership import child_name, owner_reference
from aurora_controller.kube.pod_security import restricted_container, restricted_pod
from aurora_controller.kube.quantity import parse_quantity
from aurora_controller.training.inputs import fingerprint, job_uid_of, run_id
from aurora_controller.training.observation import Observation
from aurora_runtime.contract import (
    METRICS_PORT,
    METRICS_PORT_NAME,
    SCRATCH_MOUNT_PATH,
    STORE_MOUNT_PATH,
    TERMINATION_MESSAGE_PATH,
    TRAINER_CONTAINER,
    TRAINING_TASK_VARIABLE,
    TrainedBy,
    TrainingInputs,
    TrainingTask,
    VersionFacts,
)

_STORE_VOLUME: Final = "store"
_SCRATCH_VOLUME: Final = "scratch"
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def next_run_id(observed: Observation) -> str:
    """Id of the run that answers the spec's inputs when ``status.run`` does not."""
    return run_id(observed.job.metadata.uid, next_run_number(observed.run), observed.inputs)


def next_run_number(run: Run | None) -> int:
    return run.number + 1 if run is not None else 1


def reservation(job: MLTrainingJob, *, number: int, run: str, inputs: TrainingInputs, claim_name: str) -> Manifest:
    """The MLModelVersion that takes a number for a run. It has no owner: a version survives its job."""
    model = job.spec.model_name
    return {
        "apiVersion": ML_MODEL_VERSION.api_version,
        "kind": ML_MODEL_VERSION.kind,
        "metadata": {
            "name": version_name(model, number),
            "namespace": job.metadata.namespace,
            "labels": {
                labels.MANAGED_BY: labels.MANAGED_BY_AURORA,
                labels.MODEL: model,
                labels.VERSION: str(number),
                labels.TRAINING_JOB: job.metadata.name,
            },
            "annotations": {labels.INPUTS: fingerprint(inputs)},
        },
        "spec": {
            "modelName": model,
            "version": number,
            "run": run,
            "trainedBy": {"name": job.metadata.name, "uid": job_uid_of(run)},
            "claimName": claim_name,
        },
    }


def recorded_facts(facts: VersionFacts) -> dict[str, Any]:
    """The part of an MLModelVersion's status that is written once."""
    return {
        "digest": facts.digest,
        "sizeBytes": facts.size_bytes,
        "format": facts.format,
        "algorithm": facts.algorithm,
        "task": facts.task,
        "metrics": facts.metrics,
        "primaryMetric": primary_metric_text(facts.primary_metric, facts.metrics),
        "signature": {
            "featureCount": facts.feature_count,
            "inputs": [tensor.model_dump(by_alias=True) for tensor in facts.inputs],
            "outputs": [tensor.model_dump(by_alias=True) for tensor in facts.outputs],
        },
        "createdAt": facts.created_at,
    }


def primary_metric_text(name: str, metrics: Mapping[str, float]) -> str:
    """Such as ``r2=0.812``."""
    value = metrics.get(name)
    if value is None:
        return name
    return f"{name}={value:.3f}" if value == 0 or 1e-3 <= abs(value) < 1e6 else f"{name}={value:.3g}"


def trainer_job_name(job: MLTrainingJob, run: Run) -> str:
    return child_name(job.metadata.name, f"v{run.version}", str(run.attempt))


def trainer_job(observed: Observation, run: Run) -> Manifest:
    """The Job of the run's current attempt. Retries are ours to count, hence ``backoffLimit`` 0."""
    job = observed.job
    identity = {
        labels.MANAGED_BY: labels.MANAGED_BY_AURORA,
        labels.COMPONENT: labels.COMPONENT_TRAINER,
        labels.MODEL: job.spec.model_name,
        labels.VERSION: str(run.version),
        labels.TRAINING_JOB: job.metadata.name,
        labels.RUN: run.id,
        labels.ATTEMPT: str(run.attempt),
    }
    return {
        "apiVersion": JOB.api_version,
        "kind": JOB.kind,
        "metadata": {
            "name": trainer_job_name(job, run),
            "namespace": job.metadata.namespace,
            "labels": identity,
            "annotations": {
                labels.GENERATION: str(job.metadata.generation),
                labels.FROZEN_TEMPLATE: template_fingerprint(observed),
            },
            "ownerReferences": [owner_reference(observed.manifest, ML_TRAINING_JOB)],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": job.spec.timeout_seconds,
            # A pod that is drained or preempted is replaced by the Job itself and costs nobody an attempt.
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {
                "metadata": {
                    "labels": {**job.spec.placement.labels, **identity},
                    "annotations": dict(job.spec.placement.annotations),
                },
                "spec": _pod_spec(observed, run),
            },
        },
    }


def template_fingerprint(observed: Observation) -> str:
    """Over what an attempt takes from outside its run: a Job that has not started yet is replaced when it changes."""
    spec = observed.job.spec
    content = {
        "image": observed.image,
        "resources": spec.resources.to_json(),
        "placement": spec.placement.to_json(),
        "claim": spec.storage.claim_name,
        "timeout": spec.timeout_seconds,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def is_outdated(job: Manifest, observed: Observation) -> bool:
    return annotations_of(job).get(labels.FROZEN_TEMPLATE) != template_fingerprint(observed)


def generation_of(job: Manifest) -> int | None:
    """Generation of the spec that a Job was made from."""
    text = annotations_of(job).get(labels.GENERATION, "")
    return int(text) if text.isdecimal() else None


def claim_of(job: Manifest) -> str:
    """Name of the claim that a Job publishes to."""
    for volume in job["spec"]["template"]["spec"].get("volumes") or ():
        if volume.get("name") == _STORE_VOLUME:
            name: str = volume["persistentVolumeClaim"]["claimName"]
            return name
    return ""


def _pod_spec(observed: Observation, run: Run) -> dict[str, Any]:
    job = observed.job
    return {
        **_placement(job.spec.placement),
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": restricted_pod(),
        "containers": [_trainer_container(observed, run)],
        "volumes": [
            {"name": _STORE_VOLUME, "persistentVolumeClaim": {"claimName": job.spec.storage.claim_name}},
            {"name": _SCRATCH_VOLUME, "emptyDir": {}},
        ],
    }


def _trainer_container(observed: Observation, run: Run) -> dict[str, Any]:
    job = observed.job
    model = job.spec.model_name
    return {
        "name": TRAINER_CONTAINER,
        "image": observed.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "aurora_runtime.trainer"],
        "env": [
            {"name": TRAINING_TASK_VARIABLE, "value": _task(job, run, observed.inputs).to_json()},
            *_thread_limits(job.spec.resources.limits),
        ],
        "ports": [{"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"}],
        "resources": job.spec.resources.to_json(),
        "securityContext": restricted_container(),
        "terminationMessagePath": TERMINATION_MESSAGE_PATH,
        "terminationMessagePolicy": "File",
        "volumeMounts": [
            {
                "name": _STORE_VOLUME,
                "mountPath": f"{STORE_MOUNT_PATH}/{model}",
                "subPath": f"{job.metadata.namespace}/{model}",
            },
            {"name": _SCRATCH_VOLUME, "mountPath": SCRATCH_MOUNT_PATH},
        ],
    }


def _task(job: MLTrainingJob, run: Run, inputs: TrainingInputs) -> TrainingTask:
    metadata = job.metadata
    return TrainingTask(
        model=job.spec.model_name,
        version=run.version or 1,
        run_id=run.id,
        inputs=inputs,
        trained_by=TrainedBy(namespace=metadata.namespace, name=metadata.name, uid=metadata.uid),
        # Only a job without history may find what an earlier object of its name has trained.
        may_reuse=run.number == 1,
    )


def _thread_limits(limits: Mapping[str, int | str]) -> list[dict[str, str]]:
    """Numeric libraries count the node's cores and would be throttled by the container's CPU limit."""
    cores = _whole_cores(limits.get("cpu"))
    return [{"name": name, "value": str(cores)} for name in _THREAD_VARIABLES] if cores else []


def _whole_cores(quantity: int | str | None) -> int | None:
    """A CPU quantity rounded up to whole cores; None when there is none, or none that can be read."""
    try:
        return max(1, math.ceil(parse_quantity(quantity))) if quantity is not None else None
    except ValueError:
        return None


def _placement(placement: Placement) -> dict[str, Any]:
    """The fields of a pod's spec; what the user left unset is left out."""
    content = placement.to_json()
    return {key: value for key, value in content.items() if key not in {"labels", "annotations"} and value}
