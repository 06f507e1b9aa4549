#!/usr/bin/env bash
# Installs CRDs and controller (config/default) in AURORA_CLUSTER. The pods are replaced only when their image is another one.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/env.sh
source "$here/env.sh"

# The tag stays :dev, so the pod template has to say which content it means.
image=$(docker image inspect --format '{{.Id}}' aurora-controller:dev)
overlay=$state/controller
mkdir -p "$overlay"
cat >"$overlay/kustomization.yaml" <<END
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: ["$(realpath --relative-to "$overlay" "$repository/config/default")"]
patches:
  - target: {kind: Deployment, name: aurora-controller}
    patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: aurora-controller}
      spec: {template: {metadata: {annotations: {hack/image-id: "${image#sha256:}"}}}}
END

install() {
  k apply --server-side --force-conflicts -k "$overlay"
  REQUEST_TIMEOUT=0 k rollout status deployment/aurora-controller --namespace aurora-system --timeout 120s || {
    k get pods --namespace aurora-system
    k logs deployment/aurora-controller --namespace aurora-system --tail 20
    return 1
  }
}
timed "CRDs, roles and controller" install
