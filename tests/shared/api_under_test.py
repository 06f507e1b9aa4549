"""What a conformance test is given: a server, a namespace, and kinds that no controller meddles with."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.rest import RestClient
from aurora_controller.kube.watch import WatchEvent, watch

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
PROBE = Kind("conformance.aurora.io", "v1", "Probe", "probes")
UNSERVED = Kind("conformance.aurora.io", "v1", "Unserved", "unserveds")

_KEYED = {"x-kubernetes-list-type": "map"}
_ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
PROBE_CRD: Manifest = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{PROBE.plural}.{PROBE.group}"},
    "spec": {
        "group": PROBE.group,
        "scope": "Namespaced",
        "names": {"kind": PROBE.kind, "plural": PROBE.plural, "singular": "probe"},
        "versions": [
            {
                "name": PROBE.version,
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                **_ANYTHING,
                                "properties": {
                                    "env": {
                                        **_KEYED,
                                        "type": "array",
                                        "x-kubernetes-list-map-keys": ["name"],
                                        "items": {
                                            "type": "object",
                                            "required": ["name"],
                                            "properties": {"name": {"type": "string"}, "value": {"type": "string"}},
                                        },
                                    },
                                    "steps": {
                                        "type": "array",
                                        "x-kubernetes-list-type": "atomic",
                                        "items": {"type": "integer"},
                                    },
                                },
                            },
                            "status": _ANYTHING,
                        },
                    }
                },
            }
        ],
    },
}


@dataclass(frozen=True, kw_only=True)
class Api:
    """A server, and an empty namespace in it."""

    rest: RestClient
    namespace: str
    ending_namespace: str
    """One that is being terminated."""
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    """Returns when so many seconds have passed for the server."""

    @property
    def client(self) -> KubeClient:
        return KubeClient(self.rest, kinds=[CONFIG_MAP, PROBE])

    def key(self, name: str) -> ObjectKey:
        return ObjectKey(self.namespace, name)

    def config_map(self, name: str = "one", labels: Mapping[str, str] | None = None, **data: str) -> Manifest:
        metadata: Manifest = {"name": name, "namespace": self.namespace}
        if labels:
            metadata["labels"] = dict(labels)
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}

    def probe(self, name: str = "one", **spec: Any) -> Manifest:
        metadata = {"name": name, "namespace": self.namespace}
        return {"apiVersion": PROBE.api_version, "kind": PROBE.kind, "metadata": metadata, "spec": spec}

    async def apply(
        self,
        manifest: Manifest,
        *,
        by: str = "us",
        force: bool = True,
        uid: str | None = None,
        must_be_new: bool = False,
    ) -> Manifest:
        return await self.client.apply(PROBE, manifest, field_manager=by, force=force, uid=uid, must_be_new=must_be_new)

    async def watched(self, kind: Kind, count: int, **params: str) -> Sequence[WatchEvent]:
        """The first ``count`` events of a watch."""
        events: list[WatchEvent] = []
        async with asyncio.timeout(20), aclosing(self.watch(kind, **params)) as batches:
            async for batch in batches:
                events += batch
                if len(events) >= count:
                    return events
        return events

    def watch(self, kind: Kind, **params: str) -> AsyncGenerator[list[WatchEvent]]:
        path = kind.path(self.namespace)
        return watch(self.rest, path, params=params, patience=lambda: 20.0, clock=SystemClock())
