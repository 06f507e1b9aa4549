"""T6: whatever goes wrong with lists and watches, the rollout ends the same, and the server is not asked in a hot loop.

Each fault meets the first watches of every collection, and one that can last meets those of two collections that the
story does not need for as long as it goes on. Time is ten times as fast for the controller: its deadlines and pauses
are a tenth of production's, so what is counted here in ten seconds is what it would ask for in a hundred.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import pytest

from aurora_controller.api.v1alpha1.kinds import ML_DEPLOYMENT
from tests.faults import streams
from tests.faults.clocks import FastClock
from tests.faults.oracles import Violations
from tests.faults.rules import Action, Answer, Reword, Rule, refusal
from tests.faults.runs import Bench, Run, Tasks, run
from tests.faults.scenarios import NAME, ROLLOUT, Scenario, Stage
from tests.faults.streams import after, each, for_seconds

MOST_REQUESTS: Final = 30
SECONDS_PER_REQUEST: Final = 5.0
"""So many lists and watches of one collection, and one more for each of so many seconds. A hot loop makes hundreds."""
IDLE: Final = ("jobs", "mltrainingjobs")
HTML: Final = Answer(status=502, body=b"<html>Bad Gateway</html>", headers={"Content-Type": "text/html"})
EMPTY: Final = Answer(status=200, headers={"Content-Type": "application/json"})


@dataclass(frozen=True, kw_only=True)
class Fault:
    rules: Sequence[Rule] = ()
    interrupts: bool = True
    """Whether the controller has to ask again."""
    factor: float = 10.0
    must_meet: int | None = None
    """Index of the rule that the fault is about, where others only lead to it."""
    jumps: bool = False


def first_watches(*actions: Action) -> list[Rule]:
    """What happens to the first, second, … watch of each collection."""
    return [
        Rule(action=action, verb="watch", each=True, nth=number, times=1)
        for number, action in enumerate(actions, start=1)
    ]


def lasting(action: Action) -> list[Rule]:
    """Two collections can be watched once and, soon, never again."""
    return [
        rule
        for resource in IDLE
        for rule in (
            Rule(action=for_seconds(0.2), verb="watch", resource=resource),
            Rule(action=action, verb="watch", resource=resource, nth=2, times=None),
        )
    ]


def when_opened(action: Action) -> Fault:
    ends = [after(count, streams.with_nothing) for count in (4, 2)]
    return Fault(rules=[*lasting(action), *first_watches(action, ends[0], action, ends[1], action)])


def when_open(last: streams.Last) -> Fault:
    return Fault(rules=first_watches(*(after(count, last) for count in (0, 3, 2, 1))))


def throughout(action: Action) -> Fault:
    return Fault(rules=[Rule(action=action, verb="watch", times=None)], interrupts=False)


def opaque() -> Reword:
    """A server whose versions are no numbers."""
    return Reword(
        url=lambda url: re.sub(r"(resourceVersion=)v-", r"\1", url),
        body=lambda body: re.sub(rb'("resourceVersion":")v-', rb"\1", body),
        answer=lambda body: re.sub(rb'("resourceVersion":")(?=[0-9])', rb"\1v-", body),
    )


def expiring_page() -> Fault:
    """Pages of one object, the second of which is always gone."""
    one_each = Reword(url=lambda url: re.sub(r"limit=\d+", "limit=1", url))
    return Fault(
        rules=[
            Rule(action=refusal(410, "Expired"), verb="list", parameter="continue", times=None),
            Rule(action=refusal(422, "Invalid"), verb="watch", parameter="sendInitialEvents", times=None),
            Rule(action=refusal(410, "Expired"), verb="list", parameter="resourceVersion", times=None),
            Rule(action=one_each, verb="list", parameter="limit", times=None),
            *first_watches(*(after(count, streams.with_error(410, "Expired")) for count in (8, 8, 8))),
        ],
        must_meet=0,
    )


CASES: Final[Mapping[str, Fault]] = {
    "410 as a status": when_opened(refusal(410, "Expired")),
    "410 as an event": when_open(streams.with_error(410, "Expired")),
    "410 in the middle of pages": expiring_page(),
    "429 as an event": when_open(streams.with_error(429, "TooManyRequests")),
    "500 as an event": when_open(streams.with_error(500, "InternalError")),
    "an end every 50 ms": Fault(
        rules=[*lasting(for_seconds(0.05)), *first_watches(*[for_seconds(0.05)] * 5)],
        factor=3,  # a watch of less than a second is what is guarded against, and this loop is a busy one
    ),
    "an empty 200": when_opened(EMPTY),
    "a page of a proxy": when_opened(HTML),
    "a half-open connection": Fault(rules=first_watches(*map(streams.then_silence, (0, 3, 5))), factor=50),
    "a reset within a chunk": when_open(streams.with_a_reset),
    "half a line": when_open(streams.with_a_part),
    "a line that is not JSON": when_open(streams.with_no_json),
    "a line of 5 MiB": throughout(streams.with_a_long_line(3)),
    "every event twice": throughout(each(streams.twice)),
    "lost deletions": Fault(rules=[Rule(action=streams.losing_deletions(), verb="watch", times=None)]),
    "events nobody knows": throughout(each(streams.among_strangers)),
    "no bookmarks": throughout(each(streams.without_bookmarks)),
    "no WatchList": Fault(
        rules=[Rule(action=refusal(422, "Invalid"), verb="watch", parameter="sendInitialEvents", times=None)]
    ),
    "a WatchList that never says it is complete": Fault(
        rules=[Rule(action=each(streams.without_the_end_of_the_state), verb="watch", times=None)], factor=30
    ),
    "versions that are no numbers": Fault(rules=[Rule(action=opaque(), times=None)], interrupts=False),
    "a clock that jumps an hour": Fault(jumps=True, interrupts=False),
}


async def meet(name: str, bench: Bench) -> Violations:
    fault, reference = CASES[name], await bench.learned(ROLLOUT)
    clock = FastClock(fault.factor)
    story = among_jumps_of(clock) if fault.jumps else ROLLOUT
    result = await run(story, bench.proxy, bench.open_stage, standing=fault.rules, reference=reference, clock=clock)
    return [*reference.differences(result), *met(fault, result), *within_bounds(fault, result)]


@pytest.mark.parametrize("name", CASES)
async def test_a_rollout_ends_the_same_with_bounded_requests_in_spite_of(name: str, runs: Tasks) -> None:
    assert await runs[name] == []


def among_jumps_of(clock: FastClock) -> Scenario:
    """It is an hour ahead from the canary on until stable leaves, so every moment of the promotion is in the future."""

    async def jump(stage: Stage) -> None:
        await stage.until_canary(2)
        clock.ahead = timedelta(hours=1)
        await stage.until(lambda: bool(stage.status(ML_DEPLOYMENT, NAME).get("previous")), "a revision that leaves")
        clock.ahead = timedelta()

    async def tell(stage: Stage) -> None:
        jumping = asyncio.create_task(jump(stage))
        try:
            await ROLLOUT.tell(stage)
            await jumping
        finally:
            jumping.cancel()

    return replace(ROLLOUT, tell=tell)


def met(fault: Fault, result: Run) -> Violations:
    fired = [rule for rule, _ in result.fired]
    expected = fault.rules if fault.must_meet is None else fault.rules[fault.must_meet :][:1]
    return [] if not expected or any(rule in fired for rule in expected) else ["the fault met nothing"]


def within_bounds(fault: Fault, result: Run) -> Violations:
    asked = Counter(call.resource for _, call in result.requests if call.verb in {"list", "watch"})
    seconds = (result.requests[-1][0] - result.requests[0][0]) * fault.factor
    most = MOST_REQUESTS + seconds / SECONDS_PER_REQUEST
    found = [f"{count} lists and watches of {what} in {seconds:.0f} s" for what, count in asked.items() if count > most]
    if fault.interrupts and max(asked.values()) < 2:
        found.append("the controller never had to ask again")
    return found
