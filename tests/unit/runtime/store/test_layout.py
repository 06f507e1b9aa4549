from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aurora_runtime.store import layout
from aurora_runtime.store.errors import UnsafePath

ROOT = Path("/store")
NAMES = st.text(max_size=80) | st.from_regex(r"[a-z.\-/]{0,10}", fullmatch=True)


def test_a_version_lies_under_its_model() -> None:
    assert layout.version_folder(ROOT, "housing", 7) == Path("/store/housing/7")


def test_a_staged_version_tells_its_run() -> None:
    folder = layout.staged_version_folder(ROOT, "housing", "job-uid-1-abc", "f00d")
    assert folder.parent == Path("/store/housing/.staging")
    assert layout.run_id_of_staged(folder.name) == "job-uid-1-abc"


@given(NAMES)
@example("..")
@example(".staging")
@example("a/../b")
@example("housing\n")
@example("")
def test_a_model_folder_lies_directly_in_the_store_or_is_refused(name: str) -> None:
    try:
        folder = layout.model_folder(ROOT, name)
    except UnsafePath:
        return
    assert folder.parent == ROOT
    assert folder.name == name
    assert not name.startswith(".")


@given(NAMES)
@example("..")
@example("x\0y")
@example("model.onnx\n")
def test_a_file_lies_directly_in_its_folder_or_is_refused(name: str) -> None:
    folder = ROOT / "housing" / "1"
    try:
        path = layout.file_in(folder, name)
    except UnsafePath:
        return
    assert path.parent == folder
    assert path.name == name


@given(NAMES)
@example("../../../etc")
@example("a/b")
def test_a_staged_folder_lies_in_the_staging_folder_or_is_refused(run_id: str) -> None:
    try:
        folder = layout.staged_version_folder(ROOT, "housing", run_id, "f00d")
    except UnsafePath:
        return
    assert folder.parent == ROOT / "housing" / ".staging"


@pytest.mark.parametrize("version", [0, -1, 10**9])
def test_a_version_number_out_of_range_is_refused(version: int) -> None:
    with pytest.raises(UnsafePath, match="version number"):
        layout.version_folder(ROOT, "housing", version)


@pytest.mark.parametrize(
    ("name", "version"),
    [("1", 1), ("42", 42), ("01", None), ("0", None), ("-1", None), ("1.tmp", None), (".staging", None), ("١", None)],
)
def test_only_plain_numbers_are_versions(name: str, version: int | None) -> None:
    assert layout.version_of(name) == version
