import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import pytest

from aurora_controller.kube.config import StaticConfig
from aurora_controller.kube.informer import Informer, without_managed_fields
from aurora_controller.kube.list_watch import ListWatch
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.rest import RestClient
from tests.unit.fakes.api_faults import Abort, Answer, Behaviour, Stream
from tests.unit.fakes.api_server import FakeAPIServer
from tests.unit.fakes.clock import FakeClock, until

CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps")
GONE: Manifest = {"kind": "Status", "apiVersion": "v1", "code": 410, "reason": "Expired", "message": "too old"}
GONE_EVENT = orjson.dumps({"type": "ERROR", "object": GONE}) + b"\n"


def a_config_map(name: str, *, namespace: str = "team", **data: str) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


class Told:
    """A handler that writes down what it hears."""

    def __init__(self) -> None:
        self.changes: list[str] = []
        self.pairs: list[tuple[Manifest | None, Manifest | None]] = []

    def __call__(self, old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        name = (new or old or {})["metadata"]["name"]
        self.changes.append(f"{sign}{name}{' initially' if is_initial else ''}")
        self.pairs.append((old, new))


class World:
    def __init__(self, server: FakeAPIServer, rest: RestClient, clock: FakeClock) -> None:
        self.server = server
        self.clock = clock
        source = ListWatch(rest=rest, kind=CONFIG_MAP, namespace="team", label_selector="", clock=clock)
        self.informer = Informer(name="configmaps", kind=CONFIG_MAP, source=source, clock=clock)
        self.told = Told()
        self.registration = self.informer.add_handler(self.told)
        self.task: asyncio.Task[None] | None = None

    def put(self, *names: str, **data: str) -> None:
        for name in names:
            self.server.put(CONFIG_MAP, a_config_map(name, **data))

    def delete(self, name: str) -> None:
        self.server.objects.delete(CONFIG_MAP, ObjectKey("team", name))

    async def start(self) -> None:
        self.task = asyncio.create_task(self.informer.run())
        await until(lambda: self.informer.has_synced)

    async def in_step(self) -> None:
        """Lets time pass until the informer holds what the server does."""
        async with asyncio.timeout(10):
            while self.held != self.served:
                await self.clock.advance(2)
                await asyncio.sleep(0.001)

    @property
    def held(self) -> Sequence[Manifest]:
        return sorted(self.informer.store.list("team"), key=lambda obj: str(obj["metadata"]["name"]))

    @property
    def served(self) -> Sequence[Manifest]:
        objects = self.server.objects.listed(CONFIG_MAP, "team")
        for obj in objects:
            without_managed_fields(obj)
        return objects


@asynccontextmanager
async def a_world(*, offers_watch_list: bool = True) -> AsyncIterator[World]:
    clock = FakeClock()
    async with (
        FakeAPIServer(CONFIG_MAP, offers_watch_list=offers_watch_list) as server,
        RestClient(StaticConfig(server.url), max_connections=0, clock=clock) as rest,
    ):
        world = World(server, rest, clock)
        yield world
        if world.task is not None:
            assert not world.task.done()
            world.task.cancel()
            await asyncio.gather(world.task, return_exceptions=True)


@pytest.fixture(params=[True, False], ids=["streamed", "listed"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    async with a_world(offers_watch_list=request.param) as made:
        yield made


async def test_the_first_state_is_told_as_such_and_what_follows_as_news(world: World) -> None:
    world.put("a", "b")
    assert not world.registration.has_synced
    await world.start()
    assert world.told.changes == ["+a initially", "+b initially"]
    assert world.registration.has_synced
    world.put("a", x="1")
    world.put("c")
    world.delete("b")
    await world.in_step()
    # A test's put is a create or change, then an empty change of the status.
    assert world.told.changes[2:] == ["~a", "+c", "-b"]


async def test_the_store_knows_before_the_handler_is_told(world: World) -> None:
    seen: list[int] = []
    world.informer.add_handler(lambda old, new, *, is_initial: seen.append(len(world.informer.store)))
    world.put("a", "b")
    await world.start()
    assert seen == [2, 2]
    world.delete("a")
    await world.in_step()
    assert seen == [2, 2, 1]


async def test_a_change_tells_what_was_before(world: World) -> None:
    world.put("a", x="1")
    await world.start()
    world.put("a", x="2")
    await world.in_step()
    old, new = world.told.pairs[-1]
    assert old is not None
    assert new is not None
    assert (old["data"], new["data"]) == ({"x": "1"}, {"x": "2"})


async def test_objects_are_kept_without_the_record_of_who_owns_which_field(world: World) -> None:
    world.put("a")
    await world.start()
    assert "managedFields" not in world.held[0]["metadata"]
    assert (world.held[0]["apiVersion"], world.held[0]["kind"]) == ("v1", "ConfigMap")


async def test_a_late_handler_is_told_at_once_of_what_is_there(world: World) -> None:
    world.put("a", "b")
    await world.start()
    late = Told()
    registration = world.informer.add_handler(late)
    assert (late.changes, registration.has_synced) == (["+a initially", "+b initially"], True)
    world.put("c")
    await world.in_step()
    assert late.changes == world.told.changes == ["+a initially", "+b initially", "+c"]


async def test_what_changed_while_nobody_watched_is_told_after_the_history_is_forgotten(world: World) -> None:
    world.put("kept", "changed", "gone")
    await world.start()
    world.server.fail(Abort(), verb="watch", times=3)
    world.server.end_watches()
    await until(lambda: world.server.open_watches == 0)
    world.put("changed", x="2")
    world.put("new")
    world.delete("gone")
    world.server.objects.compact()
    await world.in_step()
    assert sorted(world.told.changes[3:]) == ["+new", "-gone", "~changed"]


async def test_an_object_made_again_in_between_is_one_change_of_identity(world: World) -> None:
    world.put("a")
    await world.start()
    world.server.fail(Abort(), verb="watch", times=1)
    world.server.end_watches()
    await until(lambda: world.server.open_watches == 0)
    world.delete("a")
    world.put("a")
    world.server.objects.compact()
    await world.in_step()
    old, new = world.told.pairs[-1]
    assert old is not None
    assert new is not None
    assert world.told.changes[1:] == ["~a"]
    assert old["metadata"]["uid"] != new["metadata"]["uid"]


async def test_an_event_that_comes_twice_or_late_changes_nothing(world: World) -> None:
    world.put("a", x="1")
    await world.start()
    first = world.server.objects.get(CONFIG_MAP, ObjectKey("team", "a"))
    world.put("a", x="2")
    await world.in_step()
    world.server.send_to_watches({"type": "MODIFIED", "object": first})
    world.server.send_to_watches({"type": "DELETED", "object": first})
    world.put("b")
    await world.in_step()
    assert world.told.changes[1:] == ["~a", "+b"]


A_LINE = b'{"type":"ADDED","object":{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"'


@pytest.mark.parametrize(
    ("behaviour", "times"),
    [
        pytest.param(Answer(code=410, body=GONE), 1, id="410 when it is opened"),
        pytest.param(Stream(chunks=[GONE_EVENT]), 1, id="410 within the stream"),
        pytest.param(Answer(code=500, body={"kind": "Status", "code": 500}), 2, id="500"),
        pytest.param(Answer(code=429, body={"kind": "Status", "code": 429}), 3, id="429"),
        pytest.param(Answer(code=502, body=b"<html>", content_type="text/html"), 3, id="a proxy's page"),
        pytest.param(Answer(code=200, body=b"<html>", content_type="text/html"), 3, id="a proxy's page, with 200"),
        pytest.param(Answer(code=200), 5, id="an empty 200"),
        pytest.param(Abort(), 3, id="a connection that breaks at once"),
        pytest.param(Stream(chunks=[A_LINE], ending="abort"), 5, id="a connection that breaks within a line"),
        pytest.param(Stream(chunks=[A_LINE]), 5, id="a truncated line"),
        pytest.param(Stream(chunks=[b"\x00\xff{]\n"]), 5, id="garbage"),
        pytest.param(Stream(ending="silence"), 1, id="a peer that is gone without a goodbye"),
        pytest.param(Answer(code=404, body={"kind": "Status", "code": 404}), 2, id="the kind is not served"),
        pytest.param(Answer(code=403, body={"kind": "Status", "code": 403}), 2, id="the right is revoked"),
    ],
)
async def test_the_informer_catches_up_after(world: World, behaviour: Behaviour, times: int) -> None:
    world.put("a", "b")
    await world.start()
    world.server.fail(behaviour, verb="watch", times=times)
    world.server.end_watches()
    await until(lambda: world.server.open_watches == 0)
    world.put("b", x="2")
    world.put("c")
    world.delete("a")
    await world.in_step()
    assert len(world.server.received) < 25
    assert set(world.told.changes) == {"+a initially", "+b initially", "~b", "+c", "-a"}


async def test_a_history_that_is_always_gone_does_not_become_a_busy_loop(world: World) -> None:
    world.put("a")
    await world.start()
    world.server.fail(Stream(chunks=[GONE_EVENT]), verb="watch", times=None)
    world.server.end_watches()
    for _ in range(240):
        await world.clock.advance(0.25)
        await asyncio.sleep(0.001)
    assert len(world.server.received) < 30


async def test_a_handler_that_fails_ends_the_informer() -> None:
    """A dead informer must be seen to be dead: its manager ends with it."""

    def broken(old: Manifest | None, new: Manifest | None, *, is_initial: bool) -> None:
        raise RuntimeError("bug")

    async with a_world() as world:
        world.put("a")
        world.informer.add_handler(broken)
        with pytest.raises(RuntimeError, match="bug"):
            await world.informer.run()


def numbered(count: int, *, version: str) -> list[Manifest]:
    return [
        {"metadata": {"namespace": "team", "name": f"o{number}", "uid": str(number), "resourceVersion": version}}
        for number in range(count)
    ]


async def test_a_state_of_thousands_does_not_hold_up_the_loop_while_it_is_taken_in_and_told() -> None:
    async with a_world() as world:
        told_at_turns: list[int] = []

        async def count_turns() -> None:
            while len(world.told.changes) < 1000:
                told_at_turns.append(len(world.told.changes))
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as group:
            group.create_task(count_turns())
            group.create_task(world.informer.replace(numbered(1000, version="5")))
        assert told_at_turns == [0] * 20 + list(range(0, 1000, 50))


async def test_a_new_state_shows_all_at_once_though_it_is_taken_in_by_portions() -> None:
    async with a_world() as world:
        await world.informer.replace(numbered(1000, version="5"))
        replacing = asyncio.create_task(world.informer.replace(numbered(600, version="6")))
        seen: list[tuple[int, set[str]]] = []
        while not replacing.done():
            objects = world.informer.store.list()
            seen.append((len(objects), {obj["metadata"]["resourceVersion"] for obj in objects}))
            await asyncio.sleep(0)
        assert set(map(repr, seen)) == {"(1000, {'5'})", "(600, {'6'})"}
