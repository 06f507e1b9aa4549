import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aurora_runtime.contract import TrainingInputs
from aurora_runtime.store.descriptor import SCHEMA_VERSION, Descriptor, StoredFile
from aurora_runtime.store.digest import digest_of
from tests.unit.runtime.store.builders import a_draft

MODEL_FILE = StoredFile(name="model.onnx", sha256=digest_of(b"m"), size_bytes=1)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NUMBERS | st.text(max_size=20)


def a_descriptor(**changes: Any) -> Descriptor:
    return Descriptor.of(a_draft(**changes), [MODEL_FILE])


def altered(descriptor: Descriptor, **changes: Any) -> bytes:
    return json.dumps({**json.loads(descriptor.to_bytes()), **changes}).encode()


@given(
    hyperparameters=st.dictionaries(st.text(max_size=10), JSON_VALUES | st.lists(JSON_VALUES, max_size=3), max_size=5),
    metrics=st.dictionaries(st.text(max_size=10), NUMBERS, max_size=5),
    run_id=st.text(max_size=20),
)
def test_what_is_written_is_read_back(hyperparameters: dict[str, Any], metrics: dict[str, float], run_id: str) -> None:
    descriptor = a_descriptor(hyperparameters=hyperparameters, metrics={"r2": 0.5, **metrics}, run_id=run_id)
    assert Descriptor.from_bytes(descriptor.to_bytes()) == descriptor


def test_equal_descriptors_have_equal_bytes_whatever_the_order_they_were_told_in() -> None:
    forth, back = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert a_descriptor(hyperparameters=forth).to_bytes() == a_descriptor(hyperparameters=back).to_bytes()


def test_files_are_listed_by_name() -> None:
    files = [StoredFile(name="report.html", sha256=digest_of(b"r"), size_bytes=2), MODEL_FILE]
    descriptor = Descriptor.of(a_draft(), files)
    assert [file.name for file in descriptor.files] == ["model.onnx", "report.html"]
    assert descriptor.size_bytes == 3


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_json_has_no_word_for_are_refused(value: float) -> None:
    with pytest.raises(ValidationError):
        a_draft(metrics={"r2": value})


def test_a_value_deep_inside_that_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        a_descriptor(hyperparameters={"alpha": math.nan}).to_bytes()


def test_an_unknown_field_of_a_newer_release_is_read_over() -> None:
    assert Descriptor.from_bytes(altered(a_descriptor(), signedBy="somebody")) == a_descriptor()


def test_a_field_that_an_older_release_did_not_write_gets_its_default() -> None:
    content = json.loads(a_descriptor().to_bytes())
    del content["predictionBuckets"]
    del content["inputs"]["data"]
    assert Descriptor.from_bytes(json.dumps(content).encode()).inputs == TrainingInputs(
        dataset="synthetic", algorithm="random_forest"
    )


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "Expecting value", id="empty"),
        pytest.param(b"\xff\xfe", "not JSON", id="not text"),
        pytest.param(b"[" * 200_000, "not JSON", id="nested without end"),
        pytest.param(b"[]", "content", id="not an object"),
        pytest.param(b"{}", "model", id="fields missing"),
        pytest.param(
            altered(a_descriptor(), schemaVersion=SCHEMA_VERSION + 1), "newer than", id="of a later generation"
        ),
        pytest.param(altered(a_descriptor(), files=[]), "files", id="no files"),
        pytest.param(altered(a_descriptor(), modelFile="other.onnx"), "not among the files", id="no model file"),
        pytest.param(altered(a_descriptor(), primaryMetric="f1"), "not among the metrics", id="unknown metric"),
        pytest.param(altered(a_descriptor(), version=0), "version", id="version zero"),
    ],
)
def test_what_is_no_descriptor_is_refused_with_the_reason(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Descriptor.from_bytes(data)


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "a/b", "", ".", "..", "descriptor.json", ".hidden"])
def test_a_descriptor_cannot_name_a_file_elsewhere(name: str) -> None:
    sound = {"name": MODEL_FILE.name, "sha256": MODEL_FILE.sha256, "sizeBytes": 1}
    with pytest.raises(ValueError, match=r"files\.1\.name"):
        Descriptor.from_bytes(altered(a_descriptor(), files=[sound, {**sound, "name": name}]))


def test_a_file_cannot_be_listed_twice() -> None:
    with pytest.raises(ValidationError, match="twice"):
        Descriptor.of(a_draft(), [MODEL_FILE, MODEL_FILE])


def test_facts_carry_the_digest_and_at_most_twenty_inputs() -> None:
    tensor = a_draft().signature.inputs[0]
    many = a_draft().signature.model_copy(
        update={"inputs": [tensor.model_copy(update={"name": f"f{number}"}) for number in range(30)]}
    )
    facts = a_descriptor(signature=many).facts(digest_of(b"d"))
    assert facts.digest == digest_of(b"d")
    assert facts.feature_count == 30
    assert len(facts.inputs) == 20
    assert facts.inputs[0].name == "f0"
    assert facts.size_bytes == 1
