import numpy as np
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

from aurora_runtime.trainer import synthetic
from aurora_runtime.trainer.dataset import load_dataset

# Ranges of the public data set; the made-up rows stay inside them.
PUBLIC_RANGES = {
    "MedInc": (0.4999, 15.0001),
    "HouseAge": (1, 52),
    "AveRooms": (0.84, 141.91),
    "AveBedrms": (0.33, 34.07),
    "Population": (3, 35682),
    "AveOccup": (0.69, 1243.34),
    "Latitude": (32.54, 41.95),
    "Longitude": (-124.35, -114.31),
}


def test_the_rows_are_the_same_for_ever() -> None:
    expected = "sha256:601131ae208113811f9c79d7842a85f3069d98d7b250c878bde326541d74794a"
    assert load_dataset("synthetic").fingerprint == expected


def test_names_sizes_and_ranges_are_those_of_california_housing() -> None:
    features, target = synthetic.california_like()
    assert tuple(PUBLIC_RANGES) == synthetic.FEATURES
    assert features.shape == (20640, 8)
    assert target.shape == (20640,)
    for column, (low, high) in zip(features.T, PUBLIC_RANGES.values(), strict=True):
        assert low <= column.min() < column.max() <= high
    assert target.min() >= 0.14
    assert target.max() == 5.0


def test_a_forest_learns_what_a_line_cannot() -> None:
    features, target = synthetic.california_like()
    parts = train_test_split(features, target, test_size=0.2, random_state=0)
    train_features, test_features, train_target, test_target = parts
    forest = RandomForestRegressor(20, min_samples_leaf=5, max_features=0.5, random_state=0)
    forest_score = forest.fit(train_features, train_target).score(test_features, test_target)
    line_score = LinearRegression().fit(train_features, train_target).score(test_features, test_target)
    assert 0.78 < forest_score < 0.85
    assert line_score < forest_score - 0.08


def test_no_two_columns_say_the_same() -> None:
    features, _ = synthetic.california_like()
    correlations = np.corrcoef(features, rowvar=False) - np.eye(8)
    assert np.abs(correlations).max() < 0.95
