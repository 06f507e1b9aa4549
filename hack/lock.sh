#!/usr/bin/env bash
# Resolves every dependency once and writes requirements/*.lock: pinned versions with hashes and no
# index addresses, so that the same files work against any mirror. Run after editing pyproject.toml.
#   lock.sh [--upgrade]
set -euo pipefail
# shellcheck source=hack/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
cd "$repository"
compile=(uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-annotate --no-header)

"${compile[@]}" "$@" --all-extras --group dev pyproject.toml -o requirements/dev.lock
for image in controller runtime; do
  "${compile[@]}" --extra "$image" --constraint requirements/dev.lock pyproject.toml -o "requirements/$image.lock"
done
