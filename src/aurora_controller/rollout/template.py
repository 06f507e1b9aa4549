"""The pod template of a revision, and how it is frozen.

The rendered template is kept in an annotation of the revision's Deployment and applied from there ever after: an
upgraded controller restarts no pod, and foreign edits are put back. The one part that is filled in anew is the name of
the Secret with the API keys, which belongs to the MLDeployment and not to a revision of it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from aurora_controller.api import labels
from aurora_controller.api.v1alpha1.mldeployment import MLDeployment
from aurora_controller.api.v1alpha1.server import Server
from aurora_controller.kube.meta import Manifest, annotations_of, labels_of
from aurora_controller.kube.pod_security import restricted_container, restricted_pod
from aurora_controller.rollout.revision import Revision
from aurora_runtime.contract import (
    API_KEYS_MOUNT_PATH,
    HTTP_PORT,
    HTTP_PORT_NAME,
    METRICS_PORT,
    METRICS_PORT_NAME,
    SCRATCH_MOUNT_PATH,
    SERVER_CONTAINER,
    STORE_MOUNT_PATH,
    TERMINATION_MESSAGE_PATH,
    PayloadLogging,
    Variable,
)

DRAIN_SECONDS: Final = 10
"""How long a server goes on after SIGTERM, so that routers notice that its endpoint is gone."""
TERMINATION_GRACE_SECONDS: Final = 60
"""The drain, and then requests in flight."""
_KEYS_VOLUME: Final = "api-keys"
_MEBIBYTE: Final = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A revision and the template that it was made with."""

    revision: Revision
    template: Mapping[str, Any]

    def to_annotation(self) -> str:
        return json.dumps(
            {"revision": asdict(self.revision), "template": self.template}, sort_keys=True, separators=(",", ":")
        )


def frozen_in(workload: Manifest) -> Frozen | None:
    """None when the annotation is gone or broken, or belongs to another revision."""
    try:
        content = json.loads(annotations_of(workload).get(labels.FROZEN_TEMPLATE, ""))
        frozen = Frozen(revision=Revision(**content["revision"]), template=dict(content["template"]))
    except (ValueError, TypeError, KeyError):
        return None
    return frozen if frozen.revision.name == labels_of(workload).get(labels.REVISION) else None


def selector(deployment: str, revision: str) -> dict[str, str]:
    """Selects the pods of one revision; part of Deployments and therefore immutable."""
    return {labels.DEPLOYMENT: deployment, labels.REVISION: revision}


def with_keys(template: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """The template with the Secret that holds the API keys today."""
    pod = template["spec"]
    volumes = [
        {**volume, "secret": {**volume["secret"], "secretName": secret}} if volume["name"] == _KEYS_VOLUME else volume
        for volume in pod["volumes"]
    ]
    return {**template, "spec": {**pod, "volumes": volumes}}


def keys_secret_in(template: Mapping[str, Any]) -> str | None:
    """Name of the Secret that a template mounts for the API keys."""
    volumes = (template.get("spec") or {}).get("volumes") or ()
    return next((volume["secret"]["secretName"] for volume in volumes if volume["name"] == _KEYS_VOLUME), None)


def render(deployment: MLDeployment, revision: Revision) -> dict[str, Any]:
    """The template as this controller makes it; the Secret of the API keys is still to be filled in."""
    metadata, model = deployment.metadata, deployment.spec.model_name
    identity = {
        labels.MANAGED_BY: labels.MANAGED_BY_AURORA,
        labels.COMPONENT: labels.COMPONENT_SERVER,
        labels.MODEL: model,
        labels.VERSION: str(revision.version),
        **selector(metadata.name, revision.name),
    }
    placement = _set(revision.placement.to_json())
    extra_labels, annotations = placement.pop("labels", {}), placement.pop("annotations", None)
    template_metadata: dict[str, Any] = {"labels": {**extra_labels, **identity}}
    if annotations:
        template_metadata["annotations"] = annotations
    pod = {
        **placement,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": restricted_pod(),
        "containers": [_server(metadata.namespace, model, revision)],
        "volumes": [
            {"name": "store", "persistentVolumeClaim": {"claimName": revision.claim_name}},
            {"name": _KEYS_VOLUME, "secret": {"secretName": "", "defaultMode": 0o440}},
            {"name": "scratch", "emptyDir": {"sizeLimit": _scratch_size(revision.size_bytes)}},
        ],
    }
    return {"metadata": template_metadata, "spec": pod}


def _server(namespace: str, model: str, revision: Revision) -> dict[str, Any]:
    variables = {
        Variable.STORE: STORE_MOUNT_PATH,
        Variable.MODEL: model,
        Variable.VERSION: str(revision.version),
        Variable.DIGEST: revision.digest,
        Variable.REVISION: revision.name,
        Variable.API_KEYS_DIR: API_KEYS_MOUNT_PATH,
        Variable.DRAIN_SECONDS: str(DRAIN_SECONDS),
        **_server_settings(revision.server),
    }
    return {
        "name": SERVER_CONTAINER,
        "image": revision.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-m", "aurora_runtime.inference"],
        "env": [{"name": name.value, "value": value} for name, value in variables.items()],
        "ports": [
            {"name": HTTP_PORT_NAME, "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "resources": _set(revision.resources.to_json()),
        # A big model takes minutes to copy and load: the startup probe bounds that, the others begin after it.
        "startupProbe": _probe("/v2/health/ready", period=1, failures=600),
        "readinessProbe": _probe("/v2/health/ready", period=2, failures=3),
        "livenessProbe": _probe("/v2/health/live", period=10, failures=6),
        "securityContext": restricted_container(),
        "terminationMessagePath": TERMINATION_MESSAGE_PATH,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {
                "name": "store",
                "mountPath": f"{STORE_MOUNT_PATH}/{model}",
                "subPath": f"{namespace}/{model}",
                "readOnly": True,
            },
            {"name": _KEYS_VOLUME, "mountPath": API_KEYS_MOUNT_PATH, "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH_MOUNT_PATH},
        ],
    }


def _server_settings(server: Server) -> dict[Variable, str]:
    """Only what the user set: whatever else there is belongs to the runtime image, and keeps templates as they were."""
    share, payloads = server.logging.access_log_percent, server.logging.payloads
    given = {
        Variable.THREADS: server.limits.threads,
        Variable.QUEUE_LIMIT: server.limits.queue_limit,
        Variable.MAX_BODY_BYTES: server.limits.max_body_bytes,
        Variable.REQUEST_TIMEOUT_SECONDS: server.limits.request_timeout_seconds,
        Variable.BATCH_ROWS: server.batching.max_rows,
        Variable.LOG_LEVEL: server.logging.level and server.logging.level.lower(),
        Variable.ACCESS_LOG_SHARE: None if share is None else share / 100,
        Variable.PAYLOAD_LOG: payloads and PayloadLogging(percent=payloads.percent, redact=payloads.redact).to_json(),
        Variable.LIBRARY_VERSIONS: server.library_versions and server.library_versions.lower(),
    }
    return {variable: str(value) for variable, value in given.items() if value is not None}


def _scratch_size(model_bytes: int) -> str:
    """The server copies the model there before it loads it, and has room left for what libraries write."""
    return f"{256 + 2 * -(-model_bytes // _MEBIBYTE)}Mi"


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": HTTP_PORT_NAME},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _set(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if value}
