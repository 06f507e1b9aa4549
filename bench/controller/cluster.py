"""A bare cluster: etcd and kube-apiserver, nothing else that writes."""

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import time
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Self

import aiohttp

Json = dict[str, Any]

ADMIN_TOKEN, CONTROLLER_TOKEN = "admin", "controller"
# A service account, so that priority and fairness treat it as they would a controller in a pod.
CONTROLLER_USER = "system:serviceaccount:bench:controller"
TOKENS = f"""\
{ADMIN_TOKEN},bench-harness,1,"system:masters"
{CONTROLLER_TOKEN},{CONTROLLER_USER},2,"system:serviceaccounts,system:serviceaccounts:bench"
"""
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "users": [CONTROLLER_USER]}, {"level": "None"}],
}


class Cluster:
    """Everything lies under ``folder``, which is new; the processes inherit the caller's cores."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.kubeconfig = folder / "kubeconfig"
        self.pids: list[int] = []
        self.etcd_url = ""

    async def start(self) -> "Api":
        etcd, peer, secure = free_ports(3)
        self.etcd_url = f"http://127.0.0.1:{etcd}"
        self._launch(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{etcd}",
            f"--advertise-client-urls=http://127.0.0.1:{etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
            "--log-level=warn",
        )
        key = self._folder / "service-account.key"
        generate = ["openssl", "genrsa", "-out", str(key), "2048"]
        await asyncio.to_thread(lambda: subprocess.run(generate, check=True, capture_output=True))
        tokens, policy = self._folder / "tokens.csv", self._folder / "audit-policy.json"
        tokens.write_text(TOKENS)
        policy.write_text(json.dumps(AUDIT_POLICY))
        self._launch(
            "kube-apiserver",
            f"--etcd-servers=http://127.0.0.1:{etcd}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={secure}",
            f"--cert-dir={self._folder}",
            f"--token-auth-file={tokens}",
            "--authorization-mode=AlwaysAllow",
            "--disable-admission-plugins=ServiceAccount",  # nothing here makes them, and pods would need one
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--audit-policy-file={policy}",
            f"--audit-log-path={self._folder / 'audit.log'}",
            "--audit-log-maxsize=100000",
        )
        url, authority = f"https://127.0.0.1:{secure}", self._folder / "apiserver.crt"
        await self._until_ready(url, authority)
        self.kubeconfig.write_text(json.dumps(kubeconfig(url, authority)))
        return Api(url, authority)

    def requests(self) -> "RequestLog":
        return RequestLog(self._folder / "audit.log")

    def stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
        for process in reversed(self._processes):
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _launch(self, program: str, *arguments: str) -> None:
        with (self._folder / f"{program}.log").open("wb") as log:
            process = subprocess.Popen([self._binaries / program, *arguments], stdout=log, stderr=log)
        self._processes.append(process)
        self.pids.append(process.pid)

    async def _until_ready(self, url: str, authority: Path) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            for process in self._processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args!r} exited with {process.returncode}; see {self._folder}")
            if await asyncio.to_thread(authority.exists):
                async with Api(url, authority) as api:
                    with contextlib.suppress(aiohttp.ClientError, ApiError):
                        await api.text("/readyz")
                        return
            await asyncio.sleep(0.2)
        raise RuntimeError(f"kube-apiserver is not ready; see {self._folder}")


class ApiError(Exception):
    pass


class _NotYet(ApiError):
    """The server says itself when to ask again."""

    def __init__(self, text: str, *, seconds: float) -> None:
        super().__init__(text)
        self.seconds = seconds


class Api:
    """The requests the harness makes, as an administrator whom no flow control slows down."""

    def __init__(self, url: str, authority: Path) -> None:
        self._session = aiohttp.ClientSession(
            base_url=url,
            headers={"Authorization": f"Bearer {ADMIN_TOKEN}"},
            connector=aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=str(authority))),
            timeout=aiohttp.ClientTimeout(total=None, connect=10),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def text(self, path: str, method: str = "GET", data: bytes | None = None, kind: str = "json") -> str:
        headers = {"Content-Type": f"application/{kind}"}
        async with self._session.request(method, path, data=data, headers=headers) as response:
            answer = await response.text()
            if response.status >= 400:
                raise ApiError(f"{method} {path}: {response.status} {answer[:500]}")
            return answer

    async def get(self, path: str) -> Json:
        answer: Json = json.loads(await self.text(path))
        return answer

    async def create(self, path: str, body: Json) -> Json:
        answer: Json = json.loads(await self.text(path, "POST", json.dumps(body).encode()))
        return answer

    async def merge(self, path: str, body: Json) -> Json:
        answer: Json = json.loads(await self.text(path, "PATCH", json.dumps(body).encode(), "merge-patch+json"))
        return answer

    async def replace(self, path: str, body: Json) -> Json:
        answer: Json = json.loads(await self.text(path, "PUT", json.dumps(body).encode()))
        return answer

    async def apply(self, path: str, body: Json, *, manager: str = "bench") -> Json:
        query = f"fieldManager={manager}&force=true"
        data = json.dumps(body).encode()
        answer: Json = json.loads(await self.text(f"{path}?{query}", "PATCH", data, "apply-patch+yaml"))
        return answer

    async def delete(self, path: str) -> None:
        await self.text(path, "DELETE")

    async def watch(self, path: str, *, metadata_only: bool) -> AsyncGenerator[Json]:
        """Every object there is, then every change. Resumes where it ended: a server drops slow watchers.

        One that was filled behind its back needs a while until it has read what is there.
        """
        accept = "application/json"
        if metadata_only:
            accept += ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        query = {"watch": "1", "allowWatchBookmarks": "1", "timeoutSeconds": "36000"}
        last = 0
        while True:
            try:
                async with contextlib.aclosing(self._events(path, query, {"Accept": accept})) as events:
                    async for event in events:
                        last = max(last, int(event["object"]["metadata"]["resourceVersion"]))
                        if event["type"] != "BOOKMARK":
                            yield event
            except _NotYet as error:
                await asyncio.sleep(error.seconds)
            if last:
                query["resourceVersion"] = str(last)

    async def _events(self, path: str, query: dict[str, str], headers: dict[str, str]) -> AsyncGenerator[Json]:
        async with self._session.get(path, params=query, headers=headers) as response:
            if response.status != 200:
                raise ApiError(f"watch {path}: {response.status} {await response.text()}")
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for event in map(json.loads, lines):
                    if event["type"] == "ERROR":
                        text, details = f"watch {path}: {event['object']}", event["object"].get("details") or {}
                        seconds = details.get("retryAfterSeconds")
                        raise ApiError(text) if seconds is None else _NotYet(text, seconds=seconds)
                    yield event


class RequestLog:
    """What the controller asked of the API server, from its audit log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def take(self) -> Counter[str]:
        """Requests since the last call, as ``verb resource``; a watch counts when it begins."""
        counts: Counter[str] = Counter()
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                event = json.loads(line)
                stage = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
                if event["stage"] != stage:
                    continue
                target = event.get("objectRef", {})
                names = [target[key] for key in ("resource", "subresource") if key in target]
                counts[f"{event['verb']} {'/'.join(names) or 'discovery'}"] += 1
        return counts


def kubeconfig(url: str, authority: Path) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bench", "cluster": {"server": url, "certificate-authority": str(authority)}}],
        "users": [{"name": "controller", "user": {"token": CONTROLLER_TOKEN}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "controller", "namespace": "bench"}}],
        "current-context": "bench",
    }


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
