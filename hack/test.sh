#!/usr/bin/env bash
# Everything that must hold: lint, types, unit and fault tests beside the building of images and cluster, then the tests on kind.
# The last line is pytest's own.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/env.sh"
cd "$repository"

"$here/setup.sh"
log=$AURORA_CACHE/logs/test-cluster.log
mkdir -p "${log%/*}"
export TEST_CLUSTER=${TEST_CLUSTER:-aurora-test}
step "images and the cluster $TEST_CLUSTER are made in the background: $log"
# A session of its own, so that all of it can be ended together. Nothing in it holds the output of this script.
setsid make images cluster-test >"$log" 2>&1 </dev/null &
cluster=$!
trap 'kill -- "-$cluster" 2>/dev/null || true' EXIT

make lint typecheck test-unit
step "fault tests, $SECONDS s after the begin"
make test-faults

if kill -0 "$cluster" 2>/dev/null; then step "waiting for images and cluster; so far, and from here on:"; fi
tail --pid="$cluster" --lines=+1 --follow --sleep-interval=1 "$log" &
follower=$!
if ! wait "$cluster"; then
  wait "$follower" || true
  die "images or cluster could not be made" "read $log; running the same command again goes on where it stopped"
fi
wait "$follower" || true
trap - EXIT
step "end-to-end tests, $SECONDS s after the begin"
AURORA_CLUSTER=$TEST_CLUSTER exec .venv/bin/pytest tests/e2e -v
