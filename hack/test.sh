#!/usr/bin/env bash
# Everything that must hold: lint, types and unit tests beside the building of images and cluster, then the tests on kind.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/env.sh"
cd "$repository"
started=$SECONDS

"$here/setup.sh"
log=$AURORA_CACHE/logs/test-cluster.log
mkdir -p "${log%/*}"
step "building images and the cluster aurora-test in the background: $log"
(make images cluster-test) >"$log" 2>&1 </dev/null &
cluster=$!
trap 'kill "$cluster" 2>/dev/null || true' EXIT

make lint typecheck test-unit

step "waiting for images and cluster"
tail --pid="$cluster" -n +1 -f "$log" &
if ! wait "$cluster"; then
  tail -n 40 "$log"
  die "images or cluster could not be made" "read $log; running the same command again goes on where it stopped"
fi
step "images and cluster are there ($((SECONDS - started)) s since the begin)"
.venv/bin/pytest tests/e2e -v
step "everything passed ($((SECONDS - started)) s)"
