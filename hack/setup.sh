#!/usr/bin/env bash
# The Python environment of the repository, exactly as requirements/dev.lock says; a second run takes a moment.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/env.sh"
"$here/prerequisites.sh" python
cd "$repository"
walk=src/aurora_runtime/store/trees/walk # its C code is compiled when the package is installed
stamp=.venv/aurora-$(content_key requirements/dev.lock pyproject.toml hatch_build.py $walk.c $walk.h)
[[ -e $stamp && -e $walk.so ]] && exit

environment() {
  [[ -x .venv/bin/python ]] || uv venv -q --python python3 .venv
  uv pip sync -q --python .venv/bin/python requirements/dev.lock
  uv pip install -q --python .venv/bin/python --no-deps --editable .
}
timed "python environment" environment
rm -f .venv/aurora-*
touch "$stamp"
