"""T13: the program itself, for hours, behind random faults, while users are at work on some 500 objects.

Storms alternate with looks. In a storm faults come one after the other, users act at a steady rate, and now and then
the process is killed. For a look both rest: everything must converge and be quiet (I1), and what has happened since
the last look must be right (I4, I9). Memory, files and threads of each process must stay flat over its life.
"""

import asyncio
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import structlog

from aurora_controller.kube.client import KubeClient
from tests.faults import oracles
from tests.faults.churn import Churn, Place, unsettled
from tests.faults.control_plane import NAMESPACE, ControlPlane
from tests.faults.controllers import ControllerProcess
from tests.faults.mirror import MIRRORED, OURS, Mirror, NotYet
from tests.faults.oracles import Violations
from tests.faults.players import Players
from tests.faults.proxy import Door, Proxy
from tests.faults.scenarios import Stage
from tests.faults.vitals import Life, cpu_seconds, vitals_of
from tests.faults.weather import Weather

NAMESPACES, PLACES = 10, 110
"""A place holds about five objects of ours."""
ACTS_PER_SECOND: Final = 0.5
CONVERGE_SECONDS: Final = 360.0
"""A lost Secret is noticed within 300 s. A trainer that failed is tried again after a backoff of its own."""
CALM_SECONDS: Final = 10.0
"""What is settled for a moment may go on: a version that has just become Ready opens a rollout."""
LEASE: Final[dict[str, Any]] = {"lease_seconds": 15, "renew_deadline_seconds": 10, "retry_seconds": 2}


class Times:
    """All in seconds; short soaks do the same things closer together."""

    def __init__(self, total: float) -> None:
        self.total = total
        self.storm = min(300.0, max(30.0, total / 4))
        self.quiet = min(60.0, max(5.0, total / 30))
        self.between_kills = (0.2 * total, 0.4 * total)
        self.warm_up = min(300.0, max(45.0, total / 12))
        self.sample = min(10.0, max(1.0, total / 100))
        self.line = min(60.0, max(10.0, total / 10))


class Soak:
    def __init__(self, *, times: Times, dice: random.Random, client: KubeClient, mirror: Mirror, proxy: Proxy) -> None:
        self._times = times
        self._dice = dice
        self._client = client
        self._mirror = mirror
        self._proxy = proxy
        self.lives: list[Life] = []
        self.looks: list[str] = []
        self.violations: Violations = []
        self._is_resting = False

    async def run(self, players: Players, door: Door, folder: Path) -> None:
        self._started, self._steps = time.monotonic(), 0
        self._weather = Weather(door, self._dice)
        self._program = ControllerProcess(
            door, "", folder, name="soak", pod_namespace="aurora-system", log_level="warning", **LEASE
        )
        stages = [await Stage.open(self._client, self._mirror, players, "soak") for _ in range(NAMESPACES)]
        # Names of their own: one model of the cluster holds the route of a name.
        self._places = [Place(stage=stages[number % NAMESPACES], model=f"m{number}") for number in range(PLACES)]
        self._churn = Churn(self._places, self._dice)
        async with beside(self._keep_alive()), beside(self._report()):
            for place in self._places:
                await self._churn.fill(place)
            await self._look("filled")
            self._life.began = time.monotonic()
            async with beside(self._sample()):
                while time.monotonic() - self._started < self._times.total:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._times.storm):
                            await self._storm()
                    await self._look("after a storm")
        self._program.kill()

    # -- the process

    @property
    def _life(self) -> Life:
        return self.lives[-1]

    async def _keep_alive(self) -> None:
        """Starts it anew whenever it ends, as a kubelet does. That it ends by itself is a violation."""
        while True:
            self._killed = False
            self._program.start()
            self.lives.append(Life(began=time.monotonic()))
            code = await self._program.ended(self._times.total * 2)
            self._life.ended = time.monotonic()
            if not self._killed:
                self.violations.append(f"the controller ended by itself with {code}")

    async def _kill_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._life.began + self._dice.uniform(*self._times.between_kills) - time.monotonic())
            self._killed = True
            self._program.send(signal.SIGKILL)
            await asyncio.sleep(1.0)

    async def _sample(self) -> None:
        while True:
            await asyncio.sleep(self._times.sample)
            if time.monotonic() < self._life.began + self._times.warm_up:
                continue
            with suppress(OSError):
                now = vitals_of(self._program.pid)
                self._life.samples.append(now)
                if self._is_resting:
                    self._life.at_rest.append(now)

    # -- storms and looks

    async def _storm(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._weather.blow())
            group.create_task(self._kill_now_and_then())
            group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await asyncio.sleep(self._dice.expovariate(ACTS_PER_SECOND))
            await self._churn.act()

    async def _look(self, title: str) -> None:
        began = time.monotonic()
        wrong: Violations = []
        try:
            await self._converge()
        except NotYet as late:
            wrong += [f"I1: {late}", *(f"I1: {what}" for place in self._places for what in unsettled(place))]
        seconds = time.monotonic() - began
        since, before = time.monotonic(), self._versions()
        await asyncio.sleep(self._times.quiet / 2)
        self._is_resting = True
        await asyncio.sleep(self._times.quiet / 2)
        self._is_resting = False
        wrong += oracles.i1_is_at_rest(self._proxy.writes, since)
        if self._versions() != before:
            wrong.append("I1: a resourceVersion moved at rest")
        wrong += oracles.i4_no_twins(self._mirror.history)
        wrong += oracles.i9_conditions_are_honest(self._mirror.history, self._proxy.writes)
        self.looks.append(f"{title}: converged in {seconds:.0f} s, {len(wrong)} violations")
        self.violations += wrong
        say(self.looks[-1])
        for one in wrong[:20]:
            say(f"  {one}")
        self._forget()

    async def _converge(self) -> None:
        """Waits until all is settled, and nothing is written for a while. Raises NotYet."""
        deadline = time.monotonic() + CONVERGE_SECONDS
        while True:
            await self._mirror.until(self._is_settled, seconds=deadline - time.monotonic(), what="convergence")
            since = time.monotonic()
            await asyncio.sleep(CALM_SECONDS)
            writing = oracles.i1_is_at_rest(self._proxy.writes, since)
            if self._is_settled() and not writing:
                return
            if time.monotonic() > deadline:
                raise NotYet(f"calm did not come within {CONVERGE_SECONDS:g} s: {writing}")

    def _is_settled(self) -> bool:
        return not any(unsettled(place) for place in self._places)

    def _versions(self) -> dict[str, str]:
        return {
            obj["metadata"]["uid"]: obj["metadata"]["resourceVersion"]
            for kind in OURS
            for obj in self._mirror.all(kind)
        }

    def _forget(self) -> None:
        """What was looked at is no longer kept: this process, too, must stay small."""
        self._steps += sum(write.call.is_step for write in self._proxy.writes)
        self._proxy.forget()
        self._mirror.forget()

    # -- what is told

    async def _report(self) -> None:
        spent, at = cpu_seconds(), time.monotonic()
        while True:
            await asyncio.sleep(self._times.line)
            total = cpu_seconds()
            share, spent = (total - spent) / (time.monotonic() - at), total
            at = time.monotonic()
            objects = sum(len(self._mirror.all(kind)) for kind in OURS)
            steps = self._steps + sum(write.call.is_step for write in self._proxy.writes)
            line = (
                f"life {len(self.lives)}  {objects} objects  {self._churn.acts.total()} acts  "
                f"{self._weather.seen.total()} faults  {steps} steps"
            )
            with suppress(OSError):
                now = vitals_of(self._program.pid)
                line += f"  {now.rss_mb:.1f} MB  {now.fds} files  {now.threads} threads"
            say(f"{line}  {share:.0%} of a core")

    def conclude(self) -> bool:
        """Prints the table; whether all was well."""
        say("life  minutes  samples         memory (MB)  growth  files at rest  growth  threads")
        for number, life in enumerate(self.lives, start=1):
            minutes = ((life.ended or time.monotonic()) - life.began) / 60
            say(
                f"{number:4}  {minutes:7.1f}  {len(life.samples):7}  "
                f"{_range([one.rss_mb for one in life.samples]):>18}  {_ratio(life.rss_growth):>6}  "
                f"{_range([one.fds for one in life.at_rest]):>13}  {_ratio(life.fds_growth):>6}  {life.most_threads:7}"
            )
            self.violations += [f"{what} in life {number}" for what in life.violations()]
        say(f"acts: {dict(self._churn.acts)}")
        say(f"faults: {dict(self._weather.seen)}")
        say(f"{len(self.looks)} looks: {'; '.join(self.looks)}")
        for one in self.violations:
            say(f"violation: {one}")
        say("all was well" if not self.violations else f"{len(self.violations)} violations")
        return not self.violations


def _range(values: Sequence[float]) -> str:
    return f"{values[0]:.4g} → {values[-1]:.4g}" if values else "–"


def _ratio(growth: float | None) -> str:
    return f"{growth:.2f}" if growth is not None else "–"


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Endless work for the length of the block; what breaks it ends the block."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        yield
        task.cancel()


def say(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)  # noqa: T201


async def main(seconds: float, seed: int) -> bool:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    folder = Path(tempfile.mkdtemp(prefix="aurora-soak-"))
    say(f"AURORA_FAULT_SEED={seed}, {seconds:.0f} s; logs in {folder}")
    plane = ControlPlane(folder)
    try:
        await plane.start()
        async with AsyncExitStack() as stack:
            rest = await stack.enter_async_context(plane.open_rest())
            client = KubeClient(rest, kinds=[*MIRRORED, NAMESPACE])
            mirror = Mirror(plane)
            players = Players(mirror, client)
            await stack.enter_async_context(beside(mirror.run()))
            await stack.enter_async_context(beside(players.run()))
            proxy = await stack.enter_async_context(Proxy(plane))
            door = await stack.enter_async_context(proxy.door("soak"))
            soak = Soak(times=Times(seconds), dice=random.Random(seed), client=client, mirror=mirror, proxy=proxy)
            await soak.run(players, door, folder)
            is_well = soak.conclude()
    finally:
        plane.stop()
    if is_well:
        shutil.rmtree(folder, ignore_errors=True)
    return is_well


if __name__ == "__main__":
    seed = int(os.environ.get("AURORA_FAULT_SEED") or random.SystemRandom().randrange(2**32))
    sys.exit(0 if asyncio.run(main(float(os.environ.get("AURORA_SOAK_SECONDS") or 7200), seed)) else 1)
