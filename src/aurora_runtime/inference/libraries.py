"""Whether the libraries here may load what those at training wrote, decided before anything is deserialised."""

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Final, Literal

import structlog

from aurora_runtime.inference.errors import LibrariesDiffer
from aurora_runtime.store.descriptor import Descriptor, Format

log = structlog.get_logger(__name__)

LibraryPolicy = Literal["auto", "warn", "refuse"]
PYTHON: Final = "python"
SCIKIT_LEARN: Final = "scikit-learn"
_LOADERS: Final[Mapping[Format, tuple[str, ...]]] = {
    "trees": ("numpy",),
    "onnx": ("numpy", "onnxruntime"),
    "joblib": (PYTHON, "numpy", SCIKIT_LEARN, "scipy"),
}
"""Stored format → what reads it."""


def differences(recorded: Mapping[str, str], installed: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Library → (version at training, version here), of those that are recorded and differ."""
    return {
        name: (version, installed.get(name, "not installed"))
        for name, version in recorded.items()
        if installed.get(name) != version
    }


def is_refused(found: Mapping[str, tuple[str, str]], policy: LibraryPolicy) -> bool:
    """``found`` holds the differences of what reads the format. ``auto`` refuses another minor version of scikit-learn.

    scikit-learn, which only a pickle is read by, does not promise to read it. An ONNX graph carries the version of its
    own format, and golden rows tell whether it answers as it did.
    Source: scikit-learn, "Model persistence": loading with another version is not supported.
    """
    if policy == "auto":
        then, here = found.get(SCIKIT_LEARN, ("", ""))
        return _minor(then) != _minor(here)
    return policy == "refuse" and bool(found)


def check_libraries(descriptor: Descriptor, *, policy: LibraryPolicy) -> None:
    """Raises LibrariesDiffer when the policy refuses those here."""
    found = _differences_here(descriptor)
    if is_refused(found, policy):
        raise LibrariesDiffer(differences=found)


def warn_of_libraries(descriptor: Descriptor) -> None:
    """Logs each difference."""
    for name, (then, here) in _differences_here(descriptor).items():
        log.warning("library differs from training", library=name, trained_with=then, installed=here)


def _differences_here(descriptor: Descriptor) -> dict[str, tuple[str, str]]:
    names = _LOADERS[descriptor.format]
    recorded = {PYTHON: descriptor.lineage.python, **descriptor.lineage.libraries}
    return differences({name: recorded[name] for name in names if name in recorded}, _installed(names))


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = platform.python_version() if name == PYTHON else metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]
