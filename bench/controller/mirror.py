"""Follows objects through a watch, so that a phase of the benchmark can wait for what it expects to see."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable

from bench.controller.cluster import Api, Json


class NotConverged(Exception):
    pass


class Mirror:
    """Follows one kind of object, so that a phase can wait for what it expects to see."""

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self._watchers: list[Callable[[str], None]] = []

    async def follow(self, api: Api, path: str, *, metadata_only: bool = False) -> None:
        async with contextlib.aclosing(api.watch(path, metadata_only=metadata_only)) as events:
            async for event in events:
                name = event["object"]["metadata"]["name"]
                if event["type"] == "DELETED":
                    self.objects.pop(name, None)
                else:
                    self.put(event["object"])
                self.tell(name)

    def tell(self, name: str) -> None:
        """Those who wait look at this object again."""
        for watcher in list(self._watchers):
            watcher(name)

    def put(self, new: Json) -> None:
        """From the watch, or from the answer to a write, whichever is newer."""
        old = self.objects.get(new["metadata"]["name"])
        if old is None or version(old) < version(new):
            self.objects[new["metadata"]["name"]] = new

    async def until(self, names: Iterable[str], holds: Callable[[Json], bool], seconds: float) -> float:
        """Waits until ``holds`` is true of every named object; returns the moment it became so."""

        def pending(name: str) -> bool:
            return name not in self.objects or not holds(self.objects[name])

        waiting = set(filter(pending, names))
        if not waiting:
            return time.perf_counter()
        total, done = len(waiting), _moment()

        def watcher(name: str) -> None:
            if name in waiting and not pending(name):
                waiting.discard(name)
                if not waiting and not done.done():
                    done.set_result(time.perf_counter())

        self._watchers.append(watcher)
        try:
            async with asyncio.timeout(seconds):
                return await done
        except TimeoutError:
            message = f"{len(waiting)} of {total} not as expected after {seconds:.0f} s, e.g. {min(waiting)}"
            raise NotConverged(message) from None
        finally:
            self._watchers.remove(watcher)


def version(item: Json) -> int:
    return int(item["metadata"]["resourceVersion"])


def _moment() -> asyncio.Future[float]:
    return asyncio.get_running_loop().create_future()
