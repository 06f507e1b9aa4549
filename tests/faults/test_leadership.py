"""T8, T9 and T16: of two programs one acts, whatever happens to it, and the other follows in time.

Times are a fifth of production's; what a loaded machine may add is ``SLACK_SECONDS``.
"""

import itertools
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aurora_controller.kube.leader_election import LeaseTimes
from tests.faults import oracles
from tests.faults.controllers import ControllerProcess
from tests.faults.proxy import Door, Proxy, Write
from tests.faults.rules import Detour, Hang, Rule
from tests.faults.scenarios import Stage

LEASE: Final = {"lease_seconds": 3.0, "renew_deadline_seconds": 2.0, "retry_seconds": 0.5}
LEASE_SECONDS, POLL_SECONDS = LEASE["lease_seconds"], 2.2 * LEASE["retry_seconds"]
RENEWAL_SECONDS: Final = LeaseTimes(duration=3.0, renew_deadline=2.0, retry=0.5).request_timeout
"""After so long a renewal is given up."""
SLACK_SECONDS: Final = 1.0
START_SECONDS: Final = 30.0

SPINNING: Final = """
import os, sys, time
from aurora_controller.__main__ import main
from aurora_controller.rollout.reconciler import RolloutReconciler

def spin(self, observed, now, plan=RolloutReconciler.plan):
    end = time.monotonic() + float(os.environ.pop("AURORA_SPIN_SECONDS", "0"))
    while time.monotonic() < end:
        pass
    return plan(self, observed, now)

RolloutReconciler.plan = spin
sys.exit(main([], os.environ))
"""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    door: Door
    process: ControllerProcess


class Race:
    """Two candidates for the Lease of one namespace; ``leader`` has it, ``standby`` waits for it."""

    def __init__(self, stage: Stage, proxy: Proxy, leader: Candidate, standby: Candidate) -> None:
        self.stage = stage
        self.leader = leader
        self.standby = standby
        self._proxy = proxy

    def writes(self, of: Candidate | None = None) -> Sequence[Write]:
        mine = [write for write in self._proxy.writes if write.call.namespace == self.stage.namespace]
        return [write for write in mine if of is None or write.door == of.door.name]

    def steps(self, of: Candidate) -> Sequence[Write]:
        return [write for write in self.writes(of) if write.call.is_step]

    def taken(self, by: Candidate) -> Sequence[float]:
        """When it took or renewed the Lease: the answers' times."""
        done = [write for write in self.writes(by) if write.call.resource == "leases" and write.is_done]
        return [write.ended or 0.0 for write in done if write.answer["spec"].get("holderIdentity")]

    async def until_held(self, by: Candidate) -> None:
        await self.stage.mirror.until(
            lambda: bool(self.taken(by)), seconds=START_SECONDS, what=f"leadership of {by.door.name}"
        )

    async def until_heard(self, of: Candidate, watch: str = "mldeployments") -> None:
        """Its caches follow the cluster."""
        await self.stage.mirror.until(
            lambda: of.door.open_watches.get(watch, 0) > 0, seconds=START_SECONDS, what=f"watches of {of.door.name}"
        )

    def seconds_without_a_holder(self) -> float:
        """From the last renewal of the one to the first of the other."""
        return self.taken(self.standby)[0] - self.taken(self.leader)[-1]

    def assert_only_the_holder_wrote(self) -> None:
        assert oracles.i5_only_the_holder_writes(self.writes()) == []
        assert self.steps(self.standby), "there was nothing to do for the second leader"


@asynccontextmanager
async def race(
    stage: Stage, proxy: Proxy, folder: Path, *, arguments: Sequence[str] = ("-m", "aurora_controller"), **settings: str
) -> AsyncIterator[Race]:
    """Version 1 is served by the leader when the block begins."""
    async with proxy.door("leader") as one, proxy.door("standby") as other:
        leader, standby = (
            Candidate(
                door=door,
                process=ControllerProcess(
                    door, stage.namespace, folder, name=door.name, arguments=arguments, **LEASE, **settings
                ),
            )
            for door in (one, other)
        )
        running = Race(stage, proxy, leader, standby)
        try:
            leader.process.start()
            await running.until_held(leader)
            standby.process.start()
            await running.until_heard(standby)
            await stage.publish(1)
            await stage.serve()
            await stage.until_served(1)
            yield running
        finally:
            leader.process.kill()
            standby.process.kill()


async def test_a_leader_that_is_cut_off_ends_before_another_acts(stage: Stage, proxy: Proxy, tmp_path: Path) -> None:
    async with race(stage, proxy, tmp_path) as running:
        running.leader.door.rules.add(Rule(action=Hang(), times=None))
        running.leader.door.cut()
        await stage.publish(2)

        await stage.until_canary(2)
        assert await running.leader.process.ended() == 1

        assert running.seconds_without_a_holder() < LEASE_SECONDS + POLL_SECONDS + SLACK_SECONDS
        running.assert_only_the_holder_wrote()


async def test_a_leader_that_hears_too_late_that_it_renewed_ends_before_another_acts(
    stage: Stage, proxy: Proxy, tmp_path: Path, dice: random.Random
) -> None:
    """T8: each renewal is performed before the leader gives it up, and answered after."""
    async with race(stage, proxy, tmp_path) as running:
        detour = Detour(seconds=lambda: dice.uniform(1.1, 1.8) * RENEWAL_SECONDS)
        running.leader.door.rules.add(Rule(action=detour, resource="leases", times=None))
        renewed = len(running.taken(running.leader))
        assert await running.leader.process.ended() == 1
        await stage.publish(2)

        await stage.until_canary(2)

        assert len(running.taken(running.leader)) > renewed
        assert running.seconds_without_a_holder() < LEASE_SECONDS + POLL_SECONDS + SLACK_SECONDS
        running.assert_only_the_holder_wrote()


async def test_a_leader_that_wakes_up_replaced_writes_nothing(stage: Stage, proxy: Proxy, tmp_path: Path) -> None:
    """What happened meanwhile waits in its sockets, so it has something to do the moment it wakes."""
    async with race(stage, proxy, tmp_path) as running:
        running.leader.process.send(signal.SIGSTOP)
        await stage.publish(2)
        await stage.until_canary(2)
        before = len(running.steps(running.leader))

        running.leader.process.send(signal.SIGCONT)
        assert await running.leader.process.ended() == 1

        assert len(running.steps(running.leader)) == before
        assert running.seconds_without_a_holder() < LEASE_SECONDS + POLL_SECONDS + SLACK_SECONDS
        running.assert_only_the_holder_wrote()


async def test_a_killed_leader_is_followed_when_its_lease_is_over(stage: Stage, proxy: Proxy, tmp_path: Path) -> None:
    async with race(stage, proxy, tmp_path) as running:
        running.leader.process.kill()
        await stage.publish(2)

        await stage.until_canary(2)

        seconds = running.seconds_without_a_holder()
        assert seconds < LEASE_SECONDS + POLL_SECONDS + SLACK_SECONDS
        assert seconds > LEASE_SECONDS - SLACK_SECONDS, "the Lease was taken while it might still have been held"
        running.assert_only_the_holder_wrote()


async def test_a_leader_that_stops_hands_over_within_a_poll(stage: Stage, proxy: Proxy, tmp_path: Path) -> None:
    async with race(stage, proxy, tmp_path) as running:
        await stage.publish(2)
        stopped_at = time.monotonic()
        running.leader.process.send(signal.SIGTERM)
        assert await running.leader.process.ended() == 0

        await stage.until_canary(2)

        released_at = running.writes(running.leader)[-1].ended
        assert released_at is not None
        assert released_at > stopped_at
        assert running.taken(running.standby)[0] - released_at < POLL_SECONDS + SLACK_SECONDS / 2
        running.assert_only_the_holder_wrote()


async def test_a_blocked_loop_does_not_lose_the_lease(stage: Stage, proxy: Proxy, tmp_path: Path) -> None:
    """T16: the first decision spins, with Python's lock, for longer than the Lease lasts."""
    spin_seconds = LEASE_SECONDS + POLL_SECONDS
    program = ("-c", SPINNING)
    async with race(stage, proxy, tmp_path, arguments=program, spin_seconds=str(spin_seconds)) as running:
        renewals = running.taken(running.leader)

        assert "event loop was blocked" in running.leader.process.log.read_text()
        assert max(later - earlier for earlier, later in itertools.pairwise(renewals)) < LEASE_SECONDS
        assert running.taken(running.standby) == []
        assert oracles.i5_only_the_holder_writes(running.writes()) == []
