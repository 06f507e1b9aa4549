"""Where things lie: ``<root>/<model>/<version>/``, staged under ``<root>/<model>/.staging/<run id>-<random>/``.

Pure: names in, paths out. Every name is checked here, so no path built from a request, a descriptor
or a flag can leave the store.
"""

import re
from pathlib import Path
from typing import Final

from aurora_runtime.store.errors import UnsafePath

DESCRIPTOR_FILE: Final = "descriptor.json"
REPORT_FILE: Final = "report.html"
STAGING_FOLDER: Final = ".staging"

MODEL_NAME_PATTERN: Final = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
"""A DNS-1035 label, as Kubernetes names are."""
FILE_NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
RUN_ID_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"

_MODEL_NAME: Final = re.compile(MODEL_NAME_PATTERN)
_FILE_NAME: Final = re.compile(FILE_NAME_PATTERN)
_RUN_ID: Final = re.compile(RUN_ID_PATTERN)
_VERSION: Final = re.compile(r"[1-9][0-9]{0,8}")


def model_folder(root: Path, model: str) -> Path:
    """Folder of a model. Raises UnsafePath unless ``model`` is a DNS-1035 label."""
    if not _MODEL_NAME.fullmatch(model):
        raise UnsafePath(path=root / "<model>", problem=f"{model!r} is not a name of a model")
    return root / model


def version_folder(root: Path, model: str, version: int) -> Path:
    """Folder of one version. Raises UnsafePath for a bad model name or a version below 1."""
    folder = model_folder(root, model)
    if not _VERSION.fullmatch(str(version)):
        raise UnsafePath(path=folder / "<version>", problem=f"{version!r} is not a version number (1, 2, 3 …)")
    return folder / str(version)


def file_in(folder: Path, name: str) -> Path:
    """A file directly inside ``folder``. Raises UnsafePath for anything but a plain file name."""
    if not _FILE_NAME.fullmatch(name):
        raise UnsafePath(path=folder / "<file>", problem=f"{name!r} is not a plain file name")
    return folder / name


def staging_folder(root: Path, model: str) -> Path:
    """Folder in which unpublished versions of a model are written."""
    return model_folder(root, model) / STAGING_FOLDER


def staged_version_folder(root: Path, model: str, run_id: str, suffix: str) -> Path:
    """Folder of one unfinished publication. ``suffix`` holds no ``-``, so the run id can be read back."""
    if not _RUN_ID.fullmatch(run_id):
        raise UnsafePath(path=staging_folder(root, model), problem=f"{run_id!r} is not a run id")
    return staging_folder(root, model) / f"{run_id}-{suffix}"


def run_id_of_staged(name: str) -> str:
    """Run id in the name of a staged folder."""
    return name.rpartition("-")[0]


def version_of(name: str) -> int | None:
    """Version number in the name of a folder, or None when it is something else."""
    return int(name) if _VERSION.fullmatch(name) else None
