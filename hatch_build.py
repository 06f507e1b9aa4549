"""Compiles walk.c beside its source, for wheels and for editable installs alike.

The compiler is $CC, or cc. The code is freestanding: it links with no C library, and so runs with every one.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path("src/aurora_runtime/store/trees")
FLAGS = "-std=c11 -O2 -Wall -Wextra -Werror -ffreestanding -fPIC -shared -nostdlib"


class CompileWalk(BuildHookInterface[Any]):
    """Called by hatchling."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002  of the overridden method
        compiler = os.environ.get("CC", "cc")
        if shutil.which(compiler) is None:
            raise FileNotFoundError(
                f"{compiler}: no such compiler; install one (Debian: apt-get install gcc) or set CC"
            )
        folder = Path(self.root) / FOLDER
        part = folder / f"walk.so.{os.getpid()}"  # a process that runs the old one keeps it
        subprocess.run([compiler, *FLAGS.split(), "-o", part, folder / "walk.c"], check=True)
        part.replace(folder / "walk.so")
        build_data["artifacts"].append(f"{FOLDER}/walk.so")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{_platform()}"


def _platform() -> str:
    from packaging.tags import platform_tags  # noqa: PLC0415  hatchling brings it

    return next(iter(platform_tags()))
