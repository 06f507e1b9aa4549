"""T7: writes are refused, once each or for a long time; the story ends the same, and the object says what is wrong.

A refusal meets every write of a story at its first try, so each step is one that failed. The lasting ones meet one
write of one object; meanwhile its neighbour, of the same kind, comes to its end. Time is fast for the controller, so
seconds below are its own: tens of them pass in one of ours.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT, ML_TRAINING_JOB
from aurora_controller.kube.meta import Kind
from tests.faults import oracles
from tests.faults.clocks import FastClock
from tests.faults.oracles import Violations
from tests.faults.proxy import Write
from tests.faults.rules import WORDS, Action, Call, Hang, Rule, refusal
from tests.faults.runs import Bench, Tasks, run
from tests.faults.scenarios import (
    NAME,
    ROLLOUT,
    SCENARIOS,
    TRAINING,
    TWO_TRAININGS,
    Act,
    Scenario,
    Stage,
    condition,
)

STORIES: Final = {one.name: one for one in (*SCENARIOS, ROLLOUT, TWO_TRAININGS)}


@dataclass(frozen=True, kw_only=True)
class Error:
    action: Action
    verb: str = ""
    """Of the only requests that are ever answered so."""
    factor: float = 10.0
    """Where it takes its time, that passes faster."""
    reason: str = ""
    """What condition and Event give while it lasts; empty for what is nobody's news."""
    condition: str = "Reconciling"
    message: str = WORDS
    lasts_seconds: float = 25.0
    """Long enough to see whether tries are a second apart after ten."""
    is_terminal: bool = False
    says_when: bool = False
    """Each try is a request that is sent again as often as it was told to come back."""
    writes_per_step: float = 2.0
    """What each step may cost that is refused once. Three where the first refusal is told: that takes a write, too."""


ERRORS: Final[Mapping[str, Error]] = {
    "409 Conflict": Error(action=refusal(409, "Conflict")),
    "409 AlreadyExists": Error(action=refusal(409, "AlreadyExists"), verb="create"),
    "429 with Retry-After": Error(
        action=refusal(429, "TooManyRequests", retry_after_seconds=1),
        factor=30,
        reason="TooManyRequests",
        says_when=True,
    ),
    "500": Error(action=refusal(500, "InternalError"), reason="InternalError"),
    "503": Error(action=refusal(503, "ServiceUnavailable"), reason="ServiceUnavailable"),
    "504": Error(action=refusal(504, "Timeout"), reason="Timeout"),
    "no answer": Error(action=Hang(), factor=30, reason="OutcomeUnknown", message="TimeoutError", lasts_seconds=100),
    "403": Error(action=refusal(403, "Forbidden"), reason="Forbidden", writes_per_step=3),
    "422": Error(
        action=refusal(422, "Invalid"),
        reason="Invalid",
        condition="Stalled",
        is_terminal=True,
        writes_per_step=3,
    ),
}
ONCE: Final = (
    *(f"{ROLLOUT.name}: {error}" for error in ERRORS if error not in {"409 AlreadyExists", "no answer", "422"}),
    *(f"{TWO_TRAININGS.name}: {error}" for error in ("409 Conflict", "409 AlreadyExists", "500", "403")),
    *(f"first-start: {error}" for error in ("no answer", "422")),
)
"""Where each try that fails takes long, a short story stands for the long ones."""


async def a_rollout(stage: Stage) -> None:
    await stage.publish(1, model="flats")
    await stage.serve("other", modelName="flats", routing={"host": "other.example"})
    await stage.until(lambda: condition(stage.status(ML_DEPLOYMENT, "other"), "Ready") == "True", "the neighbour")


async def a_training(stage: Stage) -> None:
    await stage.train("other", modelName="flats")
    await stage.until(
        lambda: condition(stage.status(ML_TRAINING_JOB, "other"), "Succeeded") == "True", "the neighbour's training"
    )


@dataclass(frozen=True, kw_only=True)
class Target:
    """A write that is refused for as long as it takes, and what its neighbour does meanwhile."""

    story: str
    verb: str
    resource: str
    subresource: str = ""
    kind: Kind = ML_DEPLOYMENT
    name: str = NAME
    """Whose write it is. The names of its children begin so, and no neighbour's do."""
    neighbour: Act = a_rollout

    @property
    def can_tell(self) -> bool:
        return self.subresource != "status"

    def beside(self, others: Act) -> Scenario:
        """The story, while something else goes on."""

        async def tell(stage: Stage) -> None:
            story = asyncio.create_task(STORIES[self.story].tell(stage))
            try:
                await others(stage)
                await story
            finally:
                story.cancel()

        return replace(STORIES[self.story], name=f"{self.story}-beside", tell=tell)

    def is_met_by(self, call: Call) -> bool:
        kind_of_write = (call.verb, call.resource, call.subresource)
        return kind_of_write == (self.verb, self.resource, self.subresource) and call.name.startswith(self.name)


TARGETS: Final[Mapping[str, Target]] = {
    "create of a Job": Target(
        story="training",
        verb="create",
        resource="jobs",
        kind=ML_TRAINING_JOB,
        name=TRAINING,
        neighbour=a_training,
    ),
    "apply of a Deployment": Target(story="first-start", verb="apply", resource="deployments"),
    "status of an MLDeployment": Target(
        story="first-start", verb="patch", resource="mldeployments", subresource="status"
    ),
}
LASTING: Final = (
    *(f"apply of a Deployment: {error}" for error in ERRORS if error not in {"409 AlreadyExists", "503", "504"}),
    *(f"create of a Job: {error}" for error in ("409 AlreadyExists", "403")),
    *(f"status of an MLDeployment: {error}" for error in ("409 Conflict", "403")),
)
"""503 and 504 without a Retry-After are as 500 is. How a failure is told does not depend on what failed."""
CASES: Final = sorted((*ONCE, *LASTING), key=lambda case: not case.endswith("422"))
"""Those that wait longest, for five minutes of the controller's, begin first."""
NEWS: Final = 4
"""Tries that news of the object or its children brings."""


async def meet(case: str, bench: Bench) -> Violations:
    what, _, error = case.partition(": ")
    if what in TARGETS:
        return await meet_lasting(TARGETS[what], ERRORS[error], bench)
    return await meet_once(STORIES[what], ERRORS[error], bench)


@pytest.mark.parametrize("case", ONCE)
async def test_a_story_ends_the_same_with_each_write_refused_once(case: str, runs: Tasks) -> None:
    assert await runs[case] == []


@pytest.mark.parametrize("case", LASTING)
async def test_a_lasting_refusal_is_told_and_tried_ever_more_seldom_while_others_go_on(case: str, runs: Tasks) -> None:
    assert await runs[case] == []


async def meet_once(story: Scenario, error: Error, bench: Bench) -> Violations:
    reference, clock = await bench.learned(story), FastClock(error.factor)
    refused = Rule(action=error.action, verb=error.verb, steps_only=True, each=True, every=2, times=None)
    result = await run(story, bench.proxy, bench.open_stage, rules=[refused], reference=reference, clock=clock)
    concerned = sum(refused.is_about(step.call) for step in reference.steps)
    # Fewer than without a fault: what a retry finds further on is written at once.
    is_met = len(result.fired) >= 0.6 * concerned
    return [
        *reference.differences(result, writes_per_step=error.writes_per_step),
        *([] if is_met else [f"only {len(result.fired)} refusals"]),
    ]


async def meet_lasting(target: Target, error: Error, bench: Bench) -> Violations:
    proxy, clock = bench.proxy, FastClock(error.factor)
    reference = await bench.learned(target.beside(target.neighbour))
    call = next(step.call for step in reference.steps if target.is_met_by(step.call))
    found: Violations = []

    async def while_refused(stage: Stage) -> None:
        refused = proxy.rules.add(
            Rule(
                action=error.action,
                verb=call.verb,
                resource=call.resource,
                subresource=call.subresource,
                name=call.name,
                namespace=stage.namespace,
                times=None,
            )
        )

        def tries() -> list[float]:
            return [one.began * error.factor for one in proxy.writes if refused.is_about(one.call)]

        try:
            fewest = 1 if error.is_terminal else 2
            await stage.until(lambda: len(tries()) >= fewest, f"{fewest} tries")
            await target.neighbour(stage)
            await clock.sleep(error.lasts_seconds)
            if error.reason and target.can_tell:
                await stage.until(lambda: tells(stage.status(target.kind, target.name), error), "the condition")
                await stage.until(lambda: any(is_event(write, stage, error) for write in proxy.writes), "the Event")
        finally:
            proxy.rules.remove(refused)
        until = time.monotonic() * error.factor
        found.extend(oracles.i11_a_failing_key_slows_down(tries(), until=until))
        if not error.says_when:
            found.extend(oracles.i11_a_failing_key_backs_off(tries(), until=until, spare=NEWS))
        # Time brings none within five minutes.
        if error.is_terminal and len(tries()) > 1 + NEWS:
            found.append(f"{len(tries())} tries of what is invalid")

    story = target.beside(while_refused)
    result = await run(story, proxy, bench.open_stage, reference=reference, clock=clock)
    # How often the refused one was tried has been counted.
    performed = replace(result, steps=[write for write in result.steps if write.is_done])
    return [*found, *reference.differences(performed)]


def tells(status: Mapping[str, Any], error: Error) -> bool:
    return any(
        (one["type"], one["status"], one["reason"]) == (error.condition, "True", error.reason)
        and error.message in one["message"]
        for one in status.get("conditions") or ()
    )


def is_event(write: Write, stage: Stage, error: Error) -> bool:
    return (
        write.call.resource == "events"
        and write.call.namespace == stage.namespace
        and write.is_done
        and write.body.get("reason") == error.reason
        and error.message in write.body.get("note", "")
    )
