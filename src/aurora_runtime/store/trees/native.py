"""walk.c, called with arrays."""

import ctypes
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from aurora_runtime.store.trees.layout import COMPACT, WIDE, Arrays


def library(file: Path) -> ctypes.CDLL:
    """walk.c, compiled. Raises ImportError."""
    try:
        return ctypes.CDLL(str(file))
    except OSError as error:
        raise ImportError(f"{error}; it is compiled from walk.c when Aurora is installed: install it again") from error


_LIBRARY: Final = library(Path(__file__).with_name("walk.so"))
_WALKS: Final = {COMPACT.dtype: _LIBRARY.walk_compact, WIDE.dtype: _LIBRARY.walk_wide}
for _walk in _WALKS.values():
    _walk.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    _walk.restype = None


class _Forest(ctypes.Structure):
    """As in walk.c."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("nodes", "roots", "first_target", "values")),
        *((name, ctypes.c_size_t) for name in ("trees", "width", "features", "targets")),
    )


class Walk:
    """Trees, ready to be walked. The interpreter's lock is free meanwhile.

    Nothing is checked here, and wrong arrays read and write memory that is not theirs. See forest.py, which is the only
    one to call this.
    """

    def __init__(self, arrays: Arrays, *, features: int, targets: int) -> None:
        self._arrays = arrays  # they must live as long as this
        self._forest = _Forest(
            nodes=_address(arrays.nodes),
            roots=_address(arrays.roots),
            first_target=_address(arrays.first_target),
            values=_address(arrays.values),
            trees=len(arrays.roots),
            width=arrays.values.shape[1],
            features=features,
            targets=targets,
        )
        self._walk = _WALKS[arrays.nodes.dtype]
        self._address = ctypes.addressof(self._forest)

    def add(self, rows: NDArray[Any], sums: NDArray[np.float64]) -> None:
        """To ``sums``, (rows, targets), the values of the leaves that ``rows``, (rows, features), come to."""
        self._walk(self._address, _address(rows), len(rows), _address(sums))


def _address(array: NDArray[Any]) -> int:
    address: int = array.__array_interface__["data"][0]  # a fifth of what array.ctypes costs
    return address
