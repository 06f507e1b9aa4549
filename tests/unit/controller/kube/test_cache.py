import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aurora_controller.kube.cache import Cache
from aurora_controller.kube.client import KubeClient
from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.consistency import ConsistencyStore
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.reconcile import Watch
from aurora_controller.kube.rest import RestClient
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.cache import FakeCache
from tests.unit.fakes.clock import FakeClock, until

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
SECRET = Kind("", "v1", "Secret", "secrets")
NODE = Kind("", "v1", "Node", "nodes", namespaced=False)


def a_config_map(name: str, *, namespace: str = "team", owner: str = "", **labels: str) -> Manifest:
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "labels": labels}
    if owner:
        metadata["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Widget", "name": "w", "uid": owner, "controller": True}
        ]
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


def a_watch(kind: Kind = CONFIG_MAP, *, label_selector: str = "") -> Watch:
    return Watch(kind=kind, requests=lambda _: (), label_selector=label_selector)


def ignore(old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None:
    """A handler that only wants the cache to be filled."""


def names(objects: Sequence[Manifest]) -> list[str]:
    return sorted(obj["metadata"]["name"] for obj in objects)


class World:
    def __init__(self, server: FakeAPIServer, rest: RestClient, namespaces: Iterable[str]) -> None:
        self.server = server
        self.rest = rest
        self.clock = FakeClock()
        self.cache = Cache(rest=rest, clock=self.clock, namespaces=namespaces, indexed_labels=["color"])
        self.task: asyncio.Task[None] | None = None

    def put(self, *manifests: Manifest) -> None:
        for manifest in manifests:
            self.server.put(CONFIG_MAP, manifest)

    async def start(self, *watches: Watch) -> None:
        for watch in watches or [a_watch()]:
            self.cache.subscribe(watch, ignore)
        self.task = asyncio.create_task(self.cache.run())
        async with asyncio.timeout(10):
            await self.cache.synced()


@asynccontextmanager
async def a_world(*namespaces: str) -> AsyncIterator[World]:
    async with (
        FakeAPIServer(CONFIG_MAP, SECRET, NODE) as server,
        RestClient(StaticConfig(server.url), max_connections=0) as rest,
    ):
        world = World(server, rest, namespaces)
        try:
            yield world
        finally:
            if world.task is not None:
                world.task.cancel()
                await asyncio.gather(world.task, return_exceptions=True)


async def test_the_whole_cluster_is_read_through_one_watch() -> None:
    async with a_world() as world:
        world.put(a_config_map("a"), a_config_map("b", namespace="other"))
        await world.start()
        assert names(world.cache.list(CONFIG_MAP)) == ["a", "b"]
        assert names(world.cache.list(CONFIG_MAP, "other")) == ["b"]
        assert world.server.count("watch") == 1
        found = world.cache.get(CONFIG_MAP, ObjectKey("other", "b"))
        assert found is not None
        assert world.cache.get(CONFIG_MAP, ObjectKey("team", "b")) is None


async def test_only_the_watched_namespaces_are_read() -> None:
    async with a_world("team", "other") as world:
        world.put(a_config_map("a"), a_config_map("b", namespace="other"), a_config_map("c", namespace="elsewhere"))
        await world.start()
        assert names(world.cache.list(CONFIG_MAP)) == ["a", "b"]
        assert names(world.cache.list(CONFIG_MAP, "elsewhere")) == []
        assert world.cache.get(CONFIG_MAP, ObjectKey("elsewhere", "c")) is None
        assert sorted(one.namespace for one in world.server.received) == ["other", "team"]


async def test_a_kind_without_namespaces_is_watched_once() -> None:
    async with a_world("team", "other") as world:
        world.server.put(NODE, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        await world.start(a_watch(NODE))
        assert names(world.cache.list(NODE)) == ["n1"]
        assert world.cache.get(NODE, ObjectKey("", "n1")) is not None
        assert world.server.count("watch") == 1


async def test_who_asks_for_the_same_shares_a_watch_and_each_is_told() -> None:
    async with a_world() as world:
        world.put(a_config_map("a"))
        told: list[str] = []
        for name in ("first", "second"):

            def tell(old: Any, new: Any, *, is_initial: bool, name: str = name) -> None:
                told.append(name)

            world.cache.subscribe(a_watch(), tell)
        await world.start()
        assert told == ["first", "second"]
        assert world.server.count("watch") == 1


async def test_several_selectors_of_a_kind_are_read_together_and_no_object_twice() -> None:
    async with a_world() as world:
        world.put(
            a_config_map("a", color="red"), a_config_map("b", size="xl"), a_config_map("c", color="red", size="xl")
        )
        world.put(a_config_map("d"))
        await world.start(a_watch(label_selector="color=red"), a_watch(label_selector="size=xl"))
        assert [names(world.cache.list(CONFIG_MAP)), len(world.cache.list(CONFIG_MAP))] == [["a", "b", "c"], 3]
        assert world.cache.get(CONFIG_MAP, ObjectKey("team", "b")) is not None
        assert world.cache.get(CONFIG_MAP, ObjectKey("team", "d")) is None


async def test_children_and_labels_are_found_over_all_namespaces() -> None:
    async with a_world("team", "other") as world:
        world.put(
            a_config_map("a", owner="w1", color="red"),
            a_config_map("b", namespace="other", owner="w1", color="red"),
            a_config_map("c", owner="w2", color="blue"),
        )
        await world.start()
        assert names(world.cache.owned_by(CONFIG_MAP, "w1")) == ["a", "b"]
        assert names(world.cache.with_label(CONFIG_MAP, "color", "red")) == ["a", "b"]
        assert names(world.cache.with_label(CONFIG_MAP, "color", "red", "team")) == ["a"]


async def test_a_kind_that_nobody_watches_is_a_mistake_to_read() -> None:
    async with a_world() as world:
        await world.start()
        for read in (
            lambda: world.cache.list(SECRET),
            lambda: world.cache.get(SECRET, ObjectKey("team", "a")),
            lambda: world.cache.owned_by(SECRET, "w1"),
            lambda: world.cache.with_label(SECRET, "color", "red"),
        ):
            with pytest.raises(LookupError, match="secrets are not watched"):
                read()


async def test_a_new_kind_cannot_be_watched_once_the_cache_runs_but_a_known_one_can() -> None:
    async with a_world() as world:
        world.put(a_config_map("a"))
        await world.start()
        with pytest.raises(RuntimeError, match="before the cache runs"):
            world.cache.subscribe(a_watch(SECRET), ignore)
        told: list[Any] = []
        world.cache.subscribe(a_watch(), lambda old, new, *, is_initial: told.append(new))
        assert names(told) == ["a"]


async def test_synced_means_every_informer_and_says_which_are_missing() -> None:
    async with a_world("team") as world:
        world.server.uninstall(SECRET)
        world.cache.subscribe(a_watch(), ignore)
        world.cache.subscribe(a_watch(SECRET), ignore)
        assert world.cache.unsynced() == ["configmaps in team", "secrets in team"]
        world.task = asyncio.create_task(world.cache.run())
        await until(lambda: len(world.cache.unsynced()) == 1 and "404" in world.cache.unsynced()[0])
        synced = asyncio.create_task(world.cache.synced())
        world.server.install(SECRET)
        await world.clock.advance(20)
        await synced
        assert world.cache.unsynced() == []


async def test_a_kind_whose_right_is_revoked_is_no_longer_synced() -> None:
    async with a_world() as world:
        await world.start()
        world.server.uninstall(CONFIG_MAP)
        await until(lambda: world.cache.unsynced() != [])
        assert "configmaps: 404 NotFound" in world.cache.unsynced()[0]


async def test_an_informer_that_hears_nothing_not_even_bookmarks_is_named() -> None:
    async with a_world() as world:
        await world.start()
        await world.clock.advance(179)
        assert world.cache.silent() == []
        await world.clock.advance(2)
        assert world.cache.silent() == ["configmaps for 181 s"]
        world.server.send_bookmarks()
        await until(lambda: world.cache.silent() == [])


async def test_an_informer_that_dies_takes_the_cache_with_it() -> None:
    def broken(old: Any, new: Any, *, is_initial: bool) -> None:
        raise RuntimeError("bug")

    async with a_world() as world:
        world.put(a_config_map("a"))
        world.cache.subscribe(a_watch(), broken)
        with pytest.RaisesGroup(RuntimeError):
            await world.cache.run()


async def test_own_writes_are_awaited_until_the_cache_has_them() -> None:
    """The whole way: a write's answer, the watch that brings it back, and the reconcile that waits for it."""
    async with a_world() as world:
        await world.start()
        own_writes = ConsistencyStore(cache=world.cache, clock=world.clock)
        world.cache.on_progress(own_writes.changed)
        client, request = KubeClient(world.rest, kinds=[CONFIG_MAP]), ObjectKey("team", "w")
        for number in range(20):
            created = await client.create(CONFIG_MAP, a_config_map(f"o{number}"))
            own_writes.wrote(request, CONFIG_MAP, created)
            await own_writes.ready(request)
            assert world.cache.get(CONFIG_MAP, ObjectKey("team", f"o{number}")) is not None
            uid = created["metadata"]["uid"]
            key = ObjectKey("team", f"o{number}")
            await client.delete(CONFIG_MAP, key, uid=uid, propagation="Background")
            own_writes.deleted(request, CONFIG_MAP, key, uid)
            await own_writes.ready(request)
            assert world.cache.get(CONFIG_MAP, key) is None


async def test_the_version_seen_is_that_of_the_informer_furthest_behind() -> None:
    async with a_world() as world:
        world.put(a_config_map("a", color="red"))
        await world.start(a_watch(label_selector="color=red"), a_watch(label_selector="size=xl"))
        both = world.cache.seen_version(CONFIG_MAP, ObjectKey("team", "a"))
        assert both == str(world.server.objects.version)
        world.put(a_config_map("b", color="red"))
        await until(lambda: world.cache.get(CONFIG_MAP, ObjectKey("team", "b")) is not None)
        assert world.cache.seen_version(CONFIG_MAP, ObjectKey("team", "a")) == both
        assert world.cache.seen_version(SECRET, ObjectKey("team", "a")) is None


async def test_the_fake_cache_reads_as_the_real_one_does() -> None:
    objects = [
        a_config_map("a", owner="w1", color="red"),
        a_config_map("b", namespace="other", color="red"),
        a_config_map("c", color="blue"),
    ]
    async with a_world() as world:
        world.put(*objects)
        await world.start()
        for cache in (world.cache, FakeCache(objects)):
            assert names(cache.list(CONFIG_MAP)) == ["a", "b", "c"]
            assert names(cache.list(CONFIG_MAP, "other")) == ["b"]
            assert names(cache.owned_by(CONFIG_MAP, "w1")) == ["a"]
            assert names(cache.with_label(CONFIG_MAP, "color", "red", "team")) == ["a"]
            found = cache.get(CONFIG_MAP, ObjectKey("team", "a"))
            assert found is not None
            assert cache.get(CONFIG_MAP, ObjectKey("team", "b")) is None
