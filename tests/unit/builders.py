"""Objects as the API server would hand them out: a test names only what it is about.

Every builder returns a fresh manifest. Keywords after the name are fields of ``spec`` in snake_case, so that
``a_training_job(model_name="housing")`` has ``spec.modelName``. What a builder is not told it leaves to the defaults
of the API models; uids are derived from kind, namespace and name unless given, so that owner references meet.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

from aurora_controller.api import labels as names
from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
)
from aurora_runtime.contract import SERVER_CONTAINER, TRAINER_CONTAINER

NAMESPACE = "default"
CREATED_AT = "2026-11-23T10:00:00Z"
MODEL = "california-housing"


def uid(kind: Kind, name: str, namespace: str = NAMESPACE) -> str:
    """The uid that a builder gives an object unless told another."""
    return f"{kind.kind.lower()}-{namespace}-{name}"


def an_object(
    kind: Kind,
    name: str,
    *,
    namespace: str = NAMESPACE,
    uid: str | None = None,
    generation: int = 1,
    resource_version: str = "1",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    owner: Manifest | None = None,
    created_at: str = CREATED_AT,
    is_deleting: bool = False,
    **content: Any,
) -> Manifest:
    """An object of any kind; ``content`` is what stands beside ``metadata``. None and empty values are left out."""
    metadata: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"{kind.kind.lower()}-{namespace}-{name}",
        "generation": generation,
        "resourceVersion": resource_version,
        "creationTimestamp": created_at,
    }
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    if owner is not None:
        metadata["ownerReferences"] = [an_owner_reference(owner)]
    if is_deleting:
        metadata["deletionTimestamp"] = CREATED_AT
    manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
    return manifest | {key: copy.deepcopy(value) for key, value in content.items() if value not in (None, {}, [])}


def an_owner_reference(owner: Manifest) -> dict[str, Any]:
    """What a child of ``owner`` carries."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def a_condition(
    type_: str,
    status: bool | str = True,
    *,
    reason: str = "AsExpected",
    message: str = "",
    observed_generation: int = 1,
    since: str = CREATED_AT,
) -> dict[str, Any]:
    return {
        "type": type_,
        "status": str(status),
        "reason": reason,
        "message": message,
        "observedGeneration": observed_generation,
        "lastTransitionTime": since,
    }


# ---- Aurora's own kinds


def a_training_job(
    name: str = "housing-rf",
    *,
    status: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Manifest:
    """An MLTrainingJob. ``metadata`` holds keywords of ``an_object``, such as ``{"generation": 2}``."""
    fields = {"model_name": MODEL, "dataset": "synthetic", "algorithm": "random_forest"} | spec
    return an_object(ML_TRAINING_JOB, name, spec=_camel(fields), status=status, **metadata or {})


def a_model_version(
    version: int = 1,
    *,
    model: str = MODEL,
    job: str = "housing-rf",
    job_uid: str | None = None,
    run: str | None = None,
    digest: str | None = None,
    state: str | None = None,
    status: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Manifest:
    """An MLModelVersion: a mere reservation, or a published version when it has a digest."""
    job_uid = job_uid or uid(ML_TRAINING_JOB, job)
    facts = {"digest": digest, "state": state} | _facts(digest) | dict(status or {})
    given = dict(metadata or {})
    given["labels"] = {
        names.MODEL: model,
        names.VERSION: str(version),
        names.MANAGED_BY: names.MANAGED_BY_AURORA,
    } | dict(given.get("labels") or {})
    return an_object(
        ML_MODEL_VERSION,
        f"{model}-v{version}",
        spec={
            "modelName": model,
            "version": version,
            "run": run or f"{job_uid}-{version}-0a1b2c3d",
            "trainedBy": {"name": job, "uid": job_uid},
            "claimName": "aurora-models",
        },
        status={key: value for key, value in facts.items() if value is not None},
        **given,
    )


def a_digest(seed: int | str = 1) -> str:
    """A digest that looks like one; another seed gives another digest."""
    return "sha256:" + f"{seed!s:0>64}"[-64:]


def a_ready_version(version: int = 1, **given: Any) -> Manifest:
    """A published MLModelVersion that the registry has declared Ready."""
    conditions = [a_condition("Ready", reason="Published")]
    status = {"state": "Ready", "conditions": conditions} | dict(given.pop("status", {}))
    return a_model_version(version, digest=given.pop("digest", a_digest(version)), status=status, **given)


def a_model(
    name: str = MODEL,
    *,
    status: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Manifest:
    """An MLModel."""
    manifest = an_object(ML_MODEL, name, status=status, **metadata or {})
    return manifest | {"spec": _camel(spec)}


def a_deployment(
    name: str = MODEL,
    *,
    status: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    **spec: Any,
) -> Manifest:
    """An MLDeployment. Kubernetes' own Deployment is ``a_workload``."""
    return an_object(ML_DEPLOYMENT, name, spec=_camel({"model_name": MODEL} | spec), status=status, **metadata or {})


# ---- Kubernetes' kinds


def a_job(
    name: str,
    *,
    finished: str | None = None,
    reason: str = "",
    active: int | None = None,
    spec: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Manifest:
    """A Job; ``finished`` is the condition that ended it: Complete or Failed."""
    conditions = [{"type": finished, "status": "True", "reason": reason, "lastTransitionTime": CREATED_AT}]
    status = {"active": active, "conditions": conditions if finished else None}
    return an_object(
        JOB, name, spec=spec, status={key: value for key, value in status.items() if value is not None}, **metadata
    )


def a_pod(
    name: str,
    *,
    phase: str = "Running",
    containers: Sequence[Mapping[str, Any]] = (),
    conditions: Sequence[Mapping[str, Any]] = (),
    ip: str | None = "10.244.0.7",
    reason: str | None = None,
    spec: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Manifest:
    """A pod; ``containers`` are container statuses, see ``a_container_status``."""
    status = {
        "phase": phase,
        "podIP": ip,
        "reason": reason,
        "containerStatuses": list(containers) or None,
        "conditions": list(conditions) or None,
    }
    return an_object(
        POD, name, spec=spec, status={key: value for key, value in status.items() if value is not None}, **metadata
    )


def a_container_status(
    name: str,
    *,
    state: Mapping[str, Any] | None = None,
    last_state: Mapping[str, Any] | None = None,
    ready: bool = False,
    restarts: int = 0,
    container_id: str = "containerd://1",
) -> dict[str, Any]:
    """``state`` is one of ``running``, ``waiting`` and ``terminated``."""
    return {
        "name": name,
        "ready": ready,
        "restartCount": restarts,
        "containerID": container_id,
        "state": dict(state if state is not None else running()),
        "lastState": dict(last_state or {}),
    }


def running(since: str = CREATED_AT) -> dict[str, Any]:
    return {"running": {"startedAt": since}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def terminated(exit_code: int = 0, *, reason: str | None = None, message: str = "") -> dict[str, Any]:
    """``message`` is what the container wrote to its termination log."""
    reason = reason or ("Completed" if exit_code == 0 else "Error")
    end = {"exitCode": exit_code, "reason": reason, "startedAt": CREATED_AT, "finishedAt": CREATED_AT}
    return {"terminated": end | ({"message": message} if message else {})}


def a_trainer_pod(name: str, *, state: Mapping[str, Any] | None = None, **given: Any) -> Manifest:
    """A pod with one container named trainer in ``state``; running unless told otherwise."""
    state = running() if state is None else state
    ended = state.get("terminated")
    default_phase = "Running" if ended is None else ("Succeeded" if ended["exitCode"] == 0 else "Failed")
    return a_pod(
        name,
        phase=given.pop("phase", default_phase),
        containers=[a_container_status(TRAINER_CONTAINER, state=state)],
        **given,
    )


def a_server_pod(
    name: str,
    *,
    ready: bool = True,
    state: Mapping[str, Any] | None = None,
    last_state: Mapping[str, Any] | None = None,
    restarts: int = 0,
    container_id: str = "containerd://1",
    **given: Any,
) -> Manifest:
    """A pod with one container named server."""
    server = a_container_status(
        SERVER_CONTAINER,
        state=state,
        last_state=last_state,
        ready=ready,
        restarts=restarts,
        container_id=container_id,
    )
    return a_pod(
        name,
        containers=[server],
        conditions=given.pop("conditions", [{"type": "Ready", "status": str(ready)}]),
        **given,
    )


def a_workload(
    name: str,
    *,
    replicas: int = 1,
    ready: int | None = None,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **metadata: Any,
) -> Manifest:
    """A Deployment of ``apps/v1`` that its controller has seen; all replicas are ready unless told otherwise."""
    ready = replicas if ready is None else ready
    generation = metadata.get("generation", 1)
    counts = {
        "observedGeneration": generation,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": ready,
        "availableReplicas": ready,
    }
    return an_object(
        DEPLOYMENT,
        name,
        spec={"replicas": replicas} | dict(spec or {}),
        status=counts | dict(status or {}),
        **metadata,
    )


def a_service(name: str, *, selector: Mapping[str, str] | None = None, **metadata: Any) -> Manifest:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return an_object(SERVICE, name, spec={"selector": dict(selector or {}), "ports": ports}, **metadata)


def an_endpoint_slice(service: str, *, pods: Mapping[str, bool], name: str | None = None, **metadata: Any) -> Manifest:
    """Endpoints of ``service``: pod name → whether it is ready."""
    given = {"kubernetes.io/service-name": service} | dict(metadata.pop("labels", {}))
    endpoints = [
        {
            "addresses": [f"10.244.1.{number}"],
            "conditions": {"ready": ready, "serving": ready, "terminating": False},
            "targetRef": {"kind": "Pod", "name": pod, "namespace": metadata.get("namespace", NAMESPACE)},
        }
        for number, (pod, ready) in enumerate(pods.items(), start=1)
    ]
    content: dict[str, Any] = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": 8080}]}
    return an_object(ENDPOINT_SLICE, name or f"{service}-x7k2p", labels=given, **content, **metadata)


def an_ingress(name: str, *, spec: Mapping[str, Any] | None = None, **metadata: Any) -> Manifest:
    return an_object(INGRESS, name, spec=spec, **metadata)


def a_secret(name: str, *, data: Mapping[str, str] | None = None, **metadata: Any) -> Manifest:
    """``data`` in base64, as in the API."""
    return an_object(SECRET, name, data=dict(data or {}), **metadata)


def a_claim(name: str = "aurora-models", *, phase: str = "Bound", **metadata: Any) -> Manifest:
    """A PersistentVolumeClaim that many nodes may write."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "10Gi"}}}
    return an_object(PERSISTENT_VOLUME_CLAIM, name, spec=spec, status={"phase": phase}, **metadata)


def _camel(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {to_camel(name): copy.deepcopy(value) for name, value in fields.items()}


def _facts(digest: str | None) -> dict[str, Any]:
    """What the training reconciler writes once, together with the digest."""
    if digest is None:
        return {}
    return {
        "sizeBytes": 1_000_000,
        "format": "onnx",
        "algorithm": "random_forest",
        "task": "regression",
        "metrics": {"r2": 0.81},
        "primaryMetric": "r2=0.81",
        "createdAt": CREATED_AT,
    }
