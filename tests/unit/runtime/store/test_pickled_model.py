import io
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import SVC, SVR

from aurora_runtime.store import pickled_model
from aurora_runtime.store.errors import UnsafeModel
from aurora_runtime.store.pickled_model import EstimatorEngine

PATH = Path("/store/housing/1/model.joblib")
ESTIMATORS = [
    RandomForestRegressor(n_estimators=3),
    RandomForestClassifier(n_estimators=3),
    ExtraTreesRegressor(n_estimators=3),
    ExtraTreesClassifier(n_estimators=3),
    GradientBoostingRegressor(n_estimators=3),
    GradientBoostingClassifier(n_estimators=3),
    HistGradientBoostingRegressor(max_iter=3),
    HistGradientBoostingClassifier(max_iter=3),
    LinearRegression(),
    Ridge(),
    RidgeClassifier(),
    LogisticRegression(),
    KNeighborsRegressor(algorithm="kd_tree"),
    KNeighborsClassifier(algorithm="ball_tree"),
    KNeighborsRegressor(algorithm="brute", metric="manhattan", weights="distance"),
    MLPRegressor(max_iter=3, solver="sgd"),
    MLPClassifier(max_iter=3),
    SVC(),
    SVR(),
    make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()),
    make_pipeline(ColumnTransformer([("scaled", StandardScaler(), [0, 1])]), Ridge()),
]


def rows() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.RandomState(0)
    return random.normal(size=(60, 3)), random.randint(0, 3, size=60)


class Payload:
    """Runs code when unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_every_estimator_comes_back_with_the_same_answers(estimator: Any) -> None:
    features, target = rows()
    fitted = make_pipeline(StandardScaler(), estimator).fit(features, target)
    loaded = pickled_model.load(io.BytesIO(pickled_model.dump(fitted)), path=PATH)
    np.testing.assert_array_equal(loaded.predict(features), fitted.predict(features))


def test_joblib_reads_the_file_too() -> None:
    features, target = rows()
    fitted = LinearRegression().fit(features, target)
    loaded = joblib.load(io.BytesIO(pickled_model.dump(fitted)))
    np.testing.assert_array_equal(loaded.predict(features), fitted.predict(features))


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(Payload(os.system, "touch EXECUTED"), id="a shell"),
        pytest.param(Payload(eval, "open('EXECUTED', 'w')"), id="eval"),
        pytest.param(Payload(np.load, "EXECUTED"), id="a function of numpy"),
        pytest.param(Payload(np.testing.assert_equal, 1, 1), id="a test function of numpy"),
        pytest.param(Payload(joblib.load, "EXECUTED"), id="another unpickler"),
        pytest.param(Payload(make_pipeline), id="a function beside allowed classes"),
        pytest.param(Payload(getattr, LinearRegression, "fit"), id="getattr"),
        pytest.param(np.array([Payload(os.system, "touch EXECUTED")], dtype=object), id="inside an array of objects"),
        pytest.param({"model": [LinearRegression(), Payload(os.system, "touch EXECUTED")]}, id="behind an estimator"),
    ],
)
def test_nothing_outside_the_allow_list_is_reached(
    payload: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = pickle.dumps(payload)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnsafeModel) as refusal:
        pickled_model.load(io.BytesIO(data), path=PATH)
    assert str(PATH) in str(refusal.value)
    assert not any(tmp_path.iterdir())


def test_what_joblib_dumps_is_refused_because_it_would_unpickle_on_its_own(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    joblib.dump(np.array([Payload(os.system, f"touch {tmp_path}/EXECUTED")], dtype=object), buffer)
    with pytest.raises(UnsafeModel, match="joblib"):
        pickled_model.load(io.BytesIO(buffer.getvalue()), path=PATH)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("sklearn.linear_model._base", "LinearRegression.fit"),
        ("sklearn.linear_model._base", "np"),
        ("sklearn.ensemble._forest", "warn"),
        ("sklearn.tree._classes", "Tree"),
        ("sklearn.ensemble.tests.test_forest", "Anything"),
        ("sklearn.linear_model_evil", "LinearRegression"),
        ("sklearn.utils", "Bunch"),
        ("sklearn._loss._loss", "np"),
    ],
)
def test_a_name_that_is_not_a_class_defined_there_is_refused(module: str, name: str) -> None:
    data = b"\x80\x04" + b"\x8c" + bytes([len(module)]) + module.encode() + b"\x8c" + bytes([len(name)]) + name.encode()
    data += b"\x93."
    pickletools.dis(data, out=io.StringIO())
    with pytest.raises(UnsafeModel, match="outside the allow-list"):
        pickled_model.load(io.BytesIO(data), path=PATH)


def test_an_engine_gives_predictions_as_float64() -> None:
    features, target = rows()
    engine = EstimatorEngine(LinearRegression().fit(features, target), task="regression")
    answers = engine.predict(features)
    assert list(answers) == ["prediction"]
    assert answers["prediction"].dtype == np.float64
    assert answers["prediction"].shape == (60,)


def test_an_engine_gives_labels_and_probabilities_where_there_are_any() -> None:
    features, target = rows()
    with_probabilities = EstimatorEngine(LogisticRegression().fit(features, target), task="classification")
    assert with_probabilities.predict(features)["probabilities"].shape == (60, 3)
    without = EstimatorEngine(RidgeClassifier().fit(features, target), task="classification")
    assert list(without.predict(features)) == ["label"]
