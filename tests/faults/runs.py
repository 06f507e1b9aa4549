"""Runs a scenario with a fault and compares it with clean runs of the same."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, Self

from aurora_controller.kube.client import KubeClient
from tests.faults import oracles
from tests.faults.controllers import controller
from tests.faults.mirror import NotYet, Seen
from tests.faults.oracles import Flat, Violations
from tests.faults.proxy import Door, Proxy, Write
from tests.faults.rules import Call, Rule
from tests.faults.scenarios import Scenario, Stage

QUIET_SECONDS = 1.2
AT_ONCE = 12 // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
"""Runs beside each other in one process: they wait more than they work. All processes share the same cores."""
PATIENCE_SECONDS = 30.0

OpenStage = Callable[[str], Awaitable[Stage]]
Tasks = Mapping[str, "asyncio.Task[Violations]"]
Learn = Callable[[Scenario], Awaitable["Reference"]]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What the cases of a module are run with."""

    proxy: Proxy
    client: KubeClient
    open_stage: OpenStage
    learned: Learn
    seed: int


class Worker(Protocol):
    """A controller at work."""

    async def kill(self) -> None: ...


Employ = Callable[..., AbstractAsyncContextManager[Worker]]
"""Puts a controller behind a door, for a namespace."""


@dataclass(kw_only=True)
class Run:
    """What a scenario came to. ``steps`` are the writes since its preparation was over."""

    end: Flat
    made: Counter[str]
    steps: Sequence[Write]
    violations: Violations = field(default_factory=list)
    fired: Sequence[tuple[Rule, Call]] = ()
    requests: Sequence[tuple[float, Call]] = ()
    """All of them, from the start, with their (monotonic) time."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What clean runs agree on."""

    scenario: Scenario
    end: Flat
    masked: frozenset[str]
    made: Counter[str]
    steps: Sequence[Write]

    def is_missed_by(self, stage: Stage) -> bool:
        """Whether the stage looks otherwise now."""
        return bool(oracles.i2_ends_alike(end_of(stage), self.end, self.masked))

    def differences(self, run: Run, *, writes_per_step: float = 2.0) -> Violations:
        return [
            *run.violations,
            *oracles.i2_ends_alike(run.end, self.end, self.masked),
            *oracles.i3_counts_alike(run.made, self.made),
            *oracles.i11_within_budget(run.steps, reference=len(self.steps), factor=writes_per_step),
        ]


async def run(
    scenario: Scenario,
    proxy: Proxy,
    open_stage: OpenStage,
    *,
    rules: Sequence[Rule] = (),
    standing: Sequence[Rule] = (),
    reference: Reference | None = None,
    employ: Employ = controller,
    **settings: Any,
) -> Run:
    """``rules`` hold from the first step of the story on, ``standing`` ones before the controller's first request.

    A controller that they kill is followed by another. With a ``reference``, the run may take its time to come to the
    same end. ``settings`` may name a clock.
    """
    stage = await open_stage(scenario.name)
    async with AsyncExitStack() as stack:
        crew = await stack.enter_async_context(Crew(proxy, stage, partial(employ, **settings)))
        await crew.hire(standing)
        await scenario.prepare(stage)
        await rest(proxy, stage)
        log = Log.from_now(proxy, stage)
        for rule in rules:
            crew.door.rules.add(rule)
        follow = asyncio.create_task(crew.replace_the_killed())
        violations: Violations = []
        try:
            await scenario.tell(stage)
            await rest(proxy, stage)
            loop = asyncio.get_running_loop()
            deadline = loop.time() + PATIENCE_SECONDS
            while reference is not None and reference.is_missed_by(stage) and loop.time() < deadline:
                await rest(proxy, stage)
        except NotYet as late:
            violations.append(f"I1: {late}")
        finally:
            follow.cancel()
            await asyncio.wait([follow])
        result = _result(log, crew, violations)
        stage.mirror.leave(stage.namespace)
        return result


def _result(log: "Log", crew: "Crew", violations: Violations) -> Run:
    stage, writes, told = log.stage, log.writes, log.told
    if any(write.call.resource == "leases" for write in writes):
        violations = [*violations, *oracles.i5_only_the_holder_writes(replace(log, first_write=0).writes)]
    objects = list(stage.mirror.everything(stage.namespace))
    return Run(
        end=end_of(stage),
        made=oracles.counts(told),
        steps=[write for write in writes if write.call.is_step],
        violations=[*violations, *oracles.always(writes, told), *oracles.i7_every_generation_is_answered(objects)],
        fired=[one for door in crew.doors for one in door.rules.fired],
        requests=[one for door in crew.doors for one in door.requests],
    )


@dataclass(frozen=True, kw_only=True)
class Log:
    """What is written in a stage's namespace, and what others are told of it, from a moment on."""

    proxy: Proxy
    stage: Stage
    first_write: int
    first_told: int

    @classmethod
    def from_now(cls, proxy: Proxy, stage: Stage) -> Self:
        return cls(proxy=proxy, stage=stage, first_write=len(proxy.writes), first_told=len(stage.mirror.history))

    @property
    def writes(self) -> Sequence[Write]:
        return [one for one in self.proxy.writes[self.first_write :] if one.call.namespace == self.stage.namespace]

    @property
    def told(self) -> Sequence[Seen]:
        history = self.stage.mirror.history[self.first_told :]
        return [one for one in history if one.obj["metadata"].get("namespace") == self.stage.namespace]


def end_of(stage: Stage) -> Flat:
    return oracles.flat_end(stage.mirror.everything(stage.namespace), stage.namespace)


class Crew:
    """One controller after the other, in one namespace."""

    def __init__(self, proxy: Proxy, stage: Stage, employ: Employ) -> None:
        self._proxy, self._stage, self._employ = proxy, stage, employ
        self._stack = AsyncExitStack()
        self.doors: list[Door] = []

    @property
    def door(self) -> Door:
        return self.doors[-1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def hire(self, rules: Sequence[Rule] = ()) -> None:
        name = f"{self._stage.namespace}#{len(self.doors) + 1}"
        self.doors.append(await self._stack.enter_async_context(self._proxy.door(name)))
        for rule in rules:
            self.door.rules.add(rule)
        self.running = await self._stack.enter_async_context(self._employ(self.door, self._stage.namespace))

    async def replace_the_killed(self) -> None:
        while True:
            await self.door.killed.wait()
            await self.running.kill()
            await self.hire()


async def rest(proxy: Proxy, stage: Stage, seconds: float = QUIET_SECONDS, patience: float = PATIENCE_SECONDS) -> None:
    """Waits until nothing has been written for a while, beginning now. Raises NotYet."""
    loop = asyncio.get_running_loop()
    began = last = loop.time()
    written = len(proxy.steps(stage.namespace))
    while (left := last + seconds - loop.time()) > 0:
        await asyncio.sleep(min(left, seconds / 8))
        steps = proxy.steps(stage.namespace)
        if len(steps) > written:
            written, last = len(steps), loop.time()
        if loop.time() > began + patience:
            raise NotYet(f"rest in {stage.namespace}: still {steps[-1]}")


async def learn(scenario: Scenario, proxy: Proxy, open_stage: OpenStage, *, runs: int = 3) -> Reference:
    """Clean runs beside each other; of their steps, the longest list."""
    clean = await asyncio.gather(*(run(scenario, proxy, open_stage) for _ in range(runs)))
    wrong = [violation for one in clean for violation in one.violations]
    assert wrong == [], f"{scenario.name} without a fault: {wrong}"
    assert all(one.made == clean[0].made for one in clean), [one.made for one in clean]
    return Reference(
        scenario=scenario,
        end=clean[0].end,
        masked=oracles.varying([one.end for one in clean]),
        made=clean[0].made,
        steps=max((one.steps for one in clean), key=len),
    )


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    rules: Sequence[Rule]


async def compare(
    reference: Reference,
    cases: Sequence[Case],
    proxy: Proxy,
    open_stage: OpenStage,
    *,
    slots: asyncio.Semaphore,
    **settings: Any,
) -> Violations:
    """Runs every case, as ``slots`` allow. Most of the faults must find what they are meant for."""

    async def one(case: Case) -> Run:
        async with slots:
            return await run(reference.scenario, proxy, open_stage, rules=case.rules, reference=reference, **settings)

    results = await asyncio.gather(*map(one, cases))
    wrong: Violations = []
    for case, result in zip(cases, results, strict=True):
        differences = reference.differences(result)
        if differences:
            lines = "\n    ".join(differences[:8])
            steps = "\n      ".join(map(str, result.steps[-40:]))
            wrong.append(f"{case.name}:\n    {lines}\n      {steps}")
    met = sum(bool(result.fired) for result in results)
    if met < 0.6 * len(cases):
        wrong.append(f"only {met} of {len(cases)} faults met a write")
    return wrong
