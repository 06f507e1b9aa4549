#!/usr/bin/env bash
# Everything that must hold: lint, types and unit tests while images and cluster are made, then the tests on kind, and
# the fault tests beside them: both wait more than they work. The last two lines are the summaries of those two.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/env.sh"
cd "$repository"

logs=$AURORA_CACHE/logs
mkdir -p "$logs"
declare -A running=()
trap 'for name in "${!running[@]}"; do kill -- "-${running[$name]}" 2>/dev/null || true; done' EXIT

# begin NAME COMMAND...: in the background, its output in a log. A session of its own, so that all of it can be ended
# together. Nothing in it holds the output of this script.
begin() {
  local name=$1
  shift
  setsid "$@" >"$logs/$name.log" 2>&1 </dev/null &
  running[$name]=$!
}

# follow NAME: shows its log from the begin on to its end, each line marked.
follow() { tail --pid="${running[$1]}" --lines=+1 --follow --sleep-interval=1 "$logs/$1.log" | sed -u "s/^/$1: /"; }

# finish NAME: waits for it; its exit code.
finish() {
  local status=0
  wait "${running[$1]}" || status=$?
  unset "running[$1]"
  return "$status"
}

"$here/setup.sh"
export TEST_CLUSTER=${TEST_CLUSTER:-aurora-test}
step "images and the cluster $TEST_CLUSTER are made in the background: $logs/test-cluster.log"
begin test-cluster make images cluster-test
make lint typecheck test-unit

step "fault tests, $SECONDS s after the begin: $logs/test-faults.log"
begin test-faults make test-faults
follow test-faults &
faults_shown=$!

step "images and cluster; so far, and from here on:"
follow test-cluster
finish test-cluster ||
  die "images or cluster could not be made" "read $logs/test-cluster.log; running the same command again goes on where it stopped"
step "end-to-end tests, $SECONDS s after the begin"
status=0
AURORA_CLUSTER=$TEST_CLUSTER .venv/bin/pytest tests/e2e -v | tee "$logs/test-e2e.log" || status=$?
finish test-faults || status=$?
wait "$faults_shown" || true
step "all tests, $SECONDS s after the begin"
for name in test-faults test-e2e; do grep -E '^=+ .* in [0-9.]+s.* =+$' "$logs/$name.log" | tail -n 1 | sed "s/^/$name: /" || true; done
exit "$status"
