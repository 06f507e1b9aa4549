"""Events are best effort, cheap and readable. Time is virtual."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from aurora_controller.kube.errors import Forbidden, ServerError
from aurora_controller.kube.events import EventRecorder
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from aurora_controller.kube.reconcile import EventNote
from tests.unit.fakes.clock import FakeClock, settle

FAILED = EventNote(type="Warning", reason="TrainingFailed", message="attempt 1 failed")


class EventServer:
    """Remembers what it was sent; breaks on demand."""

    def __init__(self) -> None:
        self.created: list[Manifest] = []
        self.patched: list[tuple[str, Mapping[str, Any]]] = []
        self.errors: list[Exception] = []
        self.tries = 0

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        self._arrive()
        self.created.append(manifest)
        return manifest

    async def merge_patch(
        self, kind: Kind, key: ObjectKey, patch: Mapping[str, Any], *, subresource: str | None = None
    ) -> Manifest:
        self._arrive()
        self.patched.append((key.name, patch))
        return {}

    def _arrive(self) -> None:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)


@pytest.fixture
def server() -> EventServer:
    return EventServer()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def recorder(server: EventServer, clock: FakeClock) -> AsyncIterator[EventRecorder]:
    recorder = EventRecorder(
        client=server, clock=clock, controller="aurora.io/controller", instance="pod-1", jitter=lambda: 0.5
    )
    running = asyncio.create_task(recorder.run())
    yield recorder
    running.cancel()


def a_job(name: str = "housing") -> dict[str, Any]:
    return {
        "apiVersion": "aurora.io/v1alpha1",
        "kind": "MLTrainingJob",
        "metadata": {"namespace": "team", "name": name, "uid": f"uid-{name}"},
    }


async def test_an_event_says_what_happened_to_which_object_and_who_says_so(
    recorder: EventRecorder, server: EventServer
) -> None:
    recorder.note(a_job(), FAILED)
    await recorder.flush()

    [event] = server.created
    assert event["metadata"]["namespace"] == "team"
    assert event["metadata"]["name"].startswith("housing.")
    assert event["regarding"] == {
        "apiVersion": "aurora.io/v1alpha1",
        "kind": "MLTrainingJob",
        "namespace": "team",
        "name": "housing",
        "uid": "uid-housing",
    }
    assert {key: event[key] for key in ("type", "reason", "note", "eventTime", "action")} == {
        "type": "Warning",
        "reason": "TrainingFailed",
        "note": "attempt 1 failed",
        "eventTime": "2026-11-23T10:00:00.000000Z",
        "action": "Reconcile",
    }
    assert (event["reportingController"], event["reportingInstance"]) == ("aurora.io/controller", "pod-1")


async def test_the_same_note_again_becomes_a_series_of_the_first_event(
    recorder: EventRecorder, server: EventServer, clock: FakeClock
) -> None:
    for _ in range(50):
        recorder.note(a_job(), FAILED)
        await clock.advance(10)
    await recorder.flush()

    assert len(server.created) == 1
    assert server.patched == [
        (
            server.created[0]["metadata"]["name"],
            {"series": {"count": 2, "lastObservedTime": "2026-11-23T10:00:10.000000Z"}},
        )
    ]


async def test_a_lasting_series_is_refreshed_every_half_hour(
    recorder: EventRecorder, server: EventServer, clock: FakeClock
) -> None:
    for _ in range(61):
        recorder.note(a_job(), FAILED)
        await clock.advance(60)
    await recorder.flush()

    assert [patch["series"]["count"] for _, patch in server.patched] == [2, 32]


async def test_a_series_ends_after_six_quiet_minutes(
    recorder: EventRecorder, server: EventServer, clock: FakeClock
) -> None:
    recorder.note(a_job(), FAILED)
    await clock.advance(361)
    recorder.note(a_job(), FAILED)
    await recorder.flush()

    assert len(server.created) == 2


async def test_another_message_is_another_event(recorder: EventRecorder, server: EventServer) -> None:
    recorder.note(a_job(), FAILED)
    recorder.note(a_job(), EventNote(type="Warning", reason="TrainingFailed", message="attempt 2 failed"))
    await recorder.flush()

    assert [event["note"] for event in server.created] == ["attempt 1 failed", "attempt 2 failed"]


async def test_a_chatty_object_is_cut_off_and_the_others_are_not(recorder: EventRecorder, server: EventServer) -> None:
    for number in range(100):
        recorder.note(a_job("chatty"), EventNote(type="Normal", reason="Tick", message=f"tick {number}"))
    recorder.note(a_job("quiet"), FAILED)
    await recorder.flush()

    assert len(server.created) == 26
    assert server.created[-1]["regarding"]["name"] == "quiet"


async def test_a_cut_off_object_may_speak_again_after_five_minutes(
    recorder: EventRecorder, server: EventServer, clock: FakeClock
) -> None:
    for number in range(100):
        recorder.note(a_job(), EventNote(type="Normal", reason="Tick", message=f"tick {number}"))
    await clock.advance(300)
    recorder.note(a_job(), FAILED)
    await recorder.flush()

    assert server.created[-1]["note"] == "attempt 1 failed"


async def test_a_server_that_is_away_is_tried_again(
    recorder: EventRecorder, server: EventServer, clock: FakeClock
) -> None:
    server.errors = [ServerError("away", code=503)] * 3
    recorder.note(a_job(), FAILED)

    await clock.advance(30)

    assert len(server.created) == 1


async def test_an_event_is_given_up_after_twelve_tries_and_the_next_one_is_sent(
    recorder: EventRecorder, server: EventServer, clock: FakeClock
) -> None:
    server.errors = [ServerError("away", code=503)] * 12
    recorder.note(a_job(), FAILED)
    recorder.note(a_job("other"), FAILED)

    await clock.advance(120)

    assert server.tries == 13
    assert [event["regarding"]["name"] for event in server.created] == ["other"]


async def test_a_refused_event_is_not_tried_again(recorder: EventRecorder, server: EventServer) -> None:
    server.errors = [Forbidden("not allowed", code=403)]
    recorder.note(a_job(), FAILED)
    await recorder.flush()

    assert server.tries == 1


async def test_a_full_queue_drops_events_instead_of_delaying_a_reconcile(
    recorder: EventRecorder, server: EventServer, clock: FakeClock
) -> None:
    server.errors = [ServerError("away", code=503)]
    for number in range(2000):
        recorder.note(a_job(f"job-{number}"), FAILED)
    await settle()
    await clock.advance(10)
    await recorder.flush()

    assert len(server.created) == 1000


async def test_a_long_message_is_cut_to_what_the_api_takes(recorder: EventRecorder, server: EventServer) -> None:
    recorder.note(a_job("n" * 250), EventNote(type="Normal", reason="Long", message="ä" * 2000))
    await recorder.flush()

    [event] = server.created
    assert len(event["note"].encode()) <= 1024
    assert len(event["metadata"]["name"]) <= 253
