"""Who else acts in a cluster that has no nodes: the Deployment controller, a kubelet and the endpoints, in one."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from bench.controller.cluster import Api, ApiError, Json

MANAGED: Final = "labelSelector=app.kubernetes.io%2Fmanaged-by%3Daurora"
SERVICE_NAME: Final = "kubernetes.io/service-name"
CONNECTIONS: Final = 16


class Neighbours:
    """Gives each managed Deployment one ready pod, and each Service an EndpointSlice with it."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._work: asyncio.Queue[tuple[Callable[[Json], Coroutine[Any, Any, None]], Json]] = asyncio.Queue()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow("/apis/apps/v1/deployments", self._start))
            group.create_task(self._follow("/api/v1/services", self._slice))
            for _ in range(CONNECTIONS):
                group.create_task(self._labour())

    async def _follow(self, path: str, act: Callable[[Json], Coroutine[Any, Any, None]]) -> None:
        async with contextlib.aclosing(self._api.watch(f"{path}?{MANAGED}", metadata_only=False)) as events:
            async for event in events:
                if event["type"] != "DELETED":
                    self._work.put_nowait((act, event["object"]))

    async def _labour(self) -> None:
        while True:
            act, obj = await self._work.get()
            # Changed or gone meanwhile: the next event says so.
            with contextlib.suppress(ApiError):
                await act(obj)

    async def _start(self, workload: Json) -> None:
        metadata, spec = workload["metadata"], workload["spec"]
        counts = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas")
        status = {"observedGeneration": metadata["generation"]} | dict.fromkeys(counts, spec["replicas"])
        if {name: workload.get("status", {}).get(name, 0) for name in status} == status:
            return
        if workload.get("status", {}).get("observedGeneration", 0) == 0:
            await self._make_pod(workload)
        path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments/{metadata['name']}/status"
        await self._api.merge(path, {"status": status})

    async def _make_pod(self, workload: Json) -> None:
        metadata, template = workload["metadata"], workload["spec"]["template"]
        name, path = f"{metadata['name']}-0", f"/api/v1/namespaces/{metadata['namespace']}/pods"
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": metadata["name"], "uid": metadata["uid"]}
        identity = {"name": name, "labels": template["metadata"]["labels"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": template["spec"]}
        await self._api.create(path, pod | {"metadata": identity | {"ownerReferences": [owner | {"controller": True}]}})
        containers = [
            {
                "name": container["name"],
                "ready": True,
                "restartCount": 0,
                "image": container["image"],
                "imageID": "",
                "state": {"running": {"startedAt": metadata["creationTimestamp"]}},
            }
            for container in template["spec"]["containers"]
        ]
        conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "PodScheduled")]
        status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": conditions, "containerStatuses": containers}
        await self._api.merge(f"{path}/{name}/status", {"status": status})

    async def _slice(self, service: Json) -> None:
        metadata = service["metadata"]
        path = f"/apis/discovery.k8s.io/v1/namespaces/{metadata['namespace']}/endpointslices"
        selected = service["spec"]["selector"]
        pods = f"/api/v1/namespaces/{metadata['namespace']}/pods"
        wanted = "%2C".join(f"{name.replace('/', '%2F')}%3D{value}" for name, value in selected.items())
        found = (await self._api.get(f"{pods}?labelSelector={wanted}"))["items"]
        if not found:  # its pod is still to be made
            await asyncio.sleep(0.2)
            self._work.put_nowait((self._slice, service))
            return
        endpoint = {
            "addresses": ["10.0.0.1"],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": found[0]["metadata"]["name"], "namespace": metadata["namespace"]},
        }
        labels = metadata["labels"] | {SERVICE_NAME: metadata["name"]}
        body = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
        ports = [{"name": port["name"], "port": 8080} for port in service["spec"]["ports"]]
        identity = {"name": metadata["name"], "labels": labels}
        await self._api.create(path, body | {"metadata": identity, "endpoints": [endpoint], "ports": ports})
