"""What every implementation is put through, phase by phase, and what is measured in each. See README.md."""

import asyncio
import contextlib
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from bench.controller import children
from bench.controller.cluster import Api, ApiError, Cluster, Json
from bench.controller.mirror import Mirror, NotConverged, version
from bench.controller.process import Controller, cpu_seconds, machine_seconds

HERE = Path(__file__).parent
WIDGETS = "/apis/bench.aurora.io/v1alpha1/namespaces/bench/widgets"
CHILDREN = {
    "Deployment": "/apis/apps/v1/namespaces/bench/deployments",
    "Service": "/api/v1/namespaces/bench/services",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/bench/ingresses",
}
CONNECTIONS = 32
SINGLES = 50
"""Three rounds give the 150 samples that a p99 needs."""
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


class Run:
    """One implementation, one number of widgets, one fresh cluster."""

    def __init__(self, api: Api, cluster: Cluster, controller: Controller, n: int, steady: float) -> None:
        self._api = api
        self._controller = controller
        self._cluster = cluster
        self._log = cluster.requests()
        self._steady = steady
        self._limit = 60 + 0.12 * n
        self._names = [f"burst-{i:05d}" for i in range(n)]
        self._random = random.Random(n)  # the same choices for every implementation
        self._widgets = Mirror()
        self._children = {kind: Mirror() for kind in CHILDREN}
        self.metrics: dict[str, Any] = {}

    async def all_phases(self) -> None:
        await self._prepare()
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(self._widgets.follow(self._api, WIDGETS))]
            for kind, path in CHILDREN.items():
                whole = kind == "Deployment"
                watches.append(group.create_task(self._children[kind].follow(self._api, path, metadata_only=not whole)))
            await self._cold_start()
            await self._singles()
            await self._burst()
            await self._idle()
            await self._restart()
            await self._update()
            await self._recreate()
            await self._drift()
            await self._verify()
            for watch in watches:
                watch.cancel()

    async def _prepare(self) -> None:
        await install_widgets(self._api)
        for _ in range(20):
            await self._warm_up()

    async def _warm_up(self) -> None:
        """An API server takes a second or two over its very first apply; no controller is to pay for that."""
        widget = await self._create("warm-up")
        for child in children.desired(widget):
            await self._api.apply(f"{CHILDREN[child['kind']]}/warm-up", child)
        await self._api.merge(f"{WIDGETS}/warm-up/status", {"status": {"observedGeneration": 1}})
        for path in (*CHILDREN.values(), WIDGETS):
            await self._api.delete(f"{path}/warm-up")

    async def _cold_start(self) -> None:
        start = time.perf_counter()
        self._controller.spawn()
        await self._create("first")
        self.metrics["cold_start_s"] = await self._widgets.until(["first"], ready, self._limit) - start
        await self._controller.quiet(self._limit)
        self.metrics["requests_start"] = self._log.take()

    async def _singles(self) -> None:
        latencies = []
        for i in range(SINGLES):
            await asyncio.sleep(0.1)  # the next one meets an idle controller
            start = time.perf_counter()
            await self._create(f"single-{i:02d}")
            latencies.append(1000 * (await self._widgets.until([f"single-{i:02d}"], ready, self._limit) - start))
        self.metrics["single_ms"] = latencies
        await self._controller.quiet(self._limit)
        self._log.take()

    async def _burst(self) -> None:
        usage, start = self._usage(), time.perf_counter()
        all_ready, created = await asyncio.gather(
            self._widgets.until(self._names, ready, self._limit), in_parallel(self._create, self._names)
        )
        self.metrics["burst_created_s"] = created - start
        self.metrics["burst_s"] = all_ready - start
        self.metrics["burst_widgets_per_s"] = len(self._names) / self.metrics["burst_s"]
        self._record_usage("burst", usage, time.perf_counter() - start)
        self.metrics["burst_quiet_s"] = await self._controller.quiet(self._limit) - start
        spent = self._controller.cpu_seconds() - usage["controller"]
        self.metrics["burst_cpu_ms_per_widget"] = 1000 * spent / len(self._names)
        self.metrics["cpu_since_spawn_s"] = self._controller.cpu_seconds()
        self.metrics["rss_mib"] = self._controller.resident_mib()
        self._record_requests("burst", len(self._names))
        await self._verify()

    async def _idle(self) -> None:
        self._log.take()
        before = self._controller.cpu_seconds()
        await asyncio.sleep(self._steady)
        requests = self._log.take()
        self.metrics["steady_cpu_percent"] = 100 * (self._controller.cpu_seconds() - before) / self._steady
        self.metrics["steady_watches"] = sum(n for what, n in requests.items() if what.startswith("watch"))
        self.metrics["steady_requests"] = sum(requests.values()) - self.metrics["steady_watches"]
        self.metrics["requests_steady"] = requests

    async def _restart(self) -> None:
        """Killed; children vanish and a widget changes meanwhile; started again."""
        self._controller.kill()
        lost = self._choose_children(20)
        gone = await self._delete(lost)
        self._log.take()
        changed = self._random.choice(self._names)
        start = time.perf_counter()
        self._controller.spawn()
        await self._scale(changed, 7)
        first = await self._children["Deployment"].until([changed], has_replicas(7), self._limit)
        self.metrics["restart_first_s"] = first - start
        self.metrics["restart_all_s"] = await self._recreated(gone) - start
        await self._widgets.until([changed], ready, self._limit)
        self.metrics["restart_quiet_s"] = await self._controller.quiet(self._limit) - start
        self.metrics["restart_rss_mib"] = self._controller.resident_mib()
        requests = self._log.take()
        needed = len(lost) + 2  # the changed Deployment and its Widget's status
        self.metrics["restart_extra_writes"] = writes(requests) - needed
        self.metrics["requests_restart"] = requests

    async def _update(self) -> None:
        usage, start = self._usage(), time.perf_counter()
        updated, patched = await asyncio.gather(
            self._children["Deployment"].until(self._names, has_replicas(5), self._limit),
            in_parallel(lambda name: self._scale(name, 5), self._names),
        )
        self.metrics["update_patched_s"] = patched - start
        self.metrics["update_s"] = updated - start
        self.metrics["update_per_s"] = len(self._names) / self.metrics["update_s"]
        self._record_usage("update", usage, time.perf_counter() - start)
        self.metrics["update_ready_s"] = await self._widgets.until(self._names, ready, self._limit) - start
        self.metrics["update_quiet_s"] = await self._controller.quiet(self._limit) - start
        self._record_requests("update", len(self._names))

    async def _recreate(self) -> None:
        start = time.perf_counter()
        gone = await self._delete(self._choose_children(50))
        self.metrics["recreate_s"] = await self._recreated(gone) - start
        await self._controller.quiet(self._limit)
        self.metrics["requests_recreate"] = self._log.take()

    async def _drift(self) -> None:
        names = self._random.sample(self._names, min(20, len(self._names)))
        edited = {}

        async def edit(name: str) -> None:
            answer = await self._api.merge(f"{CHILDREN['Deployment']}/{name}", {"spec": {"replicas": 9}})
            edited[name] = version(answer)

        def restored(deployment: Json) -> bool:
            newer = version(deployment) > edited[deployment["metadata"]["name"]]
            return newer and deployment["spec"]["replicas"] == 5

        start = time.perf_counter()
        await in_parallel(edit, names)
        self.metrics["drift_s"] = await self._children["Deployment"].until(names, restored, self._limit) - start
        await self._controller.quiet(self._limit)

    async def _verify(self) -> None:
        """Reads everything once and compares it with what must be."""
        widgets = (await self._api.get(WIDGETS))["items"]
        if len(widgets) != len(self._names) + SINGLES + 1 or not all(map(ready, widgets)):
            raise NotConverged("not every widget is ready")
        stored = {}
        for kind, path in CHILDREN.items():
            for item in (await self._api.get(path))["items"]:
                stored[kind, item["metadata"]["name"]] = item
        for widget in widgets:
            for want in children.desired(widget):
                have = stored.get((want["kind"], want["metadata"]["name"]), {})
                identity = {"apiVersion": want["apiVersion"], "kind": want["kind"]}
                if not children.covers(want, have | identity):
                    raise NotConverged(f"{want['kind']} {want['metadata']['name']} is not as it must be")

    async def _create(self, name: str) -> Json:
        spec = {"image": "registry.example.com/widget:1.0", "replicas": 2}
        metadata = {"name": name, "namespace": "bench"}
        body = {"apiVersion": "bench.aurora.io/v1alpha1", "kind": "Widget", "metadata": metadata, "spec": spec}
        return await self._api.create(WIDGETS, body)

    async def _scale(self, name: str, replicas: int) -> None:
        self._widgets.put(await self._api.merge(f"{WIDGETS}/{name}", {"spec": {"replicas": replicas}}))

    def _choose_children(self, count: int) -> list[tuple[str, str]]:
        every = [(kind, name) for kind in CHILDREN for name in self._names]
        return self._random.sample(every, min(count, len(every)))

    async def _delete(self, chosen: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        uids = {(kind, name): self._children[kind].objects[name]["metadata"]["uid"] for kind, name in chosen}
        await in_parallel(lambda key: self._api.delete(f"{CHILDREN[key[0]]}/{key[1]}"), chosen)
        return uids

    async def _recreated(self, gone: dict[tuple[str, str], str]) -> float:
        async def one_kind(kind: str) -> float:
            old = {name: uid for (its, name), uid in gone.items() if its == kind}
            return await self._children[kind].until(
                old, lambda child: child["metadata"]["uid"] != old[child["metadata"]["name"]], self._limit
            )

        return max(await asyncio.gather(*map(one_kind, CHILDREN)))

    def _usage(self) -> dict[str, float]:
        return {
            "controller": self._controller.cpu_seconds(),
            "server": sum(map(cpu_seconds, self._cluster.pids)),
            "harness": cpu_seconds(os.getpid()),
            **machine_seconds(),
        }

    def _record_usage(self, phase: str, before: dict[str, float], wall: float) -> None:
        used = {who: now - before[who] for who, now in self._usage().items()}
        used["others"] = used["busy"] - used["controller"] - used["server"] - used["harness"]
        for who in ("controller", "server", "harness", "others", "stolen"):
            self.metrics[f"{phase}_cpu_{who}_s"] = used[who]
        self.metrics[f"{phase}_controller_core_percent"] = 100 * used["controller"] / wall
        self.metrics[f"{phase}_server_core_percent"] = 100 * (used["server"] + used["harness"]) / wall

    def _record_requests(self, phase: str, n: int) -> None:
        requests = self._log.take()
        self.metrics[f"{phase}_writes_per_widget"] = writes(requests) / n
        self.metrics[f"{phase}_reads_per_widget"] = (sum(requests.values()) - writes(requests)) / n
        self.metrics[f"requests_{phase}"] = requests


async def install_widgets(api: Api) -> None:
    """The namespace and the kind; returns when objects of it can be watched."""
    await api.create("/api/v1/namespaces", {"metadata": {"name": "bench"}})
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.text(crds, "POST", (HERE / "crd.yaml").read_bytes(), "yaml")
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ApiError):
                groups = {group["name"] for group in (await api.get("/apis"))["groups"]}
                # A watch is refused while the new kind's cache is being filled.
                await api.text(f"{WIDGETS}?watch=1&timeoutSeconds=1")
                if "bench.aurora.io" in groups:
                    return
            await asyncio.sleep(0.2)


def ready(widget: Json) -> bool:
    status = widget.get("status", {})
    return status.get("observedGeneration") == widget["metadata"]["generation"] and any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in status.get("conditions", [])
    )


def has_replicas(count: int) -> Callable[[Json], bool]:
    return lambda deployment: deployment["spec"]["replicas"] == count


def writes(requests: Counter[str]) -> int:
    return sum(count for what, count in requests.items() if what.split()[0] in WRITES)


async def in_parallel(work: Callable[[Any], Awaitable[Any]], items: Iterable[Any]) -> float:
    """Returns the moment the last one was done."""
    queue = iter(items)

    async def worker() -> None:
        for item in queue:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(CONNECTIONS)))
    return time.perf_counter()
