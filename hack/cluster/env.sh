# Sourced by the scripts of hack/cluster: where the files of one cluster are, and how to speak with it.
# AURORA_CLUSTER names the cluster (default: aurora); AURORA_HTTP_PORT is where its ingress controller listens on 127.0.0.1.
# shellcheck shell=bash disable=SC2034
# shellcheck source=hack/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
export AURORA_CLUSTER=${AURORA_CLUSTER:-aurora}
default_port=8080
if [[ $AURORA_CLUSTER == aurora-test ]]; then default_port=8081; fi
http_port=${AURORA_HTTP_PORT:-$default_port}
state=$AURORA_CACHE/clusters/$AURORA_CLUSTER
node=$AURORA_CLUSTER-control-plane
kubeconfig=$state/kubeconfig

k() { kubectl --kubeconfig "$kubeconfig" --request-timeout "${REQUEST_TIMEOUT:-30s}" "$@"; }
