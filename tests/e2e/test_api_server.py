"""The real API server keeps what the fake one of the unit tests promises, and an informer follows it."""

import asyncio
import base64
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_MODEL
from aurora_controller.app import LEASE_NAME
from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.config import StaticConfig, load_config
from aurora_controller.kube.informer import Informer
from aurora_controller.kube.list_watch import ListWatch
from aurora_controller.kube.meta import LEASE, Manifest
from aurora_controller.kube.rest import RestClient
from tests.e2e.cluster import CONTROLLER_NAMESPACE, Cluster
from tests.e2e.stories import NAMESPACES
from tests.shared.api_server_conformance import ApiServerConformance
from tests.shared.api_under_test import CONFIG_MAP, PROBE, PROBE_CRD, Api

NAMESPACE = "e2e-conformance"
ENDING = "e2e-ending"
HOLD = "conformance.aurora.io/hold"


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The CRD of the conformance set, established, and a namespace for its objects."""
    cluster = Cluster.from_environment()
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(PROBE_CRD))
    crd = f"crd/{PROBE_CRD['metadata']['name']}"
    cluster.kubectl("wait", "--for=condition=Established", crd, "--timeout=30s")
    cluster.create_namespace(NAMESPACE)
    begin_to_end(cluster)
    forget_history(cluster, tmp_path_factory.mktemp("etcd"))
    yield
    cluster.patch(ENDING, "configmap", "held", {"metadata": {"finalizers": None}})
    cluster.kubectl("delete", crd, f"namespace/{NAMESPACE}", "--wait=false")


def begin_to_end(cluster: Cluster) -> None:
    """A namespace that cannot be gone while it holds an object; perhaps a killed run has left it."""
    if cluster.get("", "namespace", ENDING) is None:
        cluster.kubectl("create", "namespace", ENDING)
        held = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "held", "finalizers": [HOLD]}}
        cluster.apply(ENDING, held)
    cluster.kubectl("delete", "namespace", ENDING, "--wait=false")


def forget_history(cluster: Cluster, folder: Path) -> None:
    """Compacts etcd, as the server does every five minutes: nothing of before can be listed any more."""
    version = json.loads(cluster.kubectl("get", "--raw", "/api/v1/namespaces?limit=1"))["metadata"]["resourceVersion"]
    for name in ("ca.crt", "server.crt", "server.key"):
        (folder / name).write_text(docker("exec", cluster.node, "cat", f"/etc/kubernetes/pki/etcd/{name}"))
    trust = ssl.create_default_context(cafile=folder / "ca.crt")
    trust.load_cert_chain(folder / "server.crt", folder / "server.key")
    address = docker("inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", cluster.node)
    request = Request(
        f"https://{address.strip()}:2379/v3/kv/compaction", data=json.dumps({"revision": version}).encode()
    )
    urlopen(request, context=trust, timeout=30).close()


def docker(*args: str) -> str:
    return subprocess.run(["docker", *args], check=True, capture_output=True, text=True, timeout=30).stdout


@pytest.fixture
async def api(probes: None, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """An empty namespace of the real server."""
    kubeconfig = Cluster.from_environment().kubeconfig
    async with RestClient(await load_config({"KUBECONFIG": kubeconfig})) as rest:
        api = Api(rest=rest, namespace=NAMESPACE, ending_namespace=ENDING)
        await empty(api)
        yield api
        await empty(api)


async def empty(api: Api) -> None:
    for kind in (CONFIG_MAP, PROBE):
        await api.rest.request("DELETE", kind.path(api.namespace))
        for held in (await api.client.list(kind, api.namespace)).items:
            if held["metadata"].get("finalizers"):
                key = api.key(held["metadata"]["name"])
                await api.client.merge_patch(kind, key, {"metadata": {"finalizers": None}})


class TestRealApiServer(ApiServerConformance):
    """A real kube-apiserver promises what the fake does."""


async def test_an_informer_follows_the_real_server(api: Api) -> None:
    """First state, changes, a forgotten version, and catching up: what it holds is what the server lists."""
    source = ListWatch(rest=api.rest, kind=PROBE, namespace=api.namespace, label_selector="", clock=SystemClock())
    informer = Informer(name="probes", kind=PROBE, source=source, clock=SystemClock())
    told: list[str] = []

    def tell(old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        told.append(sign + (new or old or {})["metadata"]["name"])

    informer.add_handler(tell)
    for name in "abc":
        await api.client.create(PROBE, api.probe(name))
    async with asyncio.timeout(30):
        task = asyncio.create_task(informer.run())
        await in_step(api, informer)
        await api.client.merge_patch(PROBE, api.key("a"), {"spec": {"size": 1}})
        await api.rest.request("DELETE", PROBE.path(api.namespace, "b"))
        await api.client.create(PROBE, api.probe("d"))
        await in_step(api, informer)
        task.cancel()
    assert told == ["+a", "+b", "+c", "~a", "-b", "+d"]


async def in_step(api: Api, informer: Informer) -> None:
    """Returns when the informer holds exactly what the server lists."""
    while True:
        served = (await api.client.list(PROBE, api.namespace)).items
        for obj in served:
            obj["metadata"].pop("managedFields")
        if sorted(informer.store.list(), key=_name) == sorted(served, key=_name) and informer.has_synced:
            return
        await asyncio.sleep(0.05)


def _name(obj: Manifest) -> str:
    name: str = obj["metadata"]["name"]
    return name


@pytest.fixture
async def as_controller() -> AsyncIterator[RestClient]:
    """A client that is the controller, as far as the server can tell."""
    cluster = Cluster.from_environment()
    token = cluster.kubectl("create", "token", "-n", CONTROLLER_NAMESPACE, "aurora-controller").strip()
    server = json.loads(cluster.kubectl("config", "view", "--raw", "-o", "json"))["clusters"][0]["cluster"]
    authority = base64.b64decode(server["certificate-authority-data"]).decode()
    config = StaticConfig(
        server["server"],
        authorization=f"Bearer {token}",
        ssl_context=ssl.create_default_context(cadata=authority),
    )
    async with RestClient(config) as rest:
        yield rest


async def test_renewals_of_the_lease_go_before_other_requests_of_the_controller(as_controller: RestClient) -> None:
    cluster = Cluster.from_environment()
    schema, level = (
        json.loads(cluster.kubectl("get", kind, name, "-o", "json"))["metadata"]["uid"]
        for kind, name in (
            ("flowschema", "aurora-controller-leader-election"),
            ("prioritylevelconfiguration", "leader-election"),
        )
    )
    path = LEASE.path(CONTROLLER_NAMESPACE, LEASE_NAME)
    read = await as_controller.request("GET", path)
    renewed = await as_controller.request(
        "PUT", path, params={"dryRun": "All"}, body=read.body, content_type="application/json"
    )
    for answer in (read, renewed):
        assert answer.headers["X-Kubernetes-PF-FlowSchema-UID"] == schema
        assert answer.headers["X-Kubernetes-PF-PriorityLevel-UID"] == level
    other = await as_controller.request("GET", ML_MODEL.path(NAMESPACES[0]), params={"limit": "1"})
    assert other.headers["X-Kubernetes-PF-PriorityLevel-UID"] != level
