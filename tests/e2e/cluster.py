"""The cluster as the tests meet it: kubectl, watches instead of polling, the ingress, the audit log."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread, Timer
from time import monotonic
from typing import Any

Manifest = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
CONTROLLER_NAMESPACE = "aurora-system"
CONTROLLER_PODS = "app.kubernetes.io/name=aurora-controller"
CONTROLLER_USER = f"system:serviceaccount:{CONTROLLER_NAMESPACE}:aurora-controller"


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """One kind cluster with an ingress controller; every call goes through kubectl, as a user's would."""

    kubectl_path: str
    kubeconfig: str
    ingress_url: str
    audit_log: Path
    models_dir: Path
    node: str

    @classmethod
    def from_environment(cls) -> "Cluster":
        """The cluster that ``hack/cluster/up.sh`` made; AURORA_CLUSTER and AURORA_HTTP_PORT name another."""
        cache = Path(os.environ.get("AURORA_CACHE") or Path.home() / ".cache" / "aurora")
        name = os.environ.get("AURORA_CLUSTER", "aurora-test")
        state = cache / "clusters" / name
        return cls(
            kubectl_path=str(cache / "tools" / "bin" / "kubectl"),
            kubeconfig=str(state / "kubeconfig"),
            ingress_url=f"http://127.0.0.1:{os.environ.get('AURORA_HTTP_PORT', '8081')}",
            audit_log=state / "audit" / "audit.log",
            models_dir=state / "models",
            node=f"{name}-control-plane",
        )

    def run(self, *args: str, stdin: str | None = None, check: bool = True) -> "subprocess.CompletedProcess[str]":
        result = subprocess.run(
            [self.kubectl_path, "--kubeconfig", self.kubeconfig, *args],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and result.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(args)}: {result.stderr.strip()}")
        return result

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """What kubectl prints; an error fails the test with kubectl's own words."""
        return self.run(*args, stdin=stdin).stdout

    def refused(self, namespace: str, manifest: Manifest) -> str:
        """The message with which the API server refuses this manifest."""
        result = self.run("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest), check=False)
        assert result.returncode != 0, f"accepted: {result.stdout}"
        return result.stderr

    def apply(self, namespace: str, *manifests: Manifest | Path) -> None:
        for manifest in manifests:
            if isinstance(manifest, Path):
                self.kubectl("apply", "-n", namespace, "-f", str(manifest))
            else:
                self.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(manifest))

    def patch(self, namespace: str, kind: str, name: str, patch: Mapping[str, Any]) -> None:
        self.kubectl("patch", "-n", namespace, kind, name, "--type=merge", "-p", json.dumps(patch))

    def annotate(self, namespace: str, kind: str, name: str, **annotations: str) -> None:
        pairs = [f"aurora.io/{key}={value}" for key, value in annotations.items()]
        self.kubectl("annotate", "-n", namespace, kind, name, "--overwrite", *pairs)

    def delete(self, namespace: str, kind: str, *names: str, wait: bool = True) -> None:
        self.kubectl("delete", "-n", namespace, kind, *names, "--ignore-not-found", f"--wait={str(wait).lower()}")

    def get(self, namespace: str, kind: str, name: str) -> Manifest | None:
        output = self.kubectl("get", "-n", namespace, kind, name, "-o", "json", "--ignore-not-found")
        return json.loads(output) if output else None

    def objects(self, namespace: str, kind: str, selector: str = "") -> list[Manifest]:
        items: list[Manifest] = json.loads(self.kubectl("get", "-n", namespace, kind, "-o", "json", "-l", selector))[
            "items"
        ]
        return items

    def wait_for(
        self, namespace: str, kind: str, name: str, predicate: Callable[[Manifest], bool], *, seconds: float, until: str
    ) -> Manifest:
        """The object, as soon as the predicate holds, by a watch. ``until`` says in words what was awaited."""
        last: Manifest | None = None
        deadline = monotonic() + seconds
        with self._watch(namespace, kind, f"metadata.name={name}") as events:
            while (left := deadline - monotonic()) > 0:
                try:
                    event = events.get(timeout=left)
                except Empty:
                    break
                seen: Manifest = event["object"]
                last = None if event["type"] == "DELETED" else seen
                if last is not None and predicate(seen):
                    return seen
        state = json.dumps((last or {}).get("status"), indent=1)
        raise AssertionError(f"{kind} {namespace}/{name}: not {until} within {seconds:.0f} s; status: {state}")

    @contextmanager
    def _watch(self, namespace: str, kind: str, field_selector: str) -> Iterator["Queue[Manifest]"]:
        """Events of the matching objects, beginning with those that exist."""
        command = [self.kubectl_path, "--kubeconfig", self.kubeconfig, "get", "-n", namespace, kind]
        command += ["--field-selector", field_selector, "-o", "json", "--watch", "--output-watch-events"]
        events: Queue[Manifest] = Queue()
        stopped = Event()

        def read() -> None:
            # The server ends a watch after some minutes: begin again, the first events repeat the state.
            while not stopped.is_set():
                with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
                    processes.append(process)
                    assert process.stdout is not None
                    for line in process.stdout:
                        events.put(json.loads(line))

        processes: list[subprocess.Popen[str]] = []
        reader = Thread(target=read, daemon=True)
        reader.start()
        try:
            yield events
        finally:
            stopped.set()
            for process in processes:
                process.kill()
            reader.join()

    def wait_condition(
        self,
        namespace: str,
        kind: str,
        name: str,
        condition: str,
        *,
        status: str = "True",
        reason: str | None = None,
        seconds: float,
    ) -> Manifest:
        """The object, as soon as its condition has this status (and reason) for its current generation."""

        def holds(obj: Manifest) -> bool:
            found = condition_of(obj, condition)
            return (
                found is not None
                and found["status"] == status
                and (reason is None or found["reason"] == reason)
                and obj["status"].get("observedGeneration") == obj["metadata"]["generation"]
            )

        return self.wait_for(
            namespace, kind, name, holds, seconds=seconds, until=f"{condition}={status} {reason or ''}".strip()
        )

    def wait_logged(self, namespace: str, pod: str, holds: Callable[[Manifest], bool], *, seconds: float) -> None:
        """Returns when a line of the pod's log, from its start on, is such a one."""
        command = [self.kubectl_path, "--kubeconfig", self.kubeconfig, "logs", "-n", namespace, pod, "--follow"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            overdue = Timer(seconds, process.kill)
            overdue.start()
            assert process.stdout is not None
            try:
                # What is no JSON comes from native libraries.
                found = any(line.startswith("{") and holds(json.loads(line)) for line in process.stdout)
            finally:
                overdue.cancel()
                process.kill()
        assert found, f"pod {namespace}/{pod}: not logged within {seconds:.0f} s"

    def wait_gone(self, namespace: str, kind: str, name: str, *, seconds: float) -> None:
        self.kubectl("wait", "-n", namespace, f"{kind}/{name}", "--for=delete", f"--timeout={seconds:.0f}s")

    def create_namespace(self, name: str) -> None:
        """A namespace under the restricted Pod Security Standard, with an empty store."""
        shutil.rmtree(self.models_dir / name, ignore_errors=True)
        labels = {"pod-security.kubernetes.io/enforce": "restricted", "aurora.io/e2e": "true"}
        self.kubectl(
            "apply",
            "-f",
            "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}),
        )
        self.create_volume(name)

    def store_of(self, namespace: str, model: str) -> Path:
        """Folder of a model on this host: the volume of the namespace, and in it the subPath that pods mount."""
        return self.models_dir / namespace / namespace / model

    def create_volume(self, namespace: str) -> None:
        """The claim aurora-models on a folder of its own."""
        script = ROOT / "hack" / "cluster" / "volume.sh"
        env = {**os.environ, "AURORA_CLUSTER": self.node.removesuffix("-control-plane")}
        subprocess.run([str(script), namespace], check=True, capture_output=True, env=env, timeout=60)

    def configure_controller(self, **variables: str) -> None:
        """Sets variables of the controller and waits until it runs, newly started, with them, and alone."""
        target = ("-n", CONTROLLER_NAMESPACE, "deployment/aurora-controller")
        self.kubectl("set", "env", *target, *(f"{name}={value}" for name, value in variables.items()))
        self.kubectl("rollout", "restart", *target)
        self.kubectl("rollout", "status", *target, "--timeout=120s")
        # A rollout is over when the new pod is ready: an old one that is ending may still lead, with the old variables.
        for pod in self.objects(CONTROLLER_NAMESPACE, "pods", CONTROLLER_PODS):
            if "deletionTimestamp" in pod["metadata"]:
                self.wait_gone(CONTROLLER_NAMESPACE, "pod", pod["metadata"]["name"], seconds=60)

    def writes_by_controller(self, since: int) -> list[str]:
        """The controller's writes after this position of the audit log, Lease excepted: verb, resource, object."""
        writes = ((event["verb"], event["objectRef"]) for event in self._audit(since))
        return [f"{verb} {ref.get('resource')} {ref.get('namespace')}/{ref.get('name')}" for verb, ref in writes]

    def _audit(self, since: int) -> Iterable[Manifest]:
        with self.audit_log.open("rb") as log:
            log.seek(since)
            for line in log:
                event = json.loads(line)
                if (
                    event["user"]["username"] == CONTROLLER_USER
                    and event["verb"] in {"create", "update", "patch", "delete", "deletecollection"}
                    and event["objectRef"].get("resource") != "leases"
                ):
                    yield event

    def audit_position(self) -> int:
        return self.audit_log.stat().st_size


def condition_of(obj: Manifest, condition: str) -> Manifest | None:
    conditions: list[Manifest] = obj.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == condition), None)


def pod_is_ready(pod: Manifest) -> bool:
    ready = condition_of(pod, "Ready")
    return ready is not None and ready["status"] == "True"
