#!/usr/bin/env bash
# Removes the cluster AURORA_CLUSTER (default: aurora), its files and its models.
set -euo pipefail
# shellcheck source=hack/cluster/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
alone "cluster-$AURORA_CLUSTER" "$@"
[[ -e $state ]] || { step "cluster $AURORA_CLUSTER is not there"; exit; }
if docker info >/dev/null 2>&1; then
  timed "delete cluster $AURORA_CLUSTER" kind delete cluster --name "$AURORA_CLUSTER" --kubeconfig "$kubeconfig"
fi
rm -rf "$state"
