"""Aurora's controller with thousands of MLDeployments; see docs/performance.md.

    python -m bench.controller.scale --kube-bin FOLDER --python PYTHON [--n 10000] [--state FOLDER]

Lets the controller bring one MLDeployment to serve on an etcd + kube-apiserver, copies it and its children in etcd,
and measures the controller with all of them. With --state the cluster's data is kept there: what is filled is filled
once. One table on standard output.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from aurora_controller.kube.meta import ObjectKey
from bench.controller.cluster import CONTROLLER_USER, Api, ApiError, Cluster, Json
from bench.controller.copies import originals, put_copies
from bench.controller.mirror import Mirror, NotConverged
from bench.controller.neighbours import Neighbours
from bench.controller.phases import WRITES
from bench.controller.process import Controller
from tests.unit.builders import a_claim, a_deployment, a_ready_version

ROOT: Final = Path(__file__).parents[2]
GROUP: Final = "/apis/aurora.io/v1alpha1"
PER_NAMESPACE: Final = 1000
SETTINGS: Final = {
    "AURORA_RUNTIME_IMAGE": "registry.example.com/aurora-runtime:1",
    "AURORA_HEALTH_PORT": "0",
    "AURORA_METRICS_PORT": "0",
    "AURORA_LOG_LEVEL": "warning",
}
STREAM_SECONDS: Final = 60
EVENTS_PER_SECOND: Final = 50
CHANGES_IN: Final = 10
"""One event in so many is a change of a spec, to be carried out; the others change nothing for the controller."""


class Instance:
    """One replica of the controller."""

    def __init__(self, options: argparse.Namespace, cluster: Cluster, folder: Path, name: str) -> None:
        self._report = folder / f"{name}.json"
        settings = " ".join(f"{key}={value}" for key, value in (SETTINGS | {"AURORA_POD_NAME": name}).items())
        command = f"env {settings} {options.python} -m bench.controller.aurora.probed {self._report}"
        self.process = Controller(command, cluster.kubeconfig, options.controller_core, folder / f"{name}.log")

    async def start(self) -> float:
        """When it was; returns once it can be asked for reports."""
        self._report.unlink(missing_ok=True)
        self.process.spawn()
        began = time.time()
        await self._appears()
        return began

    async def report(self) -> Json:
        """What was noted since the last report."""
        self._report.unlink(missing_ok=True)
        self.process.signal(signal.SIGUSR1)
        await self._appears()
        found: Json = json.loads(self._report.read_text())
        return found

    async def stop(self) -> None:
        """Cleanly, so that the Lease is given back."""
        self.process.signal(signal.SIGTERM)
        await self.process.gone(60)

    async def _appears(self) -> None:
        async with asyncio.timeout(60):
            while not self._report.exists():  # noqa: ASYNC110  another process makes it
                await asyncio.sleep(0.05)

    async def until(self, moment: str, seconds: float) -> Json:
        """The first report that knows this moment."""
        async with asyncio.timeout(seconds):
            while True:
                await asyncio.sleep(1)
                found = await self.report()
                if found[moment] is not None:
                    return found


class Scale:
    def __init__(self, options: argparse.Namespace, api: Api, cluster: Cluster, folder: Path) -> None:
        self._options = options
        self._api = api
        self._cluster = cluster
        self._folder = folder
        self._names = [
            (f"team-{i // PER_NAMESPACE:02d}" if i else "team-first", f"model-{i:05d}") for i in range(options.n)
        ]
        self._random = random.Random(options.n)
        self._workloads = Mirror()
        self._deployments = Mirror()
        self.rows: list[tuple[str, str]] = []

    async def fill(self) -> None:
        for file in sorted((ROOT / "config" / "crd").glob("aurora.io_*.yaml")):
            with contextlib.suppress(ApiError):
                crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
                await self._api.text(crds, "POST", file.read_bytes(), "yaml")
        await self._served()
        with contextlib.suppress(ApiError):
            # As an installation does: else the Lease queues behind the lists of a standby that starts.
            schemas = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
            await self._api.text(schemas, "POST", flow_schema(), "yaml")
        for namespace in ("aurora-system", *sorted({namespace for namespace, _ in self._names})):
            with contextlib.suppress(ApiError):
                await self._api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        for namespace in sorted({namespace for namespace, _ in self._names}):
            claims = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"
            with contextlib.suppress(ApiError):
                spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
                claim = {"metadata": {"name": a_claim()["metadata"]["name"]}, "spec": spec}
                await self._api.create(claims, claim)
                name = claim["metadata"]["name"]
                await self._api.merge(f"{claims}/{name}/status", {"status": {"phase": "Bound"}})
        there = await self._there()
        if not there:
            await self._make_first()
        missing = [ObjectKey(*one) for one in self._names[max(1, there) :]]
        if missing:
            first, image = ObjectKey(*self._names[0]), SETTINGS["AURORA_RUNTIME_IMAGE"]
            objects = await originals(self._api, first.namespace, first.name)
            await put_copies(self._cluster.etcd_url, objects, first, missing, runtime_image=image)
            _say(f"{len(missing)} copies made of {len(objects)} objects")

    async def _there(self) -> int:
        """How many MLDeployments there are: the first so many."""
        listed = await self._api.get(f"{GROUP}/mldeployments?limit=1")
        return len(listed["items"]) + int(listed["metadata"].get("remainingItemCount", 0))

    async def _make_first(self) -> None:
        namespace, name = self._names[0]
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(work) for work in (self._follow(), Neighbours(self._api).run())]
            filler = Instance(self._options, self._cluster, self._folder, "filler")
            await filler.start()
            await self._create((namespace, name))
            await self._deployments.until([name], is_ready, 120)
            await filler.stop()
            for task in beside:
                task.cancel()

    async def measure(self) -> None:
        async with asyncio.TaskGroup() as group:
            beside = group.create_task(self._follow())
            await self._deployments.until([name for _, name in self._names], is_ready, 60)
            await self._workloads.until(["/".join(one) for one in self._names], lambda _: True, 60)
            await asyncio.sleep(5)  # the server has just been started and has read all there is
            first = Instance(self._options, self._cluster, self._folder, "first")
            second = Instance(self._options, self._cluster, self._folder, "second")
            try:
                await self._start(first)
                if not self._options.no_stream:
                    await self._stream(first)
                await self._fail_over(first, second)
            finally:
                first.process.kill()
                second.process.kill()
            beside.cancel()

    async def _start(self, instance: Instance) -> None:
        requests = self._cluster.requests()
        requests.take()
        began = await instance.start()
        found = await instance.until("synced_at", 300)
        lag, synced = found["sync_lag_ms"], found["synced_at"] - began
        self._row("initial sync: process start to all caches synced, s", synced)
        self._row("initial sync: event loop late, p99 · p99.9 · worst, ms", lag["p99"], lag["p99.9"], lag["max"])
        before = instance.process.cpu_seconds()
        drained = found if found["drained_at"] else await instance.until("drained_at", 600)
        self._row("every object reconciled once after a start, s", drained["drained_at"] - began)
        self._row(
            "  CPU for that, s (a look at all of them comes every five minutes)",
            instance.process.cpu_seconds() - before,
        )
        self._row("  event loop late meanwhile, p99 · p99.9, ms", drained["lag_ms"]["p99"], drained["lag_ms"]["p99.9"])
        self._row("RSS then, MiB", instance.process.resident_mib())
        written = {what: n for what, n in requests.take().items() if what.split()[0] in WRITES and "leases" not in what}
        self._row("needless writes of the start", sum(written.values()))

    async def _stream(self, instance: Instance) -> None:
        idle = await self._spent(instance, self._nothing())
        self._row("at rest, 60 s between two such looks: CPU, % of a core", 100 * idle / STREAM_SECONDS)
        await instance.report()
        busy = await self._spent(instance, self._events())
        found = await instance.report()
        events = STREAM_SECONDS * EVENTS_PER_SECOND
        self._row(
            f"{EVENTS_PER_SECOND} changes/s for 60 s: CPU per change beyond rest, ms", 1000 * (busy - idle) / events
        )
        self._row("  wait in the queue, p50 · p99, ms", found["queue_ms"]["p50"], found["queue_ms"]["p99"])
        self._row("  event loop late, p99 · p99.9, ms", found["lag_ms"]["p99"], found["lag_ms"]["p99.9"])
        self._row("RSS then, MiB", instance.process.resident_mib())

    async def _fail_over(self, leader: Instance, standby: Instance) -> None:
        for kind, number in (("clean", signal.SIGTERM), ("crash", signal.SIGKILL)):
            await standby.start()
            await standby.until("synced_at", 300)
            await asyncio.sleep(20)
            namespace, name = self._random.choice(self._names)
            replicas = self._deployments.objects[name]["spec"].get("replicas", 1) + 1
            began = time.perf_counter()
            leader.process.signal(number)
            await self._scale(namespace, name, replicas)
            done = await self._workloads.until([f"{namespace}/{name}"], has_replicas(replicas), 60)
            self._row(f"failover, {kind}: leader stopped to the next leader's first write, s", done - began)
            leader.process.kill()
            leader, standby = standby, leader

    async def _events(self) -> None:
        """Evenly in time, whatever the server makes of them."""
        start, tasks = time.perf_counter(), set()
        async with asyncio.TaskGroup() as group:
            for number in range(STREAM_SECONDS * EVENTS_PER_SECOND):
                await asyncio.sleep(max(0.0, start + number / EVENTS_PER_SECOND - time.perf_counter()))
                namespace, name = self._random.choice(self._names)
                if number % CHANGES_IN:
                    path = f"{GROUP}/namespaces/{namespace}/mldeployments/{name}"
                    patch = {"metadata": {"annotations": {"example.com/number": str(number)}}}
                    tasks.add(group.create_task(self._api.merge(path, patch)))
                else:
                    tasks.add(group.create_task(self._scale(namespace, name, self._random.randint(1, 4))))

    async def _nothing(self) -> None:
        await asyncio.sleep(STREAM_SECONDS)

    async def _spent(self, instance: Instance, work: Awaitable[None]) -> float:
        before = instance.process.cpu_seconds()
        await work
        return instance.process.cpu_seconds() - before

    async def _follow(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._deployments.follow(self._api, f"{GROUP}/mldeployments"))
            group.create_task(self._follow_workloads())

    async def _follow_workloads(self) -> None:
        """By the name of their MLDeployment, of which each has one."""
        path = "/apis/apps/v1/deployments"
        async with contextlib.aclosing(self._api.watch(path, metadata_only=False)) as events:
            async for event in events:
                obj = event["object"]
                name = f"{obj['metadata']['namespace']}/{obj['metadata']['labels'].get('aurora.io/deployment')}"
                self._workloads.put(obj | {"metadata": obj["metadata"] | {"name": name}})
                self._workloads.tell(name)

    async def _served(self) -> None:
        """Returns when the server has read all of our kinds; until then it refuses their watches."""
        async with asyncio.timeout(120):
            while True:
                with contextlib.suppress(ApiError):
                    for plural in ("mldeployments", "mlmodelversions", "mlmodels", "mltrainingjobs"):
                        await self._api.text(f"{GROUP}/{plural}?watch=1&timeoutSeconds=1&labelSelector=no%3Dsuch")
                    return
                await asyncio.sleep(0.5)

    async def _create(self, name: tuple[str, str]) -> None:
        namespace, model = name
        version = a_ready_version(1, model=model)
        status = version.pop("status")
        path = f"{GROUP}/namespaces/{namespace}"
        with contextlib.suppress(ApiError):
            await self._api.create(f"{path}/mlmodelversions", _new(version))
        await self._api.merge(f"{path}/mlmodelversions/{version['metadata']['name']}/status", {"status": status})
        await self._api.create(f"{path}/mldeployments", _new(a_deployment(model, model_name=model, replicas=1)))

    async def _scale(self, namespace: str, name: str, replicas: int) -> None:
        path = f"{GROUP}/namespaces/{namespace}/mldeployments/{name}"
        await self._api.merge(path, {"spec": {"replicas": replicas}})

    def _row(self, title: str, *values: float) -> None:
        text = " · ".join(f"{value:.1f}" for value in values)
        _say(f"{title}: {text}")
        self.rows.append((title, text))


def flow_schema() -> bytes:
    """The one of the installation, for the user that the controller is here."""
    text = (ROOT / "config" / "manager" / "flow-schema.yaml").read_text()
    _, _, namespace, name = CONTROLLER_USER.split(":")
    theirs = "name: aurora-controller, namespace: aurora-system"
    assert theirs in text
    return text.replace(theirs, f"name: {name}, namespace: {namespace}").encode()


def _new(manifest: Json) -> Json:
    """As a user writes it; names are unique over all namespaces, which the mirrors rely on."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key in {"name", "labels"}}
    return {key: manifest[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": metadata}


def is_ready(deployment: Json) -> bool:
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in deployment.get("status", {}).get("conditions", [])
    )


def has_replicas(count: int) -> Callable[[Json], bool]:
    return lambda workload: workload["spec"]["replicas"] == count


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kube-bin", type=Path, required=True, help="folder with etcd and kube-apiserver")
    parser.add_argument("--python", required=True, help="interpreter with the controller's libraries")
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--state", type=Path, help="keep the cluster's data here")
    parser.add_argument("--only-fill", action="store_true")
    parser.add_argument("--no-stream", action="store_true", help="measure the start and failovers alone")
    parser.add_argument("--server-core", type=int, default=0)
    parser.add_argument("--controller-core", type=int, default=1)
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.server_core})
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.state or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        cluster = Cluster(options.kube_bin, folder)
        try:
            async with await cluster.start() as api:
                scale = Scale(options, api, cluster, folder)
                await scale.fill()
                if not options.only_fill:
                    await scale.measure()
                print(f"| {options.n} MLDeployments | |\n|---|---:|")
                for title, value in scale.rows:
                    print(f"| {title} | {value} |")
        except NotConverged as error:
            _say(str(error))
            return 1
        finally:
            cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
