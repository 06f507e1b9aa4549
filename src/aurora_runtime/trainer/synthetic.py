"""California-Housing-like rows, made from a fixed seed: the public data set's columns, ranges and shape of the
target, without its rows, so that nothing has to be downloaded.

A block lies near one of the state's cities. What a house costs follows from income (with falling returns), from
the way to the sea and to the two expensive cities, from crowding and age, and from a part that no column tells.
Columns and ranges: scikit-learn's description of ``fetch_california_housing``.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

ROWS: Final = 20_640
FEATURES: Final = (
    "MedInc",
    "HouseAge",
    "AveRooms",
    "AveBedrms",
    "Population",
    "AveOccup",
    "Latitude",
    "Longitude",
)
TARGET: Final = "MedHouseVal"

_SEED: Final = 1990

# Latitude, longitude, spread in degrees, share of the blocks, log income above the mean.
_CITIES: Final = np.array(
    [
        [34.05, -118.25, 0.28, 0.36, 0.00],
        [37.65, -122.20, 0.22, 0.20, 0.18],
        [32.80, -117.08, 0.16, 0.09, 0.02],
        [38.58, -121.45, 0.22, 0.08, -0.08],
        [36.75, -119.77, 0.35, 0.07, -0.28],
        [33.95, -117.35, 0.25, 0.10, -0.05],
        [35.37, -119.02, 0.25, 0.03, -0.25],
        [37.33, -121.89, 0.12, 0.05, 0.30],
        [40.40, -122.60, 0.80, 0.02, -0.35],
    ]
)
# The coast from north to south: latitude, longitude.
_COAST: Final = np.array(
    [
        [41.8, -124.2],
        [40.4, -124.3],
        [38.9, -123.6],
        [37.8, -122.5],
        [36.6, -121.9],
        [35.4, -120.9],
        [34.5, -120.4],
        [34.0, -118.5],
        [33.6, -117.9],
        [32.6, -117.1],
    ]
)
_SAN_FRANCISCO: Final = (37.77, -122.42)
_LOS_ANGELES: Final = (34.06, -118.40)


def california_like() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """X (20640, 8) in the order of FEATURES, y (20640,) in units of 100,000, both rounded as the original's are."""
    # RandomState's stream is frozen for good (NEP 19); that of default_rng may change with any NumPy.
    random = np.random.RandomState(_SEED)
    city = random.choice(len(_CITIES), size=ROWS, p=_CITIES[:, 3])
    latitude = np.clip(_CITIES[city, 0] + _CITIES[city, 2] * random.normal(size=ROWS), 32.54, 41.95)
    longitude = np.clip(_CITIES[city, 1] + _CITIES[city, 2] * random.normal(size=ROWS), -124.35, -114.31)
    income = np.clip(np.exp(1.22 + _CITIES[city, 4] + 0.42 * random.normal(size=ROWS)), 0.4999, 15.0001)
    age = np.clip(np.round(29 + 12.5 * random.normal(size=ROWS)), 1, 52)
    rooms = np.clip(3.2 + 0.5 * income + 0.8 * np.exp(0.5 * random.normal(size=ROWS)) - 0.01 * age, 0.85, 141.9)
    bedrooms = np.clip(rooms * 0.2 * np.exp(0.12 * random.normal(size=ROWS)), 0.33, 34.1)
    population = np.clip(np.round(np.exp(7.03 + 0.68 * random.normal(size=ROWS))), 3, 35682)
    occupants = np.clip(3.35 - 0.11 * income + 0.75 * random.normal(size=ROWS), 0.7, 1243.3)

    to_coast = _distance_to_coast(latitude, longitude)
    value = (
        0.25
        + 1.05 * np.log1p(np.maximum(income - 0.9, 0.0)) ** 1.35
        + 0.16 * np.maximum(income - 6.0, 0.0)
        + 1.45 * np.exp(-to_coast / 0.14)
        + 1.20 * np.exp(-_distance(latitude, longitude, _SAN_FRANCISCO) / 0.30)
        + 1.00 * np.exp(-_distance(latitude, longitude, _LOS_ANGELES) / 0.16)
        - 0.30 * np.maximum(occupants - 2.2, 0.0)
        + 0.008 * (age - 29) * np.exp(-to_coast / 0.4)
        - 0.55 * (to_coast > 0.9)
    )
    value = np.clip(value * np.exp(0.23 * random.normal(size=ROWS)), 0.14999, 5.00001)
    features = np.column_stack([income, age, rooms, bedrooms, population, occupants, latitude, longitude])
    decimals = (4, 0, 4, 4, 0, 4, 2, 2)
    for column, digits in enumerate(decimals):
        features[:, column] = np.round(features[:, column], digits)
    return np.ascontiguousarray(features), np.round(value, 3)


def _distance(
    latitude: NDArray[np.float64], longitude: NDArray[np.float64], place: tuple[float, float]
) -> NDArray[np.float64]:
    """In degrees of latitude; a degree of longitude is about 0.8 of one here."""
    return np.asarray(np.hypot(latitude - place[0], 0.8 * (longitude - place[1])), dtype=np.float64)


def _distance_to_coast(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(_COAST[:, 0])
    coast = np.interp(latitude, _COAST[order, 0], _COAST[order, 1])
    return np.asarray(np.abs(longitude - coast) * 0.8, dtype=np.float64)
