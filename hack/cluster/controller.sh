#!/usr/bin/env bash
# Installs CRDs and controller (config/default) in AURORA_CLUSTER. The pods are replaced only when their image is another one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/env.sh
source "$here/env.sh"
manifests() { k apply --server-side --force-conflicts -k "$repository/config/default"; }
timed "CRDs, roles and controller" manifests

image=$(docker image inspect --format '{{.Id}}' aurora-controller:dev)
ready() {
  # The tag stays :dev, so the pod template has to say which content it means.
  k patch deployment aurora-controller --namespace aurora-system --type merge --field-manager hack \
    --patch "{\"spec\": {\"template\": {\"metadata\": {\"annotations\": {\"aurora.io/image-id\": \"${image#sha256:}\"}}}}}"
  REQUEST_TIMEOUT=0 k rollout status deployment/aurora-controller --namespace aurora-system --timeout 120s
}
timed "controller ready" ready
