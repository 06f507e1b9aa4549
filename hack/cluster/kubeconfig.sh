#!/usr/bin/env bash
# Prints the path of the kubeconfig of AURORA_CLUSTER (default: aurora). ~/.kube/config is never touched.
set -euo pipefail
# shellcheck source=hack/cluster/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[[ -s $kubeconfig ]] || die "there is no cluster $AURORA_CLUSTER" "make it: make cluster-up CLUSTER=$AURORA_CLUSTER"
printf '%s\n' "$kubeconfig"
