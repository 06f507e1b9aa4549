"""A file of trees is data. What is none, or no such model, is refused by name."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor

from aurora_runtime.store.errors import BrokenModel
from aurora_runtime.store.trees import native
from aurora_runtime.store.trees.model_file import TreesEngine
from aurora_runtime.trainer.conversion.trees import to_trees

PATH = Path("/models/m/1/model.npz")
ROWS = np.random.default_rng(4).normal(size=(60, 3))


def a_regressor() -> bytes:
    return to_trees(RandomForestRegressor(3, random_state=0).fit(ROWS, ROWS[:, 0])).to_bytes()


def a_classifier() -> bytes:
    return to_trees(GradientBoostingClassifier(n_estimators=3).fit(ROWS, (ROWS[:, 0] > 0) * 1)).to_bytes()


def altered(data: bytes, **changes: Any) -> bytes:
    """The archive with other arrays; None leaves one out."""
    with np.load(io.BytesIO(data)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    kept = {name: value for name, value in {**arrays, **changes}.items() if value is not None}
    changed = io.BytesIO()
    np.savez(changed, **kept)
    return changed.getvalue()


def load(data: bytes) -> TreesEngine:
    return TreesEngine.load(io.BytesIO(data), path=PATH)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        pytest.param(b"", "No data left", id="nothing"),
        pytest.param(b"nonsense", "", id="no archive"),
        pytest.param(a_regressor()[:-100], "", id="half an archive"),
        pytest.param(altered(a_regressor(), schema=2), "schema 2 is not 1", id="a later schema"),
        pytest.param(altered(a_regressor(), nodes=None), "nodes", id="no nodes"),
        pytest.param(altered(a_regressor(), link="probit"), "probit", id="an unknown link"),
        pytest.param(
            altered(a_regressor(), start=np.zeros((1, 1))), "a start for each", id="a start of two dimensions"
        ),
        pytest.param(altered(a_regressor(), start=np.zeros(0)), "within 0 targets", id="no target"),
        pytest.param(altered(a_classifier(), classes=None), "classes", id="a classifier without classes"),
        pytest.param(altered(a_classifier(), classes=np.arange(3)), "classes", id="a class too many"),
        pytest.param(altered(a_regressor(), classes=np.arange(2)), "classes", id="a regressor with classes"),
        pytest.param(altered(a_regressor(), values=np.array([print])), "allow_pickle", id="a pickle"),
    ],
)
def test_what_is_no_such_model_is_refused(data: bytes, problem: str) -> None:
    with pytest.raises(BrokenModel) as refused:
        load(data)
    assert str(PATH) in str(refused.value)
    assert problem in str(refused.value)


def test_scores_far_from_zero_have_shares_without_a_warning() -> None:
    engine = load(altered(a_classifier(), start=np.array([-1e4])))
    answers = engine.predict(ROWS[:2])
    assert answers["probabilities"].tolist() == [[1.0, 0.0]] * 2


def test_a_library_that_is_missing_is_told_with_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match=r"walk\.so.*install it again"):
        native.library(tmp_path / "walk.so")
