"""A real control plane, as far as the controller meets it: etcd and kube-apiserver with RBAC, and nobody else.

The processes are told to die with the one that started them, so a test run that is killed leaves none behind.
"""

import asyncio
import base64
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp
import yaml

from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.errors import ApiError
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.rest import RestClient

ROOT: Final = Path(__file__).resolve().parents[2]
CONTROLLER: Final = "system:serviceaccount:aurora-system:aurora-controller"
"""As whom ``config/rbac`` lets the controller act."""
ADMIN_TOKEN, CONTROLLER_TOKEN, OTHER_TOKEN = "admin", "controller", "controller-rotated"
_TOKENS: Final = f"""\
{ADMIN_TOKEN},admin,1,"system:masters"
{CONTROLLER_TOKEN},{CONTROLLER},2,"system:serviceaccounts,system:serviceaccounts:aurora-system"
{OTHER_TOKEN},{CONTROLLER},2,"system:serviceaccounts,system:serviceaccounts:aurora-system"
"""
DIES_WITH_US: Final = ("setpriv", "--pdeathsig", "KILL")
_START_SECONDS: Final = 90.0

NAMESPACE = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
CRD = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDING = Kind(
    "rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False
)


class ControlPlane:
    """``etcd`` and ``apiserver`` can be stopped, killed and started again, each on the ports and data it had."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._binaries = binaries()
        self._etcd_port, self._peer_port, self._secure_port = free_ports(3)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.url = f"https://127.0.0.1:{self._secure_port}"
        self.etcd_url = f"http://127.0.0.1:{self._etcd_port}"

    async def start(self) -> None:
        """Both programs, CRDs and the controller's rights."""
        (self._folder / "tokens.csv").write_text(_TOKENS)
        key = ["openssl", "genrsa", "-out", str(self._folder / "service-account.key"), "2048"]
        await asyncio.to_thread(subprocess.run, key, check=True, capture_output=True)
        self.start_etcd()
        await self.start_apiserver()
        async with self.open_rest() as rest:
            await install(KubeClient(rest, kinds=[NAMESPACE, CRD, CLUSTER_ROLE, CLUSTER_ROLE_BINDING]))
            await self._until_served(rest)

    def start_etcd(self) -> None:
        client, peer = self.etcd_url, f"http://127.0.0.1:{self._peer_port}"
        self._launch(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            *(f"--listen-client-urls={client}", f"--advertise-client-urls={client}"),
            *(
                f"--listen-peer-urls={peer}",
                f"--initial-advertise-peer-urls={peer}",
                f"--initial-cluster=default={peer}",
            ),
            *("--unsafe-no-fsync", "--log-level=warn"),
        )

    async def start_apiserver(self) -> None:
        """Returns when it is ready; at once when it was never ended."""
        key = self._folder / "service-account.key"
        self._launch(
            "kube-apiserver",
            f"--etcd-servers={self.etcd_url}",
            *("--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={self._secure_port}"),
            *(
                "--endpoint-reconciler-type=none",
                f"--cert-dir={self._folder}",
                "--service-cluster-ip-range=10.96.0.0/16",
            ),
            *(f"--token-auth-file={self._folder / 'tokens.csv'}", "--authorization-mode=RBAC"),
            "--disable-admission-plugins=ServiceAccount,StorageObjectInUseProtection",  # nobody here would play along
            *("--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={key}"),
            f"--service-account-signing-key-file={key}",
        )
        await self.until_ready()

    async def stored(self, kind: Kind, key: ObjectKey) -> Manifest:
        """What etcd holds of a custom resource."""
        answer = await self._etcd("range", {"key": _etcd_key(kind, key)})
        manifest: Manifest = json.loads(base64.b64decode(answer["kvs"][0]["value"]))
        return manifest

    async def store(self, kind: Kind, key: ObjectKey, manifest: Manifest) -> None:
        """Behind the API server's back: whatever the schema says of it."""
        value = base64.b64encode(json.dumps(manifest).encode()).decode()
        await self._etcd("put", {"key": _etcd_key(kind, key), "value": value})

    async def _etcd(self, action: str, body: Manifest) -> Manifest:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.etcd_url}/v3/kv/{action}", json=body) as got,
        ):
            assert got.status == 200, await got.text()
            answer: Manifest = await got.json()
            return answer

    def stop(self) -> None:
        for program in ("kube-apiserver", "etcd"):
            self.end(program)

    def end(self, program: str, number: signal.Signals = signal.SIGTERM, *, patience_seconds: float = 15.0) -> None:
        """Kills what has not ended by then."""
        process = self._running.pop(program, None)
        if process is None:
            return
        process.send_signal(number)
        try:
            process.wait(timeout=patience_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    @property
    def ssl_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._folder / "apiserver.crt"))

    def open_rest(self, token: str = ADMIN_TOKEN) -> RestClient:
        """Straight to the server, past every fault."""
        config = StaticConfig(self.url, authorization=f"Bearer {token}", ssl_context=self.ssl_context)
        return RestClient(config, max_connections=0, user_agent="fault-tests")

    def _launch(self, program: str, *arguments: str) -> None:
        if program in self._running:
            return
        with (self._folder / f"{program}.log").open("ab") as log:
            self._running[program] = subprocess.Popen(
                [*DIES_WITH_US, self._binaries / program, *arguments], stdout=log, stderr=log
            )

    async def until_ready(self) -> None:
        """Raises RuntimeError when one of the programs has ended, or it takes too long."""
        authority, deadline = self._folder / "apiserver.crt", time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            for program, process in self._running.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{program} exited with {process.returncode}; see {self._folder}/{program}.log")
            if authority.exists() and await self._is_ready():
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"kube-apiserver is not ready; see {self._folder}")

    async def _is_ready(self) -> bool:
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
        try:
            async with (
                aiohttp.ClientSession(headers=headers) as session,
                session.get(f"{self.url}/readyz", ssl=self.ssl_context) as response,
            ):
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def _until_served(self, rest: RestClient) -> None:
        deadline = time.monotonic() + 30
        for crd in crds():
            group, version = crd["spec"]["group"], crd["spec"]["versions"][0]["name"]
            path = f"/apis/{group}/{version}/{crd['spec']['names']['plural']}"
            while True:
                try:
                    await rest.request("GET", path)
                    break
                except ApiError:
                    if time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(0.1)


async def install(client: KubeClient) -> None:
    """CRDs, and what a deployment in all namespaces lets the controller do."""
    for crd in crds():
        await client.apply(CRD, crd, field_manager="fault-tests", force=True)
    for kind, manifest in rights():
        await client.apply(kind, manifest, field_manager="fault-tests", force=True)
    system: Manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aurora-system"}}
    await client.apply(NAMESPACE, system, field_manager="fault-tests", force=True)


def crds() -> Sequence[Manifest]:
    return [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "config/crd").glob("aurora.io_*.yaml"))]


def rights() -> Sequence[tuple[Kind, Manifest]]:
    """The generated role, and the Lease in any namespace: each test keeps its own beside its objects."""
    folder = ROOT / "config/rbac/cluster-wide"
    role = yaml.safe_load((folder / "cluster-role.yaml").read_text())
    binding = yaml.safe_load((folder / "cluster-role-binding.yaml").read_text())
    name = "aurora-controller-lease"
    rule = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create", "get", "update"]}
    return [
        (CLUSTER_ROLE, role),
        (CLUSTER_ROLE_BINDING, binding),
        (CLUSTER_ROLE, {**role, "metadata": {"name": name}, "rules": [rule]}),
        (
            CLUSTER_ROLE_BINDING,
            {**binding, "metadata": {"name": name}, "roleRef": {**binding["roleRef"], "name": name}},
        ),
    ]


def _etcd_key(kind: Kind, key: ObjectKey) -> str:
    path = f"/registry/{kind.group}/{kind.plural}/{key.namespace}/{key.name}"
    return base64.b64encode(path.encode()).decode()


def binaries() -> Path:
    """Where ``hack/cluster/binaries.sh kubernetes`` puts what it builds."""
    cache = (
        os.environ.get("AURORA_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "aurora"
    )
    version = re.search(r"^KUBERNETES_VERSION=(\S+)", (ROOT / "hack/env.sh").read_text(), re.MULTILINE)
    assert version is not None
    return Path(cache) / "bin" / f"kubernetes-{version[1]}"


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
