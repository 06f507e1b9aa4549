"""Ten thousand of what one is: copies of one MLDeployment and its children, put into etcd as they are stored.

Names, namespaces and uids differ, and the hash of each child's intent is the one that the controller's own plan has for
it; so the controller finds nothing to do for a copy, and every copy is checked for that.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import aiohttp

from aurora_controller.api import labels
from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.intent import covers, stamped
from aurora_controller.kube.merge_patch import merge_patch
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.reconcile import Apply, PatchStatus
from aurora_controller.rollout.keys import KeysReader
from aurora_controller.rollout.reconciler import RolloutReconciler
from aurora_controller.traffic.nginx_ingress import NginxIngressRouter
from bench.controller.cluster import Api
from tests.unit.fakes.cache import FakeCache

STORED: Final = {
    "aurora.io/mlmodelversions": "/apis/aurora.io/v1alpha1/{}/mlmodelversions",
    "aurora.io/mlmodels": "/apis/aurora.io/v1alpha1/{}/mlmodels",
    "aurora.io/mldeployments": "/apis/aurora.io/v1alpha1/{}/mldeployments",
    "deployments": "/apis/apps/v1/{}/deployments",
    "services/specs": "/api/v1/{}/services",
    "ingress": "/apis/networking.k8s.io/v1/{}/ingresses",
    "poddisruptionbudgets": "/apis/policy/v1/{}/poddisruptionbudgets",
    "secrets": "/api/v1/{}/secrets",
    "pods": "/api/v1/{}/pods",
    "endpointslices": "/apis/discovery.k8s.io/v1/{}/endpointslices",
}
"""Where etcd has each kind, below /registry, and where the API does."""

Objects = Sequence[tuple[str, Manifest]]
"""Objects, each with its place in etcd."""


async def originals(api: Api, namespace: str, name: str) -> Objects:
    """The MLDeployment of this name, alone in its namespace, and all that belongs to it."""
    found = []
    for place, path in STORED.items():
        listed = await api.get(path.format(f"namespaces/{namespace}"))
        for item in listed["items"]:
            assert name in item["metadata"]["name"]
            del item["metadata"]["resourceVersion"]
            kind = listed["kind"].removesuffix("List")
            found.append((place, {"apiVersion": listed["apiVersion"], "kind": kind} | item))
    return found


async def put_copies(
    etcd_url: str, objects: Objects, original: ObjectKey, copies: Iterable[ObjectKey], *, runtime_image: str
) -> None:
    text = json.dumps(objects)
    uids = [obj["metadata"]["uid"] for _, obj in objects]
    async with aiohttp.ClientSession() as session:
        for number, key in enumerate(copies, start=1):
            copied = text.replace(original.name, key.name).replace(original.namespace, key.namespace)
            for uid in uids:
                copied = copied.replace(uid, str(uuid4()))
            made: Objects = json.loads(copied)
            for place, obj in made:
                if place == "services/specs":
                    address = f"10.96.{number // 250 + 1}.{number % 250 + 1}"
                    obj["spec"] |= {"clusterIP": address, "clusterIPs": [address]}
            await _settle([obj for _, obj in made], key, runtime_image)
            puts = [
                {"requestPut": {"key": _base64(_path(place, obj)), "value": _base64(json.dumps(obj))}}
                for place, obj in made
            ]
            async with session.post(f"{etcd_url}/v3/kv/txn", json={"success": puts}) as response:
                response.raise_for_status()


async def _settle(objects: Sequence[Manifest], key: ObjectKey, runtime_image: str) -> None:
    """Gives each child the hash of its intent. Raises AssertionError if the controller would still write anything."""
    clock = SystemClock()
    reconciler = RolloutReconciler(
        cache=FakeCache(objects),
        keys=KeysReader(secrets=_Secrets(objects), clock=clock),
        counters=_NoCounters(),
        router=NginxIngressRouter(),
        clock=clock,
        runtime_image=runtime_image,
    )
    observed = await reconciler.observe(key)
    assert observed is not None
    for write in reconciler.plan(observed, datetime.now(UTC)).writes:
        match write:
            case Apply(existing=dict() as existing):
                intent = stamped(write.manifest, annotation=labels.INTENT)
                annotations = existing["metadata"].setdefault("annotations", {})
                annotations[labels.INTENT] = intent["metadata"]["annotations"][labels.INTENT]
                assert covers(existing, intent), intent
            case PatchStatus():
                assert not merge_patch(write.existing.get("status") or {}, write.status, partial=True), write.status
            case _:
                raise AssertionError(write)


class _Secrets:
    def __init__(self, objects: Sequence[Manifest]) -> None:
        self._cache = FakeCache(objects)

    async def get_or_none(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        return self._cache.get(kind, key)


class _NoCounters:
    async def read(self, pods: Any) -> Any:  # noqa: ARG002
        raise AssertionError("nothing is counted while there is no canary")


def _path(place: str, obj: Manifest) -> str:
    return f"/registry/{place}/{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
