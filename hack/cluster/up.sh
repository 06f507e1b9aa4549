#!/usr/bin/env bash
# A kind cluster with an ingress controller: takes the one that is there and healthy, else makes it anew.
#   [AURORA_CLUSTER=name] [AURORA_HTTP_PORT=port] up.sh
# Its files are in ~/.cache/aurora/clusters/NAME: kubeconfig, audit/audit.log, models/ (the nodes' /models).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/cluster/env.sh
source "$here/env.sh"
alone "cluster-$AURORA_CLUSTER" "$@"

"$here/../prerequisites.sh" cluster
"$here/../docker.sh"
node_image=$("$here/../images/node.sh")
"$here/tools.sh" "$node_image"
ingress_image=$("$here/../images/ingress.sh")

configuration() {
  local driver
  driver=$(docker image inspect --format '{{index .Config.Labels "aurora.cgroup-driver"}}' "$node_image")
  sed -e "s|@IMAGE@|$node_image|; s|@STATE@|$state|; s|@PORT@|$http_port|; s|@CGROUP_DRIVER@|${driver:-systemd}|" "$here/kind.yaml"
}

# The same configuration, the container that was made for it, and an API server that answers: anything less
# (an earlier boot's remains, a run that was killed, a node image rebuilt since) is replaced, not mended.
healthy() {
  cmp -s <(configuration) "$state/kind.yaml" || return 1
  cmp -s "$here/audit-policy.yaml" "$state/audit-policy.yaml" || return 1
  [[ $(docker inspect --format '{{.Id}} {{.State.Running}}' "$node" 2>/dev/null) == "$(cat "$state/node-id" 2>/dev/null) true" ]] || return 1
  local _
  for _ in {1..30}; do
    if REQUEST_TIMEOUT=3s k get --raw /readyz >/dev/null 2>&1; then
      k wait --for=condition=Ready node --all --timeout 30s >/dev/null 2>&1
      return
    fi
    sleep 1
  done
  return 1
}

create() {
  kind delete cluster --name "$AURORA_CLUSTER" --kubeconfig "$kubeconfig"
  rm -rf "$state"
  mkdir -p "$state"/{models,audit}
  cp "$here/audit-policy.yaml" "$state/"
  configuration >"$state/kind.yaml"
  kind create cluster --name "$AURORA_CLUSTER" --kubeconfig "$kubeconfig" --config "$state/kind.yaml" --wait 120s
  docker inspect --format '{{.Id}}' "$node" >"$state/node-id"
}

if healthy; then
  step "cluster $AURORA_CLUSTER is up"
else
  if (exec 3<>"/dev/tcp/127.0.0.1/$http_port") 2>/dev/null && ! docker port "$node" 2>/dev/null | grep -q ":$http_port$"; then
    die "something else listens on 127.0.0.1:$http_port" "stop it, or choose another port: AURORA_HTTP_PORT=18080"
  fi
  timed "create cluster $AURORA_CLUSTER" create
fi

AURORA_CLUSTER=$AURORA_CLUSTER "$here/load.sh" "$ingress_image"
ingress_controller() {
  k apply -k "$repository/config/ingress-controller"
  k --namespace ingress rollout status deployment/traefik --timeout 120s
}
REQUEST_TIMEOUT=0 timed "ingress controller of $AURORA_CLUSTER" ingress_controller
