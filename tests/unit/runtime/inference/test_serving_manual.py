"""The examples of docs/serving.md do what the manual says, with a model that our own trainer has made."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.conformance.checks import Group
from tests.conformance.kit import run, scores
from tests.conformance.target import Example, Target
from tests.unit.runtime.inference.live import LiveServer, a_live_server
from tests.unit.runtime.inference.processes import SOURCES

MODEL = "california-housing"
MANUAL = Path(__file__).parents[4] / "docs" / "serving.md"
EXAMPLES = MANUAL.read_text().partition("### By example\n")[2].partition("### Compression\n")[0]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    store = tmp_path_factory.mktemp("store")
    flags = ("--store", str(store), "--model", MODEL, "--dataset", "synthetic", "--algorithm", "ridge")
    environment = {**os.environ, "PYTHONPATH": SOURCES}
    subprocess.run(
        [sys.executable, "-m", "aurora_runtime.trainer", *flags], env=environment, check=True, capture_output=True
    )
    with a_live_server(store, model=MODEL) as running:
        yield running


@pytest.fixture
def environment(server: LiveServer) -> dict[str, str]:
    return {**os.environ, "URL": f"{server.url}/v2/models/{MODEL}"}


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", EXAMPLES, re.DOTALL)
    assert found is not None
    return found[1]


def test_every_example_for_the_shell_answers_as_its_comment_says(environment: dict[str, str], tmp_path: Path) -> None:
    one_answer_a_line = 'set -euo pipefail; curl() { command curl "$@"; echo; }\n'
    done = subprocess.run(
        ["bash", "-c", one_answer_a_line + block("sh")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    metadata, golden, two, packed, length, number, error = [line for line in done.stdout.splitlines() if line]
    assert f'"name":"{MODEL}"' in metadata
    assert '"alias":"latest"' in metadata
    assert golden == packed
    assert '"prediction","shape":[1]' in golden
    assert '"id":"two"' in two
    assert '"shape":[2]' in two
    assert length.lower().startswith("inference-header-content-length: ")
    assert 0 < float(number) < 10
    assert error == ('{"error":"input \'input\': shape: expected [rows, 8], given [1, 7]"}')


def test_the_example_for_python_reads_as_many_predictions_as_it_sent_rows(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block("python")], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout == "[1000] (1000,)\n"


def test_the_document_of_a_trained_model_is_valid_and_its_example_true(server: LiveServer) -> None:
    target = Target(url=server.url, model=MODEL, example=Example(tensor="input", rows=[], predictions=[]))
    document = target.get(f"{target.path}/openapi.json").ok()
    OpenAPIV31SpecValidator(document).validate()
    infer = document["paths"][f"{target.path}/infer"]["post"]
    example = infer["requestBody"]["content"]["application/json"]["examples"]["golden"]["value"]
    expected = infer["responses"]["200"]["content"]["application/json"]["examples"]["golden"]["value"]
    (output,) = target.infer(example).ok()["outputs"]
    assert output["data"] == [pytest.approx(value, rel=1e-4) for value in expected["outputs"][0]["data"]]
    assert " in training; values outside are answered and flagged" in str(document["components"])


def test_a_trained_model_in_onnx_conforms_too(server: LiveServer) -> None:
    rows = [[float(2 + row + column) for column in range(8)] for row in range(3)]
    unknown = Target(
        url=server.url, model=MODEL, example=Example(tensor="input", rows=rows, predictions=[0.0, 0.0, 0.0])
    )
    answered = unknown.infer(unknown.example.request(0, 1, 2)).ok()["outputs"][0]["data"]
    target = Target(
        url=server.url, model=MODEL, example=Example(tensor="input", rows=rows, predictions=answered, tolerance=1e-4)
    )
    outcomes = list(run(target))
    assert [(outcome.check.promise, outcome.reason) for outcome in outcomes if not outcome.passed] == []
    assert set(scores(outcomes)) == {*Group, "all"}
