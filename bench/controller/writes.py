"""What a write costs the API server, by the way it is made, and a look before it; see docs/adr/0006-cheaper-writes.md.

    python -m bench.controller.writes --kube-bin FOLDER [--blocks N]

The same children as in the comparison of runtimes, in portions of 50 per way, the ways in turn, so that all meet the
same server. What is counted is CPU time of kube-apiserver and etcd, per write. One Markdown table on standard output.
"""

import argparse
import asyncio
import contextlib
import copy
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from bench.controller import children
from bench.controller.cluster import Api, ApiError, Cluster, Json
from bench.controller.phases import CHILDREN, WIDGETS, in_parallel, install_widgets
from bench.controller.process import cpu_seconds

PORTION: Final = 50
JOBS: Final = "/apis/batch/v1/namespaces/bench/jobs"
MANAGER: Final = "widget-controller"
ARTICLE: Final = {"Deployment": "a", "Service": "a", "Ingress": "an"}

Way: TypeAlias = Callable[[Api, str, Json], Awaitable[Json]]
"""One write of one object: its path, and the object as it shall be."""


async def create(api: Api, path: str, obj: Json) -> Json:
    collection = path.rpartition("/")[0]
    return await api.create(f"{collection}?fieldManager={MANAGER}", obj)


async def apply(api: Api, path: str, obj: Json) -> Json:
    return await api.apply(path, obj, manager=MANAGER)


async def merge(api: Api, path: str, obj: Json) -> Json:
    return await api.merge(f"{path}?fieldManager={MANAGER}", {"spec": obj["spec"]})


async def replace(api: Api, path: str, obj: Json) -> Json:
    return await api.replace(f"{path}?fieldManager={MANAGER}", obj)


async def hand_over_and_apply(api: Api, path: str, obj: Json) -> Json:
    """A change of what was created, with the guarantee of apply: its record is made one of an apply first."""
    live = await api.get(path)
    records = [record for record in live["metadata"]["managedFields"] if record["operation"] == "Update"]
    for record in records:
        record["operation"] = "Apply"
    metadata = {"managedFields": records, "resourceVersion": live["metadata"]["resourceVersion"]}
    await api.merge(path, {"metadata": metadata})
    return await apply(api, path, obj)


class Portion:
    """Widgets whose children are written the same way."""

    def __init__(self, api: Api, pids: Sequence[int], name: str) -> None:
        self._api = api
        self._pids = pids
        self._names = [f"{name}-{number:02d}" for number in range(PORTION)]
        self._widgets: dict[str, Json] = {}
        self._live: dict[tuple[str, str], Json] = {}

    async def make_widgets(self) -> None:
        async def make(name: str) -> None:
            spec = {"image": "registry.example.com/widget:1.0", "replicas": 2}
            body = {"apiVersion": "bench.aurora.io/v1alpha1", "kind": "Widget", "spec": spec}
            self._widgets[name] = await self._api.create(
                WIDGETS, body | {"metadata": {"name": name, "namespace": "bench"}}
            )

        await in_parallel(make, self._names)

    async def look(self) -> float:
        """CPU of asking for a Deployment that is not there yet."""

        async def ask(name: str) -> None:
            with contextlib.suppress(ApiError):
                await self._api.get(f"{CHILDREN['Deployment']}/{name}")

        return await self._spent(lambda: in_parallel(ask, self._names))

    async def first(self, way: Way) -> list[float]:
        """CPU of each kind's first write."""
        return [await self._write(kind, way, self._wanted) for kind in CHILDREN]

    async def once(self, way: Way) -> dict[str, float]:
        """CPU of what is written once and never changed: a Job, and an object of a kind of our own."""

        async def write_job(name: str) -> None:
            pod = self._wanted("Deployment", name)["spec"]["template"]
            pod["spec"] |= {"restartPolicy": "Never"}
            metadata = children.metadata(self._widgets[name])
            job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}
            await way(self._api, f"{JOBS}/{name}", job | {"spec": {"backoffLimit": 0, "template": pod}})

        async def write_record(name: str) -> None:
            metadata = children.metadata(self._widgets[name]) | {"name": f"{name}-v1"}
            record = {key: self._widgets[name][key] for key in ("apiVersion", "kind", "spec")}
            await way(self._api, f"{WIDGETS}/{name}-v1", record | {"metadata": metadata})

        return {
            "a Job": await self._spent(lambda: in_parallel(write_job, self._names)),
            "a custom resource": await self._spent(lambda: in_parallel(write_record, self._names)),
        }

    async def change(self, way: Way, *, replicas: int) -> float:
        """CPU of a change of the Deployment."""
        return await self._write("Deployment", way, lambda kind, name: self._changed(kind, name, replicas, way))

    async def report(self, way: str, *, generation: int) -> float:
        """CPU of a status."""
        path = f"{WIDGETS}/{{}}/status"

        async def write(name: str) -> None:
            condition = {"type": "Ready", "status": "True", "reason": "Applied", "message": ""}
            condition |= {"observedGeneration": generation, "lastTransitionTime": "2026-11-28T00:00:00Z"}
            status = {"observedGeneration": generation, "conditions": [condition]}
            if way == "merge patch":
                self._widgets[name] = await self._api.merge(path.format(name), {"status": status})
            elif way == "update":
                self._widgets[name] = await self._api.replace(
                    path.format(name), self._widgets[name] | {"status": status}
                )
            else:
                body = {"apiVersion": "bench.aurora.io/v1alpha1", "kind": "Widget", "status": status}
                await self._api.apply(
                    path.format(name), body | {"metadata": {"name": name, "namespace": "bench"}}, manager=MANAGER
                )

        return await self._spent(lambda: in_parallel(write, self._names))

    def _wanted(self, kind: str, name: str) -> Json:
        return next(child for child in children.desired(self._widgets[name]) if child["kind"] == kind)

    def _changed(self, kind: str, name: str, replicas: int, way: Way) -> Json:
        obj = copy.deepcopy(self._live[kind, name]) if way is replace else self._wanted(kind, name)
        obj["spec"]["replicas"] = replicas
        return obj

    async def _write(self, kind: str, way: Way, wanted: Callable[[str, str], Json]) -> float:
        async def write(name: str) -> None:
            self._live[kind, name] = await way(self._api, f"{CHILDREN[kind]}/{name}", wanted(kind, name))

        return await self._spent(lambda: in_parallel(write, self._names))

    async def _spent(self, work: Callable[[], Awaitable[object]]) -> float:
        before = sum(map(cpu_seconds, self._pids))
        await work()
        return 1000 * (sum(map(cpu_seconds, self._pids)) - before) / PORTION


async def measure(api: Api, pids: Sequence[int], blocks: int) -> dict[str, list[float]]:
    spent: dict[str, list[float]] = {}

    def note(what: str, milliseconds: float) -> None:
        spent.setdefault(what, []).append(milliseconds)

    for block in range(blocks):
        # Whoever comes first in a block must not always be the same.
        for turn in range(2):
            way, verb, done = [(create, "plain create", "created"), (apply, "apply", "applied")][(block + turn) % 2]
            portion = Portion(api, pids, f"b{block}-{done}")
            await portion.make_widgets()
            note("look for a Deployment that is not there", await portion.look())
            for kind, milliseconds in zip(CHILDREN, await portion.first(way), strict=True):
                note(f"first write of {ARTICLE[kind]} {kind} by {verb}", milliseconds)
            for what, milliseconds in (await portion.once(way)).items():
                note(f"only write of {what} by {verb}", milliseconds)
            for number, ordinal in enumerate(("first", "second", "third"), start=3):
                note(f"{ordinal} apply over {done} Deployments", await portion.change(apply, replicas=number))
            note("change of a Deployment by merge patch", await portion.change(merge, replicas=6))
            note("change of a Deployment by update", await portion.change(replace, replicas=7))
            if way is create:
                note("apply, the record handed over first", await portion.change(hand_over_and_apply, replicas=8))
            for number in range(3):
                status = ("merge patch", "update", "apply")[(block + turn + number) % 3]
                note(f"status by {status}", await portion.report(status, generation=number + 1))
        print(f"block {block + 1} of {blocks}", file=sys.stderr)
    return spent


def table(spent: dict[str, list[float]]) -> str:
    lines = ["| write | CPU, ms | ± standard error | objects |", "|---|---:|---:|---:|"]
    for what in sorted(spent):
        values = spent[what]
        error = statistics.stdev(values) / len(values) ** 0.5
        lines.append(f"| {what} | {statistics.mean(values):.1f} | {error:.1f} | {len(values) * PORTION} |")
    return "\n".join(lines)


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kube-bin", type=Path, required=True, help="folder with etcd and kube-apiserver")
    parser.add_argument("--blocks", type=int, default=20, help="of 50 objects for each way")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cluster = Cluster(options.kube_bin, Path(folder))
        try:
            async with await cluster.start() as api:
                await install_widgets(api)
                print(table(await measure(api, cluster.pids, options.blocks)))
        finally:
            cluster.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
