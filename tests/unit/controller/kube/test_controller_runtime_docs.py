"""The pages on the runtime name tests that exist: one for every pitfall, and for every behaviour that is ours."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCS = HERE.parents[3] / "docs"
PITFALLS = DOCS / "controller-runtime.md"
BEHAVIOURS = DOCS / "controller-runtime-behaviours.md"
PITFALL = re.compile(r"^\| P(\d+) \|(.*)$", re.MULTILINE)
ROW = re.compile(r"^\| (?!theirs|trap|---)(.*) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/.]*test_\w+\.py)::(\w+)`")


def exists(file: str, test: str) -> bool:
    return bool(re.search(rf"^((async )?def {test}\(|{test} = )", (HERE / file).read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", [PITFALLS, BEHAVIOURS], ids=lambda page: page.stem)
def test_every_test_that_is_named_exists(page: Path) -> None:
    named = NAMED.findall(page.read_text())
    assert named
    assert [f"{file}::{test}" for file, test in named if not exists(file, test)] == []


def test_every_pitfall_is_held_by_a_test() -> None:
    rows = {int(number): NAMED.findall(row) for number, row in PITFALL.findall(PITFALLS.read_text())}
    assert list(rows) == list(range(1, 30))
    assert all(rows.values())


def test_every_behaviour_is_held_by_a_test_or_not_ours_for_a_reason() -> None:
    rows = ROW.findall(BEHAVIOURS.read_text())
    assert len(rows) > 50
    assert [row for row in rows if not NAMED.search(row) and "not ours, because " not in row] == []
