"""The elector on a thread of its own, in real time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from aurora_controller.kube.clock import Clock, SystemClock
from aurora_controller.kube.election_thread import ElectionThread
from aurora_controller.kube.leader_election import LeaderElector, LeaseTimes, WriteGate
from tests.unit.controller.kube.leasing import LEASE, LeaseServer


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


SHORT = LeaseTimes(duration=0.4, renew_deadline=0.2, retry=0.02)


def a_thread(
    server: LeaseServer, *, identity: str = "a", clock: Clock | None = None, times: LeaseTimes = SHORT
) -> ElectionThread:
    @asynccontextmanager
    async def open_elector() -> AsyncIterator[LeaderElector]:
        yield LeaderElector(
            client=server,
            lease=LEASE,
            identity=identity,
            clock=clock or SystemClock(),
            gate=WriteGate(open_seconds=10),
            times=times,
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


class LeapingClock(SystemClock):
    """Real time, until a test leaps ahead."""

    leapt_seconds = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leapt_seconds


async def test_the_main_loop_may_ask_how_the_elector_is(server: LeaseServer) -> None:
    clock = LeapingClock()
    election = a_thread(server, clock=clock, times=LeaseTimes(duration=3000, renew_deadline=2000, retry=1000))
    assert election.problem() is None
    await election.start()
    await election.leading()
    assert election.problem() is None

    clock.leapt_seconds = 3060

    assert election.problem() == "the lease aurora/controller was not renewed and expired 60 s ago"
    await election.stop()
    assert election.problem() is None
