"""A source that follows a script, a copy that remembers what it was told, and a reflector between the two."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aurora_controller.kube.errors import (
    ApiError,
    error_of,
)
from aurora_controller.kube.list_watch import Page
from aurora_controller.kube.meta import Kind, Manifest
from aurora_controller.kube.reflector import Reflector
from aurora_controller.kube.watch import WatchEvent
from tests.unit.fakes.clock import FakeClock, settle

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")


def an_object(name: str, version: int = 1, **data: str) -> Manifest:
    metadata = {"namespace": "team", "name": name, "uid": f"{name}-uid", "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def added(name: str, version: int = 1) -> WatchEvent:
    return WatchEvent("ADDED", an_object(name, version))


def modified(name: str, version: int) -> WatchEvent:
    return WatchEvent("MODIFIED", an_object(name, version))


def deleted(name: str, version: int) -> WatchEvent:
    return WatchEvent("DELETED", an_object(name, version))


def bookmark(version: int, *, ends_initial: bool = False) -> WatchEvent:
    annotations = {"annotations": {"k8s.io/initial-events-end": "true"}} if ends_initial else {}
    metadata = {"resourceVersion": str(version), "creationTimestamp": None, **annotations}
    return WatchEvent("BOOKMARK", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def page(*names: str, version: int = 10, token: str = "") -> Page:
    return Page(items=[an_object(name) for name in names], resource_version=str(version), continue_token=token)


def an_error(code: int, **status: Any) -> ApiError:
    return error_of({"code": code, **status})


class Open:
    """A watch that stays open: what is sent to it comes out, an error ends it, None too."""

    def __init__(self, *events: WatchEvent) -> None:
        self.queue: asyncio.Queue[list[WatchEvent] | ApiError | None] = asyncio.Queue()
        if events:
            self.send(*events)

    def send(self, *events: WatchEvent) -> None:
        self.queue.put_nowait(list(events))

    def end(self, error: ApiError | None = None) -> None:
        self.queue.put_nowait(error)


class Ends(Open):
    """A watch that gives these events and ends, cleanly or by an error."""

    def __init__(self, *events: WatchEvent, by: ApiError | None = None) -> None:
        super().__init__(*events)
        self.end(by)


class Script:
    """A source whose answers are prepared, in order; what is asked beyond them waits for ever."""

    def __init__(self, *watches: Open, pages: Sequence[Page | ApiError] = ()) -> None:
        self.watches = list(watches)
        self.pages = list(pages)
        self.listed: list[Mapping[str, str]] = []
        self.watched: list[Mapping[str, str]] = []
        self.patience: Callable[[], float] = lambda: 0.0

    async def page(self, params: Mapping[str, str]) -> Page:
        self.listed.append(params)
        if not self.pages:
            await asyncio.Event().wait()
        answer = self.pages.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    async def watch(
        self, params: Mapping[str, str], *, patience: Callable[[], float]
    ) -> AsyncGenerator[list[WatchEvent]]:
        self.watched.append(params)
        self.patience = patience
        opened = self.watches.pop(0) if self.watches else Open()
        while (answer := await opened.queue.get()) is not None:
            if isinstance(answer, ApiError):
                raise answer
            yield answer

    @property
    def versions(self) -> list[str]:
        """What each watch was opened from."""
        return [params["resourceVersion"] for params in self.watched]


class Copy:
    """What the reflector keeps in step, and what it was told."""

    def __init__(self) -> None:
        self.objects: dict[str, int] = {}
        self.told: list[str] = []
        self.progress = 0

    async def replace(self, objects: Sequence[Manifest]) -> None:
        self.objects = {_name(obj): _version(obj) for obj in objects}
        self.told.append(f"replace {' '.join(self.objects)}".strip())

    def put(self, obj: Manifest) -> None:
        self.objects[_name(obj)] = _version(obj)
        self.told.append(f"put {_name(obj)}@{_version(obj)}")

    def remove(self, obj: Manifest) -> None:
        self.objects.pop(_name(obj), None)
        self.told.append(f"remove {_name(obj)}")

    def progressed(self) -> None:
        self.progress += 1


class World:
    def __init__(self, source: Script) -> None:
        self.clock = FakeClock()
        self.source = source
        self.copy = Copy()
        self.reflector = Reflector(
            kind=CONFIG_MAP,
            source=source,
            target=self.copy,
            clock=self.clock,
            transform=lambda obj: obj.pop("data", None),
            jitter=lambda: 0.0,
        )

    async def after(self, seconds: float) -> None:
        await self.clock.advance(seconds)


@asynccontextmanager
async def running(*watches: Open, pages: Sequence[Page | ApiError] = ()) -> AsyncIterator[World]:
    world = World(Script(*watches, pages=pages))
    task = asyncio.create_task(world.reflector.run())
    await settle()
    try:
        yield world
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


STREAMED = (added("a", 3), added("b", 2), bookmark(10, ends_initial=True))


def no_stream() -> Ends:
    """A server without the feature."""
    return Ends(by=an_error(422, reason="Invalid"))


def problem_of(world: World) -> ApiError | None:
    return world.reflector.problem


def _name(obj: Manifest) -> str:
    name: str = obj["metadata"]["name"]
    return name


def _version(obj: Manifest) -> int:
    return int(obj["metadata"]["resourceVersion"]) if obj["metadata"]["resourceVersion"].isdecimal() else -1
