"""Random faults, one after the other, as a network and a busy API server bring them.

Each is short enough for the Lease, and the calm after it long enough: it is renewed every 2 s, and lost after 10 s
without.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tests.faults.proxy import Door
from tests.faults.rules import Delay, Hang, LoseAnswer, Refuse, Rule, refusal
from tests.faults.streams import after, with_a_reset, with_nothing

_FAULT_SECONDS: Final = (1.0, 5.0)
_CALM_SECONDS: Final = (3.0, 8.0)


class Weather:
    """``blow`` never returns; cancelled, it leaves clear skies. ``seen`` counts what there was."""

    def __init__(self, door: Door, dice: random.Random) -> None:
        self._door = door
        self._dice = dice
        self.seen: Counter[str] = Counter()

    async def blow(self) -> None:
        try:
            while True:
                name = self._dice.choice(sorted(_KINDS))
                self.seen[name] += 1
                for rule in _KINDS[name](self._dice):
                    self._door.rules.add(rule)
                if name in _CUTTING:
                    self._door.cut()
                await asyncio.sleep(self._dice.uniform(*_FAULT_SECONDS))
                self._door.rules.clear()
                await asyncio.sleep(self._dice.uniform(*_CALM_SECONDS))
        finally:
            self._door.rules.clear()


def _lost_answers(dice: random.Random) -> Sequence[Rule]:
    return [Rule(action=LoseAnswer(), steps_only=True, nth=dice.randint(1, 4), times=dice.randint(1, 20))]


def _refused_connections(dice: random.Random) -> Sequence[Rule]:
    return [Rule(action=Refuse(), times=dice.randint(1, 30))]


def _slowness(dice: random.Random) -> Sequence[Rule]:
    return [Rule(action=Delay(seconds=dice.uniform(0.1, 2.0)), times=None)]


def _hanging_writes(dice: random.Random) -> Sequence[Rule]:
    return [Rule(action=Hang(), steps_only=True, times=dice.randint(1, 3))]


def _overload(dice: random.Random) -> Sequence[Rule]:
    return [Rule(action=refusal(429, "TooManyRequests", retry_after_seconds=dice.randint(1, 2)), times=None)]


def _server_errors(dice: random.Random) -> Sequence[Rule]:
    code, reason = dice.choice([(500, "InternalError"), (503, "ServiceUnavailable"), (504, "Timeout")])
    return [Rule(action=refusal(code, reason), writes_only=dice.random() < 0.5, times=None)]


def _conflicts(dice: random.Random) -> Sequence[Rule]:
    return [Rule(action=refusal(409, "Conflict"), steps_only=True, times=dice.randint(1, 10))]


def _expired_watches(dice: random.Random) -> Sequence[Rule]:
    return [Rule(action=refusal(410, "Expired"), verb="watch", times=dice.randint(1, 15))]


def _short_watches(dice: random.Random) -> Sequence[Rule]:
    end = after(dice.randint(0, 5), with_a_reset if dice.random() < 0.5 else with_nothing)
    return [Rule(action=end, verb="watch", times=None)]


def _resets(_: random.Random) -> Sequence[Rule]:
    return []


_KINDS: Final[Mapping[str, Callable[[random.Random], Sequence[Rule]]]] = {
    "lost answers": _lost_answers,
    "refused connections": _refused_connections,
    "slowness": _slowness,
    "hanging writes": _hanging_writes,
    "429": _overload,
    "50x": _server_errors,
    "409": _conflicts,
    "410": _expired_watches,
    "short watches": _short_watches,
    "resets": _resets,
}
_CUTTING: Final = frozenset({"410", "short watches", "resets"})
"""Those begin by breaking every connection, so that watches are opened again."""
