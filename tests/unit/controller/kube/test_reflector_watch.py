"""What a reflector does with each way a watch can go."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
from structlog.typing import EventDict

from aurora_controller.kube.errors import (
    ApiError,
    ConnectionFailed,
    Forbidden,
    NotFound,
    UnexpectedResponse,
    error_of,
)
from aurora_controller.kube.list_watch import Page
from aurora_controller.kube.meta import Manifest
from aurora_controller.kube.reflector import Reflector
from aurora_controller.kube.watch import WatchBroken, WatchEvent, WatchGarbled, WatchSilent, WatchUnreadable
from tests.unit.controller.kube.reflecting import (
    CONFIG_MAP,
    STREAMED,
    Ends,
    Open,
    Script,
    World,
    added,
    an_error,
    an_object,
    bookmark,
    modified,
    no_stream,
    problem_of,
    running,
)
from tests.unit.fakes.clock import settle
from tests.unit.fakes.metrics import series

MALFORMED_METADATA: Final[Mapping[str, Sequence[Any]]] = {
    "name": (None, 5),
    "resourceVersion": (None, 12),
    **dict.fromkeys(("namespace", "uid", "creationTimestamp", "deletionTimestamp"), (5, {})),
    "generation": ("one",),
    **dict.fromkeys(("labels", "annotations"), ("a=b", ["a"], {"a": 1})),
    "ownerReferences": ({}, ["owner"], [{"kind": "Widget", "name": "w"}], [{"kind": "Widget", "name": "w", "uid": 1}]),
}
"""No API server sends such a thing, but what stands between may."""


def with_metadata(**odd: Any) -> Manifest:
    manifest = an_object("c", 11)
    return manifest | {"metadata": manifest["metadata"] | odd}


def skipped() -> float:
    """Events that were left out, for whatever reason."""
    return sum(series("watch_events_skipped_total", kind=CONFIG_MAP.kind))


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
        assert isinstance(problem_of(world), expected)
        await world.after(9.9)
        assert len(world.source.watched) == 1
        await world.after(10.2)
        assert world.copy.told == ["replace a b"]
        assert problem_of(world) is None


async def test_a_kind_that_goes_away_and_comes_back_is_followed_again() -> None:
    stream = Open(*STREAMED)
    async with running(stream, Ends(by=an_error(404)), Open(added("c", 30), bookmark(31, ends_initial=True))) as world:
        stream.end(an_error(404))
        await world.after(0.1)
        assert isinstance(problem_of(world), NotFound)
        await world.after(25)
        assert world.copy.objects == {"c": 30}
        assert problem_of(world) is None


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
        *(
            pytest.param(WatchEvent("ADDED", with_metadata(**{field: value})), id=f"{field} {value!r}")
            for field, values in MALFORMED_METADATA.items()
            for value in values
        ),
    ],
)
async def test_an_event_that_cannot_be_understood_is_left_out_said_aloud_and_counted(
    event: WatchEvent, logged: list[EventDict]
) -> None:
    before = skipped()
    async with running(Open(*STREAMED, event, modified("a", 12))) as world:
        assert world.copy.told == ["replace a b", "put a@12"]
        assert [entry["event"] for entry in logged if entry["log_level"] == "warning"] == ["event skipped"]
        assert skipped() == before + 1


@pytest.mark.parametrize("annotations", [5, "true", ["true"]])
async def test_a_bookmark_with_odd_annotations_ends_no_first_state(annotations: Any) -> None:
    odd = WatchEvent("BOOKMARK", {"metadata": {"resourceVersion": "9", "annotations": annotations}})
    async with running(Open(added("a"), odd, *STREAMED)) as world:
        assert world.copy.told == ["replace a b"]


async def test_a_line_that_is_not_json_is_counted_and_asked_for_again() -> None:
    before, stream = skipped(), Open(*STREAMED)
    async with running(stream, Open(modified("a", 12))) as world:
        stream.send(modified("b", 11))
        stream.end(WatchGarbled("a line that is not JSON"))
        await settle()
        assert world.copy.told == ["replace a b", "put b@11", "put a@12"]
        assert skipped() == before + 1


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
