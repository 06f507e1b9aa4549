"""What is in the cluster and what ever was, watched past the proxy by a client of our own.

It shares nothing with the controller's caches: an error there must not be hidden by the same error here.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_MODEL, ML_MODEL_VERSION, ML_TRAINING_JOB
from aurora_controller.kube.meta import (
    DEPLOYMENT,
    ENDPOINT_SLICE,
    INGRESS,
    JOB,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    POD_DISRUPTION_BUDGET,
    SECRET,
    SERVICE,
    Kind,
    Manifest,
    key_of,
    uid_of,
)
from tests.faults.control_plane import ADMIN_TOKEN, ControlPlane

OURS: Final = (ML_TRAINING_JOB, ML_MODEL_VERSION, ML_MODEL, ML_DEPLOYMENT)
WRITTEN: Final = (*OURS, JOB, DEPLOYMENT, SERVICE, INGRESS, POD_DISRUPTION_BUDGET, SECRET)
"""What a controller creates."""
MIRRORED: Final = (*WRITTEN, POD, ENDPOINT_SLICE, PERSISTENT_VOLUME_CLAIM)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One event. ``type`` is ADDED, MODIFIED or DELETED."""

    type: str
    kind: Kind
    obj: Manifest
    at: float

    @property
    def version(self) -> int:
        return int(self.obj["metadata"]["resourceVersion"])


class NotYet(AssertionError):
    """What was waited for did not come."""


class Mirror:
    """Objects of all namespaces and kinds in ``MIRRORED``; ``run`` keeps it in step and never returns."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._objects: dict[Kind, dict[str, dict[str, Manifest]]] = {kind: {} for kind in MIRRORED}
        """By kind, namespace and name."""
        self._left: set[str] = set()
        self.history: list[Seen] = []
        self._moved = asyncio.Event()
        self._listeners: list[Callable[[str], None]] = []

    def on_change(self, listener: Callable[[str], None]) -> None:
        """Called with the namespace of each event."""
        self._listeners.append(listener)

    async def run(self) -> None:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._plane.ssl_context),
                headers={"Authorization": f"Bearer {ADMIN_TOKEN}", "Accept": "application/json"},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=5),
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            for kind in MIRRORED:
                group.create_task(self._follow(session, kind))

    def get(self, kind: Kind, namespace: str, name: str) -> Manifest | None:
        return self._objects[kind].get(namespace, {}).get(name)

    def list(self, kind: Kind, namespace: str) -> Sequence[Manifest]:
        return list(self._objects[kind].get(namespace, {}).values())

    def all(self, kind: Kind) -> Sequence[Manifest]:
        return [obj for here in self._objects[kind].values() for obj in here.values()]

    def everything(self, namespace: str) -> Iterator[tuple[Kind, Manifest]]:
        for kind in MIRRORED:
            for obj in self.list(kind, namespace):
                yield kind, obj

    def told(self, namespace: str) -> Sequence[Seen]:
        return [seen for seen in self.history if seen.obj["metadata"].get("namespace") == namespace]

    def forget(self) -> None:
        """The history begins anew, with what is there."""
        self.history = [
            Seen(type="ADDED", kind=kind, obj=obj, at=time.monotonic()) for kind in MIRRORED for obj in self.all(kind)
        ]

    def leave(self, namespace: str) -> None:
        """Nothing of it is shown from now on: what a test leaves behind costs the later ones nothing."""
        self._left.add(namespace)
        for here in self._objects.values():
            here.pop(namespace, None)

    async def until(self, holds: Callable[[], bool], *, seconds: float, what: str = "it") -> None:
        """Looks again after every event and four times a second. Raises NotYet."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not holds():
            if loop.time() > deadline:
                raise NotYet(f"{what} did not come within {seconds:g} s")
            moved = self._moved
            try:
                async with asyncio.timeout(0.25):
                    await moved.wait()
            except TimeoutError:
                continue

    async def _follow(self, session: aiohttp.ClientSession, kind: Kind) -> None:
        while True:
            try:
                await self._watch(session, kind, await self._list(session, kind))
            except (aiohttp.ClientError, OSError, _Stopped):
                await asyncio.sleep(0.2)

    async def _list(self, session: aiohttp.ClientSession, kind: Kind) -> str:
        async with session.get(self._plane.url + kind.path()) as response:
            if response.status != 200:
                raise _Stopped
            answer = orjson.loads(await response.read())
        listed = {key_of(item): item for item in answer["items"]}
        for old in self.all(kind):
            if key_of(old) not in listed:
                self._take("DELETED", kind, old)
        for key, item in listed.items():
            known = self.get(kind, key.namespace, key.name)
            if known is None or known["metadata"]["resourceVersion"] != item["metadata"]["resourceVersion"]:
                self._take("MODIFIED" if known is not None else "ADDED", kind, item)
        version: str = answer["metadata"]["resourceVersion"]
        return version

    async def _watch(self, session: aiohttp.ClientSession, kind: Kind, version: str) -> None:
        params = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "36000"}
        async with session.get(self._plane.url + kind.path(), params=params) as response:
            if response.status != 200:
                raise _Stopped
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for event in map(orjson.loads, lines):
                    if event["type"] == "ERROR":
                        raise _Stopped
                    self._take(event["type"], kind, event["object"])

    def _take(self, change: str, kind: Kind, obj: Manifest) -> None:
        key = key_of(obj)
        if key.namespace in self._left:
            return
        obj.setdefault("apiVersion", kind.api_version)
        obj.setdefault("kind", kind.kind)
        obj["metadata"].pop("managedFields", None)
        here = self._objects[kind].setdefault(key.namespace, {})
        if change == "DELETED":
            here.pop(key.name, None)
        else:
            before = here.get(key.name)
            if before is not None and uid_of(before) != uid_of(obj):
                self.history.append(Seen(type="DELETED", kind=kind, obj=before, at=time.monotonic()))
            here[key.name] = obj
        self.history.append(Seen(type=change, kind=kind, obj=obj, at=time.monotonic()))
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        for listener in self._listeners:
            listener(key.namespace)


class _Stopped(Exception):
    """The server ended it: begin again."""


def status_of(obj: Manifest | None) -> dict[str, Any]:
    return (obj or {}).get("status") or {}
