"""What a reflector does with each way a list or a watch can go, in virtual time, on a source that follows a script."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.typing import EventDict

from aurora_controller.kube.errors import (
    ApiError,
    ConnectionFailed,
    Forbidden,
    Gone,
    NotFound,
    TooLargeResourceVersion,
    UnexpectedResponse,
    error_of,
)
from aurora_controller.kube.list_watch import Page
from aurora_controller.kube.meta import Kind, Manifest
from aurora_controller.kube.reflector import Reflector
from aurora_controller.kube.watch import WatchBroken, WatchEvent, WatchSilent, WatchUnreadable
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


# --- the first state


async def test_the_first_state_comes_by_one_stream_from_the_most_recent_version() -> None:
    async with running(Open(*STREAMED)) as world:
        assert world.source.watched == [
            {
                "sendInitialEvents": "true",
                "resourceVersionMatch": "NotOlderThan",
                "resourceVersion": "",
                "allowWatchBookmarks": "true",
                "timeoutSeconds": "300",
            }
        ]
        assert world.copy.told == ["replace a b"]
        assert (world.reflector.has_synced, world.reflector.version) == (True, "10")
        assert world.source.listed == []


async def test_nothing_of_a_streamed_state_shows_before_it_is_complete() -> None:
    stream = Open(*STREAMED[:2])
    async with running(stream) as world:
        assert (world.copy.told, world.reflector.has_synced, world.reflector.version) == ([], False, "")
        stream.send(bookmark(5), WatchEvent("DELETED", an_object("b", 4)), modified("a", 6))
        await settle()
        assert (world.copy.told, world.reflector.version) == ([], "")
        stream.send(bookmark(10, ends_initial=True))
        await settle()
        assert world.copy.objects == {"a": 6}


async def test_the_stream_of_the_state_goes_on_as_the_watch() -> None:
    stream = Open(*STREAMED)
    async with running(stream) as world:
        stream.send(modified("a", 11), deleted("b", 12))
        await settle()
        assert world.copy.told == ["replace a b", "put a@11", "remove b"]
        assert len(world.source.watched) == 1


async def test_a_server_that_streams_no_lists_is_listed_by_page_and_watched_from_there() -> None:
    async with running(no_stream(), pages=[page("a", "b", version=10, token="t"), page("c", version=10)]) as world:
        assert world.source.listed == [{"limit": "500"}, {"limit": "500", "continue": "t"}]
        assert world.copy.told == ["replace a b c"]
        assert world.source.versions == ["", "10"]


async def test_a_server_that_refused_to_stream_is_not_asked_again() -> None:
    broken = Ends(by=an_error(410))
    async with running(no_stream(), broken, pages=[page("a"), page("b", version=20)]) as world:
        await world.after(1)
        assert world.copy.told == ["replace a", "replace b"]
        assert ["sendInitialEvents" in params for params in world.source.watched] == [True, False, False]


async def test_a_server_that_never_ends_the_initial_events_is_listed() -> None:
    silent = Ends(added("a"), by=WatchSilent("nothing came"))
    async with running(silent, pages=[page("a")]) as world:
        assert world.copy.told == ["replace a"]
        assert "sendInitialEvents" not in world.source.watched[1]


async def test_a_stream_must_not_be_silent_before_its_state_is_complete_nor_take_for_ever() -> None:
    stream = Open(added("a"))
    async with running(stream) as world:
        assert world.source.patience() == 30
        await world.after(290)
        assert world.source.patience() == 10
        await world.after(20)
        assert world.source.patience() == 0


@pytest.mark.parametrize("error", [None, WatchBroken("reset"), an_error(500), UnexpectedResponse("<html>", code=502)])
async def test_a_stream_that_breaks_before_its_state_is_complete_is_replaced_by_a_list_this_time(
    error: ApiError | None,
) -> None:
    async with running(Ends(added("x"), by=error), Ends(by=an_error(410)), Open(*STREAMED), pages=[page("a")]) as world:
        assert world.copy.told == ["replace a"]
        await world.after(1)
        assert "sendInitialEvents" in world.source.watched[2]
        assert world.copy.told == ["replace a", "replace a b"]


@pytest.mark.parametrize("error", [ConnectionFailed("refused"), an_error(429), an_error(404), an_error(403)])
async def test_what_a_list_would_not_survive_either_is_waited_out(error: ApiError) -> None:
    async with running(Ends(by=error), Open(*STREAMED)) as world:
        assert world.source.listed == []
        await world.after(10)
        assert world.copy.told == ["replace a b"]
        assert world.source.listed == []


async def test_an_expired_continue_token_leads_to_one_whole_list_and_never_to_half_a_state() -> None:
    pages: list[Page | ApiError] = [page("a", token="t"), an_error(410, reason="Expired"), page("b", "c", version=12)]
    async with running(no_stream(), pages=pages) as world:
        assert world.source.listed == [{"limit": "500"}, {"limit": "500", "continue": "t"}, {}]
        assert (world.copy.told, world.reflector.version) == (["replace b c"], "12")


async def test_a_list_that_fails_leaves_the_old_state_alone() -> None:
    async with running(
        no_stream(), Ends(by=an_error(410)), pages=[page("a"), an_error(500), page("b", version=20)]
    ) as world:
        await world.after(0.9)
        assert world.copy.objects == {"a": 1}
        await world.after(2)
        assert world.copy.told == ["replace a", "replace b"]


# --- later states


async def test_a_later_state_is_never_older_than_what_was_seen() -> None:
    async with running(Ends(*STREAMED, modified("a", 15), by=an_error(500)), Open(*STREAMED)) as world:
        await world.after(1)
        assert world.source.versions == ["", "15"]
        assert "sendInitialEvents" in world.source.watched[1]


async def test_a_later_list_is_asked_for_without_a_limit_and_not_older_than_what_was_seen() -> None:
    async with running(no_stream(), Ends(by=an_error(410)), pages=[page("a"), page("b", version=20)]) as world:
        await world.after(1)
        assert world.source.listed[1] == {"resourceVersion": "10"}


@pytest.mark.parametrize(
    "error", [an_error(410), an_error(504, details={"causes": [{"reason": "ResourceVersionTooLarge"}]})]
)
async def test_when_that_version_is_not_served_the_most_recent_one_is_taken_at_once(error: ApiError) -> None:
    assert isinstance(error, Gone | TooLargeResourceVersion)
    async with running(no_stream(), Ends(by=an_error(410)), pages=[page("a"), error, page("b", version=7)]) as world:
        await world.after(1)
        assert world.source.listed[1:] == [{"resourceVersion": "10"}, {"limit": "500"}]
        assert (world.copy.objects, world.reflector.version) == ({"b": 1}, "7")


async def test_a_stream_whose_version_is_not_served_is_asked_for_the_most_recent_one() -> None:
    restored = Open(added("z", 3), bookmark(4, ends_initial=True))
    async with running(Ends(*STREAMED, by=an_error(410)), Ends(by=an_error(410)), restored) as world:
        await world.after(10)
        assert world.source.versions == ["", "10", ""]
        assert (world.copy.objects, world.reflector.version) == ({"z": 3}, "4")


# --- watching


async def test_a_watch_whose_time_is_over_is_continued_at_once_from_the_last_version() -> None:
    async with running(Ends(*STREAMED, modified("a", 17)), Ends(modified("a", 18))) as world:
        assert world.source.versions == ["", "17", "18"]
        assert world.source.watched[1] == {
            "resourceVersion": "17",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": "300",
        }
        assert world.clock.monotonic() == 0


async def test_bookmarks_move_the_version_and_nothing_else() -> None:
    async with running(Ends(*STREAMED, bookmark(40))) as world:
        assert world.source.versions == ["", "40"]
        assert world.copy.told == ["replace a b"]


async def test_versions_do_not_go_back() -> None:
    async with running(Ends(*STREAMED, modified("a", 20), modified("b", 19))) as world:
        assert world.source.versions == ["", "20"]


async def test_versions_that_are_no_numbers_are_taken_as_they_come() -> None:
    opaque = WatchEvent("MODIFIED", an_object("a") | {"metadata": {"name": "a", "resourceVersion": "r-9"}})
    async with running(Ends(*STREAMED, opaque)) as world:
        assert world.source.versions == ["", "r-9"]


@pytest.mark.parametrize("error", [ConnectionFailed("refused"), an_error(429)])
async def test_a_refused_or_throttled_watch_is_opened_again_after_a_pause_without_a_list(error: ApiError) -> None:
    async with running(Ends(*STREAMED), Ends(by=error), Ends(by=error)) as world:
        assert world.source.versions == ["", "10"]
        await world.after(0.7)
        assert len(world.source.watched) == 2
        await world.after(0.2)
        assert len(world.source.watched) == 3
        await world.after(1.7)
        assert world.source.versions == ["", "10", "10", "10"]
        assert world.source.listed == []


async def test_a_server_that_says_when_to_come_back_is_not_asked_before() -> None:
    throttled = Ends(by=error_of({"code": 429}, retry_after_seconds=20))
    async with running(Ends(*STREAMED), throttled) as world:
        await world.after(19)
        assert len(world.source.watched) == 2
        await world.after(2)
        assert len(world.source.watched) == 3


@pytest.mark.parametrize(
    "error",
    [an_error(410), an_error(500), an_error(504), an_error(401), UnexpectedResponse("", code=502), WatchUnreadable()],
)
async def test_any_other_error_leads_to_a_new_state_after_a_pause(error: ApiError) -> None:
    again = Open(added("c", 20), bookmark(21, ends_initial=True))
    async with running(Ends(*STREAMED, by=error), again) as world:
        assert world.copy.told == ["replace a b"]
        await world.after(0.9)
        assert world.copy.told == ["replace a b", "replace c"]


async def test_a_watch_that_broke_after_events_is_continued_at_once() -> None:
    async with running(Ends(*STREAMED, modified("a", 17), by=WatchBroken("reset"))) as world:
        assert world.source.versions == ["", "17"]


async def test_a_silent_watch_is_opened_again_at_once() -> None:
    async with running(Ends(*STREAMED, by=WatchSilent("nothing came"))) as world:
        assert world.source.versions == ["", "10"]


async def test_an_event_that_nobody_can_read_is_stepped_over_by_a_new_state() -> None:
    unreadable = [Ends(by=WatchBroken("not JSON")) for _ in range(3)]
    async with running(Ends(*STREAMED), *unreadable, Open(added("c", 20), bookmark(21, ends_initial=True))) as world:
        await world.after(20)
        assert world.source.versions == ["", "10", "10", "10", "10"]
        assert world.copy.told == ["replace a b", "replace c"]


async def test_watches_that_end_at_once_and_empty_are_opened_ever_more_slowly() -> None:
    """A proxy that answers an empty 200 would otherwise be asked a thousand times a second."""
    async with running(Ends(*STREAMED), *(Ends() for _ in range(1000))) as world:
        await world.after(60)
        assert 3 < len(world.source.watched) < 12


async def test_an_empty_watch_of_some_length_is_continued_at_once() -> None:
    quiet = Open()
    async with running(Ends(*STREAMED), quiet) as world:
        await world.after(2)
        quiet.end()
        await settle()
        assert world.source.versions == ["", "10", "10"]


async def test_silence_is_borne_for_the_length_of_a_watch_until_bookmarks_are_known_to_come() -> None:
    stream = Open(*STREAMED)
    async with running(stream) as world:
        assert world.source.patience() == 330
        stream.send(bookmark(11))
        await settle()
        assert world.source.patience() == 75


async def test_each_watch_draws_its_own_length() -> None:
    lengths = iter([0.0, 0.5, 1.0])
    world = World(Script(Ends(*STREAMED), Ends(modified("a", 11))))
    world.reflector = Reflector(
        kind=CONFIG_MAP,
        source=world.source,
        target=world.copy,
        clock=world.clock,
        transform=lambda _: None,
        jitter=lambda: next(lengths),
    )
    task = asyncio.create_task(world.reflector.run())
    await settle()
    task.cancel()
    assert [params["timeoutSeconds"] for params in world.source.watched] == ["300", "450", "600"]


# --- what cannot be had


@pytest.mark.parametrize(("code", "expected"), [(404, NotFound), (403, Forbidden)])
async def test_a_kind_that_is_not_served_or_not_allowed_is_asked_for_every_ten_seconds(
    code: int, expected: type[ApiError]
) -> None:
    async with running(Ends(by=an_error(code)), Ends(by=an_error(code)), Open(*STREAMED)) as world:
        assert isinstance(_problem(world), expected)
        await world.after(9.9)
        assert len(world.source.watched) == 1
        await world.after(10.2)
        assert world.copy.told == ["replace a b"]
        assert _problem(world) is None


async def test_a_kind_that_goes_away_and_comes_back_is_followed_again() -> None:
    stream = Open(*STREAMED)
    async with running(stream, Ends(by=an_error(404)), Open(added("c", 30), bookmark(31, ends_initial=True))) as world:
        stream.end(an_error(404))
        await world.after(0.1)
        assert isinstance(_problem(world), NotFound)
        await world.after(25)
        assert world.copy.objects == {"c": 30}
        assert _problem(world) is None


async def test_trouble_that_comes_back_is_met_ever_more_slowly_up_to_half_a_minute() -> None:
    async with running(*(Ends(by=an_error(500)) for _ in range(9)), pages=[an_error(500)] * 9) as world:
        tried = []
        for _ in range(8):
            tried.append(round(world.clock.sleeping[0], 3))
            await world.after(world.clock.sleeping[0])
        assert tried == [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30]


# --- what cannot be understood


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(WatchEvent("RENAMED", an_object("c", 11)), id="a type from the future"),
        pytest.param(WatchEvent("ADDED", None), id="no object"),
        pytest.param(WatchEvent("ADDED", {"kind": "ConfigMap", "apiVersion": "v1"}), id="no metadata"),
        pytest.param(WatchEvent("ADDED", an_object("c", 11) | {"kind": "Table"}), id="another kind"),
        pytest.param(WatchEvent("ADDED", an_object("c", 11) | {"metadata": {"name": "c"}}), id="no version"),
        pytest.param(WatchEvent("DELETED", an_object("a", 11) | {"metadata": {"resourceVersion": "11"}}), id="no name"),
        pytest.param(WatchEvent("BOOKMARK", {"metadata": {}}), id="a bookmark without a version"),
        pytest.param(WatchEvent("BOOKMARK", "11"), id="a bookmark of nothing"),
    ],
)
async def test_an_event_that_cannot_be_understood_is_left_out_and_said_aloud(
    event: WatchEvent, logged: list[EventDict]
) -> None:
    async with running(Open(*STREAMED, event, modified("a", 12))) as world:
        assert world.copy.told == ["replace a b", "put a@12"]
        assert [entry["event"] for entry in logged if entry["log_level"] == "warning"] == ["event skipped"]


async def test_a_listed_item_that_is_no_object_is_left_out() -> None:
    items = [an_object("a"), {"kind": "ConfigMap", "apiVersion": "v1", "metadata": None}]
    broken: list[Page | ApiError] = [Page(items=items, resource_version="10", continue_token="")]
    async with running(no_stream(), pages=broken) as world:
        assert world.copy.told == ["replace a"]


async def test_every_object_is_transformed_before_it_is_kept() -> None:
    kept: list[Manifest] = []
    stream = Open(WatchEvent("ADDED", an_object("a", 3, secret="x")), bookmark(10, ends_initial=True))
    async with running(stream) as world:
        world.copy.put = kept.append  # type: ignore[method-assign,assignment]
        stream.send(WatchEvent("MODIFIED", an_object("a", 11, secret="x")))
        await settle()
        assert "data" not in kept[0]


async def test_progress_is_told_once_for_all_events_that_came_together() -> None:
    stream = Open(*STREAMED)
    async with running(stream) as world:
        before = world.copy.progress
        stream.send(modified("a", 11), modified("a", 12), bookmark(13))
        await settle()
        assert world.copy.progress == before + 1


async def test_a_bug_in_who_keeps_the_copy_ends_the_reflector() -> None:
    world = World(Script(Open(*STREAMED)))

    async def broken(objects: Sequence[Manifest]) -> None:
        raise RuntimeError("bug")

    world.copy.replace = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="bug"):
        await world.reflector.run()


def _problem(world: World) -> ApiError | None:
    return world.reflector.problem


def _name(obj: Manifest) -> str:
    name: str = obj["metadata"]["name"]
    return name


def _version(obj: Manifest) -> int:
    return int(obj["metadata"]["resourceVersion"]) if obj["metadata"]["resourceVersion"].isdecimal() else -1
