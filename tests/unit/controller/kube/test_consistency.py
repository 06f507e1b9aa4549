import asyncio
from typing import Any

from structlog.typing import EventDict

from aurora_controller.kube.consistency import ConsistencyStore
from aurora_controller.kube.meta import JOB, Kind, Manifest, ObjectKey
from tests.unit.fakes.clock import FakeClock, settle

REQUEST = ObjectKey("team", "widget")
KEY = ObjectKey("team", "child")


def a_job(version: int, **metadata: Any) -> Manifest:
    return {
        "metadata": {"namespace": "team", "name": "child", "uid": "u1", "resourceVersion": str(version), **metadata}
    }


class Seen:
    """What a cache has seen of one collection."""

    def __init__(self, version: str | None = "10", *objects: Manifest) -> None:
        self.version = version
        self.objects = list(objects)

    def get(self, kind: Kind, key: ObjectKey) -> Manifest | None:
        return self.objects[0] if self.objects else None

    def seen_version(self, kind: Kind, key: ObjectKey) -> str | None:
        return self.version


def store_of(seen: Seen) -> tuple[ConsistencyStore, FakeClock]:
    clock = FakeClock()
    return ConsistencyStore(cache=seen, clock=clock), clock


async def is_ready_at_once(store: ConsistencyStore) -> bool:
    waiting = asyncio.create_task(store.ready(REQUEST))
    await settle()
    ready = waiting.done()
    waiting.cancel()
    return ready


async def test_a_request_that_wrote_nothing_is_ready() -> None:
    assert await is_ready_at_once(store_of(Seen())[0])


async def test_a_write_is_awaited_until_its_object_is_seen() -> None:
    seen = Seen("10")
    store, _ = store_of(seen)
    store.wrote(REQUEST, JOB, a_job(12))
    waiting = asyncio.create_task(store.ready(REQUEST))
    await settle()
    assert not waiting.done()
    seen.objects = [a_job(12)]
    store.changed()
    await waiting


async def test_a_bookmark_beyond_the_write_will_do() -> None:
    seen = Seen("10")
    store, _ = store_of(seen)
    store.wrote(REQUEST, JOB, a_job(12))
    assert not await is_ready_at_once(store)
    seen.version = "12"
    assert await is_ready_at_once(store)


async def test_an_older_state_of_the_object_is_not_the_write() -> None:
    store, _ = store_of(Seen("10", a_job(9)))
    store.wrote(REQUEST, JOB, a_job(12))
    assert not await is_ready_at_once(store)


async def test_a_write_that_changed_nothing_is_seen_already() -> None:
    store, _ = store_of(Seen("10", a_job(9)))
    store.wrote(REQUEST, JOB, a_job(9))
    assert await is_ready_at_once(store)


async def test_a_deletion_is_awaited_until_the_object_is_gone_or_going() -> None:
    seen = Seen("10", a_job(9))
    store, _ = store_of(seen)
    store.deleted(REQUEST, JOB, KEY, "u1")
    assert not await is_ready_at_once(store)
    seen.objects = [a_job(12, deletionTimestamp="2026-11-23T10:00:00Z")]
    assert await is_ready_at_once(store)
    store.deleted(REQUEST, JOB, KEY, "u1")
    seen.objects = []
    assert await is_ready_at_once(store)


async def test_an_object_made_again_after_a_deletion_is_another() -> None:
    store, _ = store_of(Seen("13", a_job(13, uid="u2")))
    store.deleted(REQUEST, JOB, KEY, "u1")
    assert await is_ready_at_once(store)


async def test_other_requests_do_not_wait() -> None:
    store, _ = store_of(Seen("10"))
    store.wrote(ObjectKey("team", "other"), JOB, a_job(12))
    assert await is_ready_at_once(store)


async def test_what_is_not_watched_is_not_awaited() -> None:
    store, _ = store_of(Seen(None))
    store.wrote(REQUEST, JOB, a_job(12))
    assert await is_ready_at_once(store)


async def test_an_answer_without_a_version_is_not_awaited() -> None:
    store, _ = store_of(Seen("10", a_job(9)))
    store.wrote(REQUEST, JOB, {"metadata": {"namespace": "team", "name": "child", "uid": "u1"}})
    assert await is_ready_at_once(store)


async def test_versions_that_cannot_be_compared_do_not_block() -> None:
    store, _ = store_of(Seen("opaque-7"))
    store.wrote(REQUEST, JOB, a_job(12))
    assert await is_ready_at_once(store)


async def test_only_the_last_write_of_an_object_counts() -> None:
    seen = Seen("12")
    store, _ = store_of(seen)
    store.wrote(REQUEST, JOB, a_job(12))
    store.wrote(REQUEST, JOB, a_job(14))
    assert not await is_ready_at_once(store)
    seen.version = "14"
    assert await is_ready_at_once(store)


async def test_a_write_that_never_shows_is_given_up_and_said_aloud(logged: list[EventDict]) -> None:
    store, clock = store_of(Seen("10"))
    store.wrote(REQUEST, JOB, a_job(12))
    waiting = asyncio.create_task(store.ready(REQUEST))
    await clock.advance(9.9)
    assert not waiting.done()
    await clock.advance(0.2)
    assert waiting.done()
    assert [entry["unseen"] for entry in logged] == [["Job team/child"]]
    assert await is_ready_at_once(store)


async def test_what_is_cleared_is_not_awaited() -> None:
    store, _ = store_of(Seen("10"))
    store.wrote(REQUEST, JOB, a_job(12))
    store.clear(REQUEST)
    assert await is_ready_at_once(store)
