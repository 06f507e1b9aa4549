"""Libraries other than at training: a warning, or a refusal before anything is deserialised."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from aurora_runtime.inference.errors import LibrariesDiffer
from aurora_runtime.inference.libraries import (
    LibraryPolicy,
    check_libraries,
    differences,
    is_refused,
    warn_of_libraries,
)
from aurora_runtime.store.model_store import ModelStore
from tests.unit.runtime.inference.models import MODEL, a_regressor, publish

Found = dict[str, tuple[str, str]]
MINOR: Found = {"scikit-learn": ("1.6.1", "1.7.0")}
PATCH: Found = {"scikit-learn": ("1.6.1", "1.6.2")}
NUMPY: Found = {"numpy": ("2.1.0", "2.2.0")}


@pytest.mark.parametrize(
    ("found", "policy", "refused"),
    [
        pytest.param(MINOR, "auto", True, id="a pickle of another minor version"),
        pytest.param(PATCH, "auto", False, id="a pickle of another patch"),
        pytest.param(NUMPY, "auto", False, id="a pickle and another numpy"),
        pytest.param({"onnxruntime": ("1.20.0", "1.21.0")}, "auto", False, id="a graph and another runtime"),
        pytest.param(MINOR, "warn", False, id="whoever asks for a warning gets one"),
        pytest.param(PATCH, "refuse", True, id="strict"),
        pytest.param({}, "refuse", False, id="nothing differs"),
    ],
)
def test_what_is_refused(found: Found, policy: LibraryPolicy, refused: bool) -> None:
    assert is_refused(found, policy) is refused


def test_a_library_that_is_missing_here_differs_and_one_that_was_not_recorded_does_not() -> None:
    assert differences({"scipy": "1.0", "numpy": "2.1"}, {"numpy": "2.1", "onnx": "1"}) == {
        "scipy": ("1.0", "not installed")
    }


def test_a_refusal_names_library_and_both_versions(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)
    descriptor = publish(store, a_regressor(), libraries={"scikit-learn": "0.24.2"}).descriptor
    with pytest.raises(LibrariesDiffer, match=r"scikit-learn 0\.24\.2 at training and \d"):
        check_libraries(descriptor, policy="auto")


def test_a_warning_names_library_and_both_versions(tmp_path: Path) -> None:
    store = ModelStore(root=tmp_path)
    descriptor = publish(store, a_regressor(), model=MODEL, libraries={"numpy": "1.0"}).descriptor
    with capture_logs() as logs:
        warn_of_libraries(descriptor)
    (line,) = logs
    assert (line["log_level"], line["library"], line["trained_with"]) == ("warning", "numpy", "1.0")
