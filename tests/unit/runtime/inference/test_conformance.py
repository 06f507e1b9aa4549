"""The conformance kit, black-box against a process of ours: every check applies and passes."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from aurora_runtime.store.model_store import ModelStore
from tests.conformance.checks import Check
from tests.conformance.kit import CHECKS
from tests.conformance.target import Example, Target
from tests.unit.runtime.inference.live import a_live_server
from tests.unit.runtime.inference.models import KEY, MODEL, a_regressor, some_rows


@pytest.fixture(scope="module")
def target(store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    keys = tmp_path_factory.mktemp("keys")
    (keys / "default").write_text(KEY)
    rows = some_rows(5)
    example = Example(tensor="input", rows=rows.tolist(), predictions=a_regressor().predict(rows).tolist())
    with a_live_server(store.root, "--api-keys-dir", str(keys)) as server:
        yield Target(url=server.url, model=MODEL, example=example, headers={"X-API-Key": KEY})


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.group}: {check.promise}")
def test_the_server_conforms(target: Target, check: Check) -> None:
    check.run(target)


def test_the_kit_tells_each_check_and_a_score_on_the_command_line(target: Target, tmp_path: Path) -> None:
    example = tmp_path / "example.json"
    example.write_text(json.dumps(vars(target.example)))
    told = subprocess.run(
        [sys.executable, "-m", "tests.conformance", "--url", target.url, "--model", MODEL, "--example", str(example)],
        capture_output=True,
        text=True,
        check=False,
    )
    *lines, score = told.stdout.splitlines()
    assert len(lines) == len(CHECKS)
    # Without a key there are no predictions: the kit must say so, and not fall silent.
    assert told.returncode == 1
    assert any(line.startswith("FAIL  inference: flat data") and "401" in line for line in lines)
    assert "pass  discovery: GET /v2/health/live is 200" in lines
    assert score.split(", ")[-1].startswith("all ")


def test_make_asks_any_server(target: Target, tmp_path: Path) -> None:
    example = tmp_path / "example.json"
    example.write_text(json.dumps(vars(target.example)))
    told = subprocess.run(
        [
            *("make", "conformance", f"URL={target.url}", f"MODEL={MODEL}", f"EXAMPLE={example}", f"KEY={KEY}"),
            *("--old-file=setup", f"VENV={Path(sys.executable).parent}"),  # the environment that this test runs in
        ],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[-1].endswith(f"all {len(CHECKS)}/{len(CHECKS)}")
