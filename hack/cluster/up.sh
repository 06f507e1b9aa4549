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

answers() {
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

# Why the cluster has to be made anew; empty when it need not. What is broken (an earlier boot's remains, a run that
# was killed) or made from other inputs (a node image rebuilt since) is replaced, not mended.
unfit() {
  [[ $(docker inspect --format '{{.Id}} {{.State.Running}}' "$node" 2>/dev/null) == "$(cat "$state/node-id" 2>/dev/null) true" ]] ||
    { echo "its node is not there or does not run"; return; }
  answers || { echo "its API server does not answer"; return; }
  cmp -s <(configuration) "$state/kind.yaml" || { echo "its configuration or node image has changed"; return; }
  cmp -s "$here/audit-policy.yaml" "$state/audit-policy.yaml" || echo "its audit policy has changed"
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

# Another port alone never costs anyone a cluster: it is more often a slip than a wish.
bound=$(docker port "$node" 80/tcp 2>/dev/null | sed 's/.*://' || true)
if [[ -n $bound && $bound != "$http_port" ]]; then
  die "cluster $AURORA_CLUSTER runs with its ingress on port $bound, not $http_port" \
    "set AURORA_HTTP_PORT=$bound, choose another AURORA_CLUSTER, or remove it first: make cluster-down CLUSTER=$AURORA_CLUSTER"
fi
reason=$(unfit)
if [[ -z $reason ]]; then
  step "cluster $AURORA_CLUSTER is up"
else
  if [[ -z $bound ]] && (exec 3<>"/dev/tcp/127.0.0.1/$http_port") 2>/dev/null; then
    die "something else listens on 127.0.0.1:$http_port" "stop it, or choose another port: AURORA_HTTP_PORT=18080"
  fi
  if [[ -e $state ]]; then step "cluster $AURORA_CLUSTER is made anew: $reason"; fi
  timed "create cluster $AURORA_CLUSTER" create
fi

AURORA_CLUSTER=$AURORA_CLUSTER "$here/load.sh" "$ingress_image"
ingress_controller() {
  k apply -k "$repository/config/ingress-controller"
  k --namespace ingress rollout status deployment/traefik --timeout 120s
}
REQUEST_TIMEOUT=0 timed "ingress controller of $AURORA_CLUSTER" ingress_controller
