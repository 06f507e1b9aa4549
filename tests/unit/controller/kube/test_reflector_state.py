"""How a reflector comes to a whole state: the first one, and those that follow trouble."""

import asyncio
from collections.abc import Sequence

import pytest

from aurora_controller.kube.errors import (
    ApiError,
    ConnectionFailed,
    Gone,
    TooLargeResourceVersion,
    UnexpectedResponse,
)
from aurora_controller.kube.list_watch import Page
from aurora_controller.kube.meta import Manifest
from aurora_controller.kube.watch import WatchBroken, WatchEvent, WatchSilent
from tests.unit.controller.kube.reflecting import (
    STREAMED,
    Ends,
    Open,
    added,
    an_error,
    an_object,
    bookmark,
    deleted,
    modified,
    no_stream,
    page,
    running,
)
from tests.unit.fakes.clock import settle


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


async def test_a_version_counts_as_seen_only_when_the_copy_holds_it() -> None:
    """Else a request would be reconciled on the state before its own write."""
    slow = asyncio.Event()
    stream = Open(*STREAMED[:2])
    async with running(stream) as world:
        replace = world.copy.replace

        async def replace_slowly(objects: Sequence[Manifest]) -> None:
            await slow.wait()
            await replace(objects)

        world.copy.replace = replace_slowly  # type: ignore[method-assign]
        stream.send(bookmark(10, ends_initial=True))
        await settle()
        assert (world.copy.told, world.reflector.version) == ([], "")
        slow.set()
        await settle()
        assert (world.copy.told, world.reflector.version) == (["replace a b"], "10")


async def test_the_stream_of_the_state_goes_on_as_the_watch() -> None:
    stream = Open(*STREAMED)
    async with running(stream) as world:
        stream.send(modified("a", 11), deleted("b", 12))
        await settle()
        assert world.copy.told == ["replace a b", "put a@11", "remove b"]
        assert len(world.source.watched) == 1


async def test_a_server_that_streams_no_lists_is_listed_by_page_and_watched_from_there() -> None:
    async with running(no_stream(), pages=[page("a", "b", version=10, token="t"), page("c", version=10)]) as world:
        assert world.source.listed == [{"limit": "250"}, {"limit": "250", "continue": "t"}]
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
        assert world.source.listed == [{"limit": "250"}, {"limit": "250", "continue": "t"}, {}]
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
        assert world.source.listed[1:] == [{"resourceVersion": "10"}, {"limit": "250"}]
        assert (world.copy.objects, world.reflector.version) == ({"b": 1}, "7")


async def test_a_stream_whose_version_is_not_served_is_asked_for_the_most_recent_one() -> None:
    restored = Open(added("z", 3), bookmark(4, ends_initial=True))
    async with running(Ends(*STREAMED, by=an_error(410)), Ends(by=an_error(410)), restored) as world:
        await world.after(10)
        assert world.source.versions == ["", "10", ""]
        assert (world.copy.objects, world.reflector.version) == ({"z": 3}, "4")
