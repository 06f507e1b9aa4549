"""One leader at a time: the promises of the Lease. Time is virtual."""

import asyncio

import pytest

from aurora_controller.kube.leader_election import LeaderElector, LeaseTimes, WriteGate
from tests.unit.controller.kube.leasing import LEASE, Candidate, LeaseServer
from tests.unit.fakes.clock import FakeClock, settle


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


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


async def test_a_leader_that_neither_renews_nor_ends_is_not_alive(server: LeaseServer, clock: FakeClock) -> None:
    leader = Candidate(server, clock, "a")
    await clock.advance(60)
    assert leader.is_leading
    assert leader.elector.problem() is None
    leader.crash()  # nobody runs the elector any more, as when its thread hangs

    await clock.advance(15 + 20)
    assert leader.elector.problem() is None
    await clock.advance(1)

    assert leader.elector.problem() == "the lease aurora/controller was not renewed and expired 21 s ago"


async def test_who_does_not_hold_the_lease_need_not_renew_it(server: LeaseServer, clock: FakeClock) -> None:
    leader, standby = Candidate(server, clock, "a"), Candidate(server, clock, "b")
    await clock.advance(5)
    await leader.stop()
    standby.crash()

    await clock.advance(3600)

    assert [leader.elector.problem(), standby.elector.problem()] == [None, None]


@pytest.mark.parametrize(("duration", "deadline", "retry"), [(10, 10, 2), (15, 2, 2), (15, 10, 9), (15, 10, 0)])
def test_times_that_allow_two_leaders_or_none_are_refused(duration: float, deadline: float, retry: float) -> None:
    with pytest.raises(ValueError, match="must be longer"):
        LeaseTimes(duration=duration, renew_deadline=deadline, retry=retry)
