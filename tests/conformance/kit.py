"""All checks, in the order in which they are shown; and what they add up to."""

from collections.abc import Iterable

from tests.conformance import binary, discovery, errors, inference, transfer
from tests.conformance.checks import CHECKS, Group, Outcome, run

__all__ = ["CHECKS", "MODULES", "line", "run", "scores"]
MODULES = (discovery, inference, errors, binary, transfer)


def line(outcome: Outcome) -> str:
    """One line for one check."""
    word = {True: "pass", False: "FAIL", None: "n/a "}[outcome.passed]
    return f"{word}  {outcome.check.group}: {outcome.check.promise}" + (
        f" ({outcome.reason})" if outcome.reason else ""
    )


def scores(outcomes: Iterable[Outcome]) -> dict[str, tuple[int, int]]:
    """Group → (passed, applicable); ``all`` is their sum."""
    found = {group.value: [0, 0] for group in Group}
    for outcome in outcomes:
        if outcome.passed is not None:
            found[outcome.check.group][0] += outcome.passed
            found[outcome.check.group][1] += 1
    total = tuple(map(sum, zip(*found.values(), strict=True)))
    return {name: (passed, asked) for name, (passed, asked) in found.items()} | {"all": (total[0], total[1])}
