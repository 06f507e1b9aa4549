"""A revision: one version of the model under one pod template, and its frozen manifest.

Its name is derived from the digest and from what the user set of the template, compared as values: a default that a
newer schema adds, or a newer controller, makes no new revision. The rendered template is kept in an annotation of the
Deployment and applied from there ever after, so that an upgraded controller restarts no pod.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment
from aurora_controller.kube.meta import Manifest, annotations_of, labels_of
from aurora_controller.rollout.target import ModelVersion
from aurora_runtime.contract import (
    API_KEYS_MOUNT_PATH,
    HTTP_PORT,
    HTTP_PORT_NAME,
    METRICS_PORT,
    METRICS_PORT_NAME,
    SCRATCH_MOUNT_PATH,
    SERVER_CONTAINER,
    STORE_MOUNT_PATH,
    Variable,
)

USER_ID: Final = 65532
DRAIN_SECONDS: Final = 10
TERMINATION_GRACE_SECONDS: Final = 60
_HASH_LENGTH: Final = 8


@dataclass(frozen=True, kw_only=True)
class Revision:
    """Identity of what a pod serves."""

    name: str
    """``<version>-<hash8>``."""
    version: int
    digest: str

    @classmethod
    def of(cls, deployment: MLDeployment, version: ModelVersion) -> "Revision":
        spec = deployment.spec
        given = {
            "digest": version.digest,
            "image": spec.image,
            "resources": spec.resources.to_json(),
            "placement": _set(spec.placement.to_json()),
            "secret": spec.auth.secret_name,
        }
        content = json.dumps(given, sort_keys=True, separators=(",", ":"))
        name = f"{version.number}-{sha256(content.encode()).hexdigest()[:_HASH_LENGTH]}"
        return cls(name=name, version=version.number, digest=version.digest)

    @classmethod
    def in_workload(cls, workload: Manifest) -> "Revision":
        """The revision of an existing Deployment."""
        marks = labels_of(workload)
        return cls(
            name=marks.get(labels.REVISION, ""),
            version=int(marks.get(labels.VERSION, "0")),
            digest=annotations_of(workload).get(labels.DIGEST, ""),
        )


def _set(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value}


def selector(deployment: str, revision: str) -> dict[str, str]:
    """Frozen selector of a revision's pods."""
    return {labels.DEPLOYMENT: deployment, labels.REVISION: revision}


def pod_template(
    deployment: MLDeployment, revision: Revision, *, claim: str, secret: str, image: str
) -> dict[str, Any]:
    """The template that is frozen when the revision is created."""
    metadata, spec = deployment.metadata, deployment.spec
    identity = {
        labels.MANAGED_BY: labels.MANAGED_BY_AURORA,
        labels.COMPONENT: labels.COMPONENT_SERVER,
        labels.MODEL: spec.model_name,
        labels.VERSION: str(revision.version),
        **selector(metadata.name, revision.name),
    }
    placement = _set(spec.placement.to_json())
    extra_labels, extra_annotations = placement.pop("labels", {}), placement.pop("annotations", {})
    pod = {
        **placement,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER_ID,
            "runAsGroup": USER_ID,
            "fsGroup": USER_ID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_server(deployment, revision, image=spec.image or image)],
        "volumes": [
            {"name": "store", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
            {"name": "api-keys", "secret": {"secretName": secret, "defaultMode": 0o440}},
            {"name": "scratch", "emptyDir": {}},
        ],
    }
    template_metadata: dict[str, Any] = {"labels": {**extra_labels, **identity}}
    if extra_annotations:
        template_metadata["annotations"] = extra_annotations
    return {"metadata": template_metadata, "spec": pod}


def _server(deployment: MLDeployment, revision: Revision, *, image: str) -> dict[str, Any]:
    model = deployment.spec.model_name
    variables = {
        Variable.STORE: STORE_MOUNT_PATH,
        Variable.MODEL: model,
        Variable.VERSION: str(revision.version),
        Variable.DIGEST: revision.digest,
        Variable.REVISION: revision.name,
        Variable.API_KEYS_DIR: API_KEYS_MOUNT_PATH,
        Variable.DRAIN_SECONDS: str(DRAIN_SECONDS),
    }
    return {
        "name": SERVER_CONTAINER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "aurora_runtime.inference"],
        "env": [{"name": name.value, "value": value} for name, value in variables.items()],
        "ports": [
            {"name": HTTP_PORT_NAME, "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": _set(deployment.spec.resources.to_json()),
        # A model may take minutes to copy: the startup probe bounds that, and the others begin after it.
        "startupProbe": _probe("/v2/health/ready", period=1, failures=600),
        "readinessProbe": _probe("/v2/health/ready", period=2, failures=2),
        "livenessProbe": _probe("/v2/health/live", period=10, failures=6),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {
                "name": "store",
                "mountPath": f"{STORE_MOUNT_PATH}/{model}",
                "subPath": f"{deployment.metadata.namespace}/{model}",
                "readOnly": True,
            },
            {"name": "api-keys", "mountPath": API_KEYS_MOUNT_PATH, "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH_MOUNT_PATH},
        ],
    }


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": HTTP_PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def frozen_template(workload: Manifest) -> dict[str, Any] | None:
    """The template that the revision was created with; None when the annotation is gone or broken."""
    try:
        template = json.loads(annotations_of(workload).get(labels.FROZEN_TEMPLATE, ""))
    except ValueError:
        return None
    return template if isinstance(template, dict) else None


def freeze(template: dict[str, Any]) -> str:
    return json.dumps(template, sort_keys=True, separators=(",", ":"))
