"""One leader at a time: the promises of the Lease. Time is virtual, except on the elector's own thread."""

import asyncio
import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aurora_controller.kube.clock import SystemClock
from aurora_controller.kube.election_thread import ElectionThread
from aurora_controller.kube.errors import AlreadyExists, Conflict, ConnectionFailed, NotFound, OutcomeUnknown
from aurora_controller.kube.leader_election import LeaderElector, LeaseTimes, WriteGate
from aurora_controller.kube.meta import Kind, Manifest, ObjectKey
from tests.unit.fakes.clock import FakeClock, settle

LEASE = ObjectKey("aurora", "controller")


class LeaseServer:
    """Keeps one Lease, with optimistic locking; breaks on demand."""

    def __init__(self) -> None:
        self.lease: Manifest | None = None
        self.version = 0
        self.requests: list[str] = []
        self.is_away = False
        self.hangs = False
        self.conflicts = 0
        self.loses_answers = False
        self.dawdle: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    async def get(self, kind: Kind, key: ObjectKey) -> Manifest:
        await self._arrive("GET")
        if self.lease is None:
            raise NotFound("no lease", code=404)
        return copy.deepcopy(self.lease)

    async def create(self, kind: Kind, manifest: Manifest) -> Manifest:
        await self._arrive("POST")
        if self.lease is not None:
            raise AlreadyExists("lease exists", code=409)
        return self._store(manifest)

    async def replace(self, kind: Kind, manifest: Manifest) -> Manifest:
        await self._arrive("PUT")
        if self.lease is None:
            raise NotFound("no lease", code=404)
        stale = manifest["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]
        if stale or self.conflicts > 0:
            self.conflicts -= 1
            raise Conflict("the object has been modified", code=409)
        return self._store(manifest)

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        spec: dict[str, Any] = self.lease["spec"]
        return spec

    async def _arrive(self, method: str) -> None:
        self.requests.append(method)
        await self.dawdle()
        if self.hangs:
            await asyncio.Event().wait()
        if self.is_away:
            raise ConnectionFailed("connection refused")

    def _store(self, manifest: Manifest) -> Manifest:
        self.version += 1
        self.lease = copy.deepcopy(manifest)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        if self.loses_answers:
            raise OutcomeUnknown("connection reset")
        return copy.deepcopy(self.lease)


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Candidate:
    """An elector and what it does, as a task."""

    def __init__(self, server: LeaseServer, clock: FakeClock, identity: str, *, jitter: float = 0.0) -> None:
        self.gate = WriteGate(open_seconds=10, seconds=clock.monotonic)
        self.elector = LeaderElector(
            client=server, lease=LEASE, identity=identity, clock=clock, gate=self.gate, jitter=lambda: jitter
        )
        self.has_led = False
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self.elector.acquire()
        self.has_led = True
        await self.elector.keep()

    @property
    def is_leading(self) -> bool:
        return self.has_led and not self.task.done()

    async def stop(self) -> None:
        """A clean stop."""
        self.crash()
        await self.elector.release()

    def crash(self) -> None:
        self.task.cancel()


async def test_the_first_candidate_creates_the_lease(server: LeaseServer, clock: FakeClock) -> None:
    candidate = Candidate(server, clock, "a")
    await settle()

    assert candidate.is_leading
    assert server.spec == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-11-23T10:00:00.000000Z",
        "renewTime": "2026-11-23T10:00:00.000000Z",
        "leaseTransitions": 0,
    }


async def test_a_leader_renews_every_two_seconds_with_one_request(server: LeaseServer, clock: FakeClock) -> None:
    Candidate(server, clock, "a")
    await settle()
    server.requests.clear()

    await clock.advance(20)

    assert server.requests == ["PUT"] * 10
    assert server.spec["renewTime"] == "2026-11-23T10:00:20.000000Z"
    assert server.spec["acquireTime"] == "2026-11-23T10:00:00.000000Z"


async def test_a_second_leader_waits_until_the_lease_expires(server: LeaseServer, clock: FakeClock) -> None:
    first, second = Candidate(server, clock, "a"), Candidate(server, clock, "b")
    await clock.advance(30)
    assert (first.is_leading, second.is_leading) == (True, False)

    first.crash()
    await clock.advance(14)
    assert not second.is_leading
    await clock.advance(4)

    assert second.is_leading
    assert server.spec["leaseTransitions"] == 1


@pytest.mark.parametrize("offset", [tenths / 10 for tenths in range(0, 45, 3)])
async def test_a_crashed_leader_is_replaced_within_twenty_seconds_however_the_tries_fall(
    server: LeaseServer, clock: FakeClock, offset: float
) -> None:
    first = Candidate(server, clock, "a")
    await clock.advance(1)
    second = Candidate(server, clock, "b", jitter=1.0)
    await clock.advance(30 + offset)
    first.crash()

    await clock.advance(20)

    assert second.is_leading


async def test_a_released_lease_is_taken_at_the_next_try(server: LeaseServer, clock: FakeClock) -> None:
    first, second = Candidate(server, clock, "a"), Candidate(server, clock, "b")
    await clock.advance(30)

    await first.stop()
    assert server.spec["holderIdentity"] == ""
    await clock.advance(2)

    assert second.is_leading


async def test_a_release_is_tried_again_after_a_conflict(server: LeaseServer, clock: FakeClock) -> None:
    candidate = Candidate(server, clock, "a")
    await settle()
    server.conflicts = 2
    stopping = asyncio.create_task(candidate.stop())

    await clock.advance(5)

    assert stopping.done()
    assert server.spec["holderIdentity"] == ""


async def test_a_release_gives_up_at_the_renew_deadline(server: LeaseServer, clock: FakeClock) -> None:
    candidate = Candidate(server, clock, "a")
    await settle()
    server.is_away = True
    stopping = asyncio.create_task(candidate.stop())

    await clock.advance(10)

    assert stopping.done()


async def test_a_candidate_that_never_led_releases_nothing(server: LeaseServer, clock: FakeClock) -> None:
    Candidate(server, clock, "a")
    await settle()
    standby = Candidate(server, clock, "b")
    await settle()

    await standby.stop()

    assert server.spec["holderIdentity"] == "a"


@pytest.mark.parametrize("trouble", ["is_away", "hangs"])
async def test_a_leader_that_cannot_renew_stops_at_the_renew_deadline(
    server: LeaseServer, clock: FakeClock, trouble: str
) -> None:
    leader = Candidate(server, clock, "a")
    await clock.advance(4)
    setattr(server, trouble, True)

    await clock.advance(9.9)
    assert leader.is_leading
    await clock.advance(0.1)

    assert not leader.is_leading


async def test_a_short_outage_costs_nothing(server: LeaseServer, clock: FakeClock) -> None:
    leader = Candidate(server, clock, "a")
    await clock.advance(4)
    server.is_away = True
    await clock.advance(7)
    server.is_away = False

    await clock.advance(60)

    assert leader.is_leading


async def test_a_leader_whose_lease_was_taken_stops_at_once(server: LeaseServer, clock: FakeClock) -> None:
    leader = Candidate(server, clock, "a")
    await settle()
    assert server.lease is not None
    server.lease["spec"]["holderIdentity"] = "usurper"
    server.lease["metadata"]["resourceVersion"] = "100"

    await clock.advance(2)

    assert not leader.is_leading


async def test_a_renewal_whose_answer_was_lost_is_recognised_as_ours(server: LeaseServer, clock: FakeClock) -> None:
    leader = Candidate(server, clock, "a")
    await settle()
    server.loses_answers = True
    await clock.advance(2)
    server.loses_answers = False

    await clock.advance(20)

    assert leader.is_leading
    assert server.spec["leaseTransitions"] == 0


async def test_expiry_is_judged_by_our_own_clock_and_not_by_the_holders(server: LeaseServer, clock: FakeClock) -> None:
    """The holder's clock is a year behind: its Lease looks long expired, and yet it renews."""
    leader = Candidate(server, clock, "a")
    await settle()
    standby = Candidate(server, clock, "b")
    for _ in range(30):
        assert server.lease is not None
        server.lease["spec"]["renewTime"] = "2025-11-23T10:00:00.000000Z"
        await clock.advance(2)

    assert (leader.is_leading, standby.is_leading) == (True, False)


async def test_the_gate_is_open_for_the_renew_deadline_after_a_renewal_began(
    server: LeaseServer, clock: FakeClock
) -> None:
    leader = Candidate(server, clock, "a")
    assert not leader.gate.is_open()
    await settle()
    assert leader.gate.is_open()
    server.hangs = True

    await clock.advance(9.9)
    assert leader.gate.is_open()
    await clock.advance(0.1)

    assert not leader.gate.is_open()


async def test_the_time_a_renewal_took_is_not_added_to_the_gate(server: LeaseServer, clock: FakeClock) -> None:
    async def dawdle() -> None:
        await clock.sleep(2)

    server.dawdle = dawdle
    leader = Candidate(server, clock, "a")
    await clock.advance(4)  # a look that found nothing, and a creation
    assert leader.is_leading
    server.hangs = True

    await clock.advance(5.9)
    assert leader.gate.is_open()
    await clock.advance(0.1)

    assert not leader.gate.is_open()


async def test_a_process_that_slept_finds_the_gate_shut_before_anything_else_runs() -> None:
    seconds = 100.0
    gate = WriteGate(open_seconds=10, seconds=lambda: seconds)
    gate.renewed(seconds)

    seconds = 111.0

    assert not gate.is_open()


async def test_releasing_shuts_the_gate_first(server: LeaseServer, clock: FakeClock) -> None:
    gate = WriteGate(open_seconds=10, seconds=clock.monotonic)
    elector = LeaderElector(client=server, lease=LEASE, identity="a", clock=clock, gate=gate)
    await elector.acquire()
    server.hangs = True
    releasing = asyncio.create_task(elector.release())
    await settle()

    assert not gate.is_open()
    releasing.cancel()


@pytest.mark.parametrize(("duration", "deadline", "retry"), [(10, 10, 2), (15, 2, 2), (15, 10, 9), (15, 10, 0)])
def test_times_that_allow_two_leaders_or_none_are_refused(duration: float, deadline: float, retry: float) -> None:
    with pytest.raises(ValueError, match="must be longer"):
        LeaseTimes(duration=duration, renew_deadline=deadline, retry=retry)


def a_thread(server: LeaseServer, *, identity: str = "a") -> ElectionThread:
    @asynccontextmanager
    async def open_elector() -> AsyncIterator[LeaderElector]:
        yield LeaderElector(
            client=server,
            lease=LEASE,
            identity=identity,
            clock=SystemClock(),
            gate=WriteGate(open_seconds=10),
            times=LeaseTimes(duration=0.4, renew_deadline=0.2, retry=0.02),
        )

    return ElectionThread(open_elector)


async def test_the_thread_leads_and_gives_the_lease_back_when_stopped(server: LeaseServer) -> None:
    election = a_thread(server)
    await election.start()

    await election.leading()
    assert server.spec["holderIdentity"] == "a"
    await election.stop()

    assert server.spec["holderIdentity"] == ""


async def test_the_main_loop_hears_of_a_lost_lease(server: LeaseServer) -> None:
    election = a_thread(server)
    await election.start()
    await election.leading()

    server.is_away = True
    await election.lost()

    await election.stop()


async def test_an_elector_that_breaks_is_heard_of(server: LeaseServer) -> None:
    @asynccontextmanager
    async def broken() -> AsyncIterator[LeaderElector]:
        raise OSError("no credentials")
        yield

    election = ElectionThread(broken)
    await election.start()

    with pytest.raises(OSError, match="no credentials"):
        await election.leading()
    await election.stop()


async def test_an_election_may_be_stopped_before_it_is_won(server: LeaseServer) -> None:
    holder, standby = a_thread(server), a_thread(server, identity="b")
    await holder.start()
    await holder.leading()
    await standby.start()

    await standby.stop()

    assert server.spec["holderIdentity"] == "a"
    await holder.stop()
