"""What a check is, and how all of them are run."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.conformance.target import Failed, NotApplicable, Target


class Group(StrEnum):
    """What checks are about, and so what a score means."""

    DISCOVERY = "discovery"
    INFERENCE = "inference"
    ERRORS = "errors"
    BINARY = "binary tensors"
    COMPRESSION = "compression"
    HTTP = "HTTP"


@dataclass(frozen=True)
class Check:
    """One promise, and the function that raises Failed when a server breaks it."""

    group: Group
    promise: str
    run: Callable[[Target], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a check: None for ``passed`` means that it did not apply."""

    check: Check
    passed: bool | None
    reason: str = ""


CHECKS: Final[list[Check]] = []


def check(group: Group, promise: str) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    """Adds a function to the kit. The promise is a sentence that holds for a server that conforms."""

    def add(function: Callable[[Target], None]) -> Callable[[Target], None]:
        CHECKS.append(Check(group, promise, function))
        return function

    return add


def that(claim: bool, reason: str) -> None:
    """Raises Failed with the reason unless the claim holds."""
    if not claim:
        raise Failed(reason)


def run(target: Target, groups: Collection[Group] = tuple(Group)) -> Iterator[Outcome]:
    """One outcome for each check of these groups, in order."""
    for each in CHECKS:
        if each.group not in groups:
            continue
        try:
            each.run(target)
        except Failed as failure:
            yield Outcome(each, False, str(failure))
        except NotApplicable as reason:
            yield Outcome(each, None, str(reason))
        except OSError as error:
            yield Outcome(each, False, f"no HTTP response: {type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001  a response of a form that nobody expects is a failure too
            yield Outcome(each, False, f"unexpected form of a response: {type(error).__name__}: {error}")
        else:
            yield Outcome(each, True)
