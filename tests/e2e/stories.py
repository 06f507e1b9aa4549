"""The words of the stories that the tests tell: namespaces, a model that is trained, a deployment that serves it."""

import base64
from dataclasses import dataclass
from typing import Any

from tests.e2e.cluster import Cluster, Manifest
from tests.e2e.traffic import Endpoint

API_VERSION = "aurora.io/v1alpha1"
NAMESPACES = ("e2e-samples", "e2e-canary", "e2e-shared", "e2e-versions", "e2e-restore", "e2e-kills", "e2e-input")

TINY_ROW = [0.04, 0.05, 0.06, 0.02, -0.04, -0.03, -0.04, 0.0, 0.02, -0.02]
"""A row of the diabetes dataset's ten features."""
SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "1Gi"}}
"""So that the pods of all tests fit on one node of two cores."""
TRAINED_SECONDS = 180.0
READY_SECONDS = 120.0


def training_job(name: str, model: str, **spec: Any) -> Manifest:
    """Trains in a second or two, so that a test waits for Aurora and not for scikit-learn."""
    defaults = {"modelName": model, "dataset": "diabetes", "algorithm": "ridge", "resources": SMALL}
    return {"apiVersion": API_VERSION, "kind": "MLTrainingJob", "metadata": {"name": name}, "spec": defaults | spec}


def deployment(name: str, model: str, *, host: str | None = None, **spec: Any) -> Manifest:
    """Serves a model under a host of its own, so that deployments of one model do not meet."""
    routing = {"host": host or f"{name}.example"} | spec.pop("routing", {})
    return {
        "apiVersion": API_VERSION,
        "kind": "MLDeployment",
        "metadata": {"name": name},
        "spec": {"modelName": model, "routing": routing, "resources": SMALL} | spec,
    }


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model of one namespace, trained by the job ``train-<name>``."""

    cluster: Cluster
    namespace: str
    name: str

    @property
    def job(self) -> str:
        return f"train-{self.name}"

    def train(self, **spec: Any) -> int:
        """Applies the job with these fields, waits until it has succeeded; the version that came out."""
        self.cluster.apply(self.namespace, training_job(self.job, self.name, **spec))
        return self.trained()

    def trained(self) -> int:
        job = self.cluster.wait_condition(
            self.namespace, "mltrainingjob", self.job, "Succeeded", seconds=TRAINED_SECONDS
        )
        version: int = job["status"]["version"]
        return version

    def versions(self) -> dict[int, str]:
        """State by number of all versions of this model."""
        objects = self.cluster.objects(self.namespace, "mlmodelversions", f"aurora.io/model={self.name}")
        return {obj["spec"]["version"]: obj.get("status", {}).get("state", "") for obj in objects}


@dataclass(frozen=True, kw_only=True)
class Service:
    """An MLDeployment and how to speak with it."""

    cluster: Cluster
    namespace: str
    name: str
    model: str
    host: str | None

    @classmethod
    def serve(cls, model: Model, name: str, **spec: Any) -> "Service":
        """Applies an MLDeployment of this model and waits until it is ready."""
        service = cls.apply(model, name, **spec)
        service.ready()
        service.wait(lambda obj: obj["status"].get("phase") == "Idle", until="settled on its first revision")
        return service

    @classmethod
    def apply(cls, model: Model, name: str, **spec: Any) -> "Service":
        manifest = deployment(name, model.name, **spec)
        model.cluster.apply(model.namespace, manifest)
        return cls(
            cluster=model.cluster,
            namespace=model.namespace,
            name=name,
            model=model.name,
            host=manifest["spec"]["routing"]["host"],
        )

    def ready(self, seconds: float = READY_SECONDS) -> Manifest:
        return self.cluster.wait_condition(self.namespace, "mldeployment", self.name, "Ready", seconds=seconds)

    def wait(self, predicate: Any, *, until: str, seconds: float = READY_SECONDS) -> Manifest:
        return self.cluster.wait_for(self.namespace, "mldeployment", self.name, predicate, seconds=seconds, until=until)

    def wait_canary(self, version: int, weight: int, seconds: float = READY_SECONDS) -> Manifest:
        """The object, as soon as this version is a canary with this weight."""

        def holds(obj: Manifest) -> bool:
            canary = obj.get("status", {}).get("canary") or {}
            return bool(
                canary.get("version") == version
                and canary.get("weight") == weight
                and canary.get("readyReplicas", 0) > 0
            )

        return self.wait(holds, until=f"canary {version} at {weight} %", seconds=seconds)

    def wait_stable(self, version: int, seconds: float = READY_SECONDS) -> Manifest:
        """The object, as soon as this version is stable and no rollout is under way."""

        def holds(obj: Manifest) -> bool:
            status = obj.get("status", {})
            return (
                (status.get("stable") or {}).get("version") == version
                and status.get("canary") is None
                and status.get("phase") == "Idle"
            )

        return self.wait(holds, until=f"stable on {version}", seconds=seconds)

    def request(self, action: str) -> None:
        """Promotes or aborts the present canary by annotation, with the words that status prints."""
        status = (self.cluster.get(self.namespace, "mldeployment", self.name) or {})["status"]
        self.cluster.annotate(
            self.namespace, "mldeployment", self.name, **{action: f"{status['canary']['revision']}@{status['rollout']}"}
        )

    def api_key(self) -> str:
        secret = self.cluster.get(self.namespace, "secret", f"{self.name}-api-keys")
        assert secret is not None
        return base64.b64decode(secret["data"]["default"]).decode()

    def endpoint(self, api_key: str | None = None) -> Endpoint:
        return Endpoint(
            base_url=self.cluster.ingress_url, model=self.model, api_key=api_key or self.api_key(), host=self.host
        )

    def children(self, kind: str) -> list[Manifest]:
        return self.cluster.objects(self.namespace, kind, f"aurora.io/deployment={self.name}")
