"""What a server does with a fetched version."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import GradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from aurora_runtime.store import pickled_model, serialization
from aurora_runtime.store.errors import BrokenModel, UnsafeModel
from aurora_runtime.store.model_store import LocalModel, ModelStore
from aurora_runtime.store.serialization import load
from aurora_runtime.trainer.conversion.convert import to_onnx
from aurora_runtime.trainer.conversion.trees import to_trees
from tests.unit.runtime.store.builders import MODEL, publish

FEATURES = np.array([[1.0], [2.0], [4.0]])


def fitted() -> LinearRegression:
    return LinearRegression().fit(FEATURES, FEATURES[:, 0] * 3 + 1)


def a_boosted_model() -> GradientBoostingRegressor:
    return GradientBoostingRegressor(learning_rate=1.0).fit(FEATURES, FEATURES[:, 0] * 3 + 1)


STORED = {
    "trees": lambda: to_trees(a_boosted_model()).to_bytes(),
    "onnx": lambda: to_onnx(fitted()),
    "joblib": lambda: pickled_model.dump(fitted()),
}


def fetched(tmp_path: Path, data: bytes, stored_format: str) -> LocalModel:
    store = ModelStore(root=tmp_path / "store")
    name = f"model.{stored_format}"
    published = publish(store, files={name: data}, format=stored_format, model_file=name)
    return store.fetch(model=MODEL, version=1, destination=tmp_path / "local", expected_digest=published.digest)


@pytest.mark.parametrize("stored_format", STORED)
def test_every_format_predicts(tmp_path: Path, stored_format: str) -> None:
    answers = load(fetched(tmp_path, STORED[stored_format](), stored_format)).predict(FEATURES)
    np.testing.assert_allclose(answers["prediction"], [4.0, 7.0, 13.0])


@pytest.mark.parametrize("stored_format", STORED)
def test_what_loading_freed_goes_back_to_the_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored_format: str
) -> None:
    returned = []
    monkeypatch.setattr(serialization, "return_freed_memory", lambda: returned.append(stored_format))
    load(fetched(tmp_path, STORED[stored_format](), stored_format))
    assert returned == [stored_format]


def test_a_loaded_estimator_uses_one_core_whatever_it_was_fitted_with() -> None:
    forest = RandomForestRegressor(n_estimators=2, n_jobs=4)
    model = TransformedTargetRegressor(make_pipeline(StandardScaler(), forest), transformer=StandardScaler())
    model.fit(FEATURES, FEATURES[:, 0])
    pickled_model.use_one_core(model)
    assert model.regressor_.steps[-1][1].n_jobs == 1


def test_a_pickle_with_the_right_digest_is_still_not_trusted(tmp_path: Path) -> None:
    data = b"cos\nsystem\n(S'true'\ntR."
    with pytest.raises(UnsafeModel, match=r"model\.joblib is refused: it would import .*system"):
        load(fetched(tmp_path, data, "joblib"))


def test_trees_with_the_right_digest_are_still_not_trusted(tmp_path: Path) -> None:
    with pytest.raises(BrokenModel, match=r"model\.trees is refused"):
        load(fetched(tmp_path, b"no archive", "trees"))


def test_a_server_of_onnx_carries_neither_scikit_learn_nor_the_converter(tmp_path: Path) -> None:
    path = fetched(tmp_path, to_onnx(fitted()), "onnx").model_file
    program = (
        "import sys\n"
        "from aurora_runtime.store import model_store, serialization\n"
        "from aurora_runtime.store.onnx_engine import OnnxEngine\n"
        "from pathlib import Path\n"
        f"OnnxEngine(Path({str(path)!r}))\n"
        "print(sorted({'sklearn', 'joblib', 'scipy', 'onnx'} & set(sys.modules)))\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
