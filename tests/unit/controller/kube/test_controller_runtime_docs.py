"""The page on the runtime names tests that exist, and a test for every pitfall."""

import re
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parents[3] / "docs" / "controller-runtime.md"
ROW = re.compile(r"^\| P(\d+) \|(.*)$", re.MULTILINE)
NAMED = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def test_every_pitfall_is_held_by_a_test_that_exists() -> None:
    rows = {int(number): NAMED.findall(row) for number, row in ROW.findall(PAGE.read_text())}
    assert list(rows) == list(range(1, 30))
    assert all(rows.values())
    missing = [
        f"{file}::{test}"
        for named in rows.values()
        for file, test in named
        if not re.search(rf"^(async )?def {test}\(", (HERE / file).read_text(), re.MULTILINE)
    ]
    assert missing == []
