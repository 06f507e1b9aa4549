#!/usr/bin/env bash
# The main job on a kind cluster of its own, from nothing: train, serve, predict through the ingress, change, canary.
# Running it again takes what is there. REQUESTS (default 2000) are sent to measure the split.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export AURORA_CLUSTER=aurora
# shellcheck source=hack/cluster/env.sh
source "$here/cluster/env.sh"
alone demo "$@"
requests=${REQUESTS:-2000}
samples=config/samples
cd "$repository"

# Shows a command as a reader could repeat it, runs it, and says how long it took.
shown() {
  local started=$SECONDS word line=
  for word in "$@"; do
    if [[ $word == *[^a-zA-Z0-9_./:=,-]* ]]; then word="'$word'"; fi
    line+=" $word"
  done
  printf '\n$%s\n' "$line"
  "$@" || die "that command failed" "look at: kubectl get aurora; kubectl describe mltrainingjobs,mldeployments; kubectl -n aurora-system logs deploy/aurora-controller"
  if ((SECONDS - started > 2)); then printf '  (%d s)\n' $((SECONDS - started)); fi
}
say() { printf '\n── %s\n' "$*"; }
field() { kubectl get mldeployment california-housing --output "jsonpath={$1}"; }

say "A cluster, the images and the controller"
"$here/cluster/up.sh"
"$here/images/app.sh"
"$here/cluster/load.sh" aurora-controller:dev aurora-runtime:dev
export KUBECONFIG=$kubeconfig
environment="export KUBECONFIG=$kubeconfig PATH=$AURORA_CACHE/tools/bin:\$PATH"
printf '\nTo follow in another terminal:\n  %s\n' "$environment"
"$here/cluster/controller.sh"
timed "claim aurora-models in namespace default" "$here/cluster/volume.sh" default

say "Train and serve: the two samples"
shown kubectl apply -f "$samples/mltrainingjob.yaml" -f "$samples/mldeployment.yaml"
shown kubectl wait --for=condition=Succeeded mltrainingjob/california-housing-rf --timeout=300s
shown kubectl wait --for=condition=Ready mldeployment/california-housing --timeout=180s
shown kubectl get aurora

say "A prediction through the ingress"
url=http://127.0.0.1:$http_port/v2/models/california-housing/infer
AURORA_API_KEY=$(kubectl get secret california-housing-api-keys --output 'jsonpath={.data.default}' | base64 --decode)
export AURORA_API_KEY
body='{"inputs":[{"name":"input","shape":[1,8],"datatype":"FP64","data":[8.3,41,6.9,1.0,322,2.5,37.9,-122.2]}]}'
curl_line="curl --silent --show-error --fail -H 'Authorization: Bearer $AURORA_API_KEY' --json '$body' $url"
predict() { # the router hears of the pods a moment after Kubernetes does
  local _
  for _ in {1..30}; do
    eval "$curl_line" 2>/dev/null && return
    sleep 1
  done
  eval "$curl_line"
}
printf '\n$ %s\n' "$curl_line"
predict || die "no prediction through $url" "look at: kubectl describe mldeployment california-housing; kubectl get ingress,endpointslices"
echo

say "A change: other hyperparameters make a new version, the new version a canary"
if [[ -z $(field .status.canary.revision) ]]; then
  depth=$(kubectl get mltrainingjob california-housing-rf --output 'jsonpath={.spec.hyperparameters.max_depth}')
  shown kubectl patch mltrainingjob california-housing-rf --type merge --patch "{\"spec\": {\"hyperparameters\": {\"max_depth\": $((${depth:-11} + 1))}}}"
  shown kubectl wait --for=condition=Succeeded mltrainingjob/california-housing-rf --timeout=300s
fi
shown kubectl wait --for=jsonpath='{.status.canary.weight}'=10 mldeployment/california-housing --timeout=180s
shown kubectl wait --for=condition=Ready mldeployment/california-housing --timeout=60s
sleep 3 # annotations are not acknowledged: give the ingress controller the time it takes to read them
shown kubectl get mldeployment california-housing

say "The split, measured over $requests requests"
shown python3 hack/split.py "$url" "$requests"
counted=$(field .status.traffic.observed.requests)
if ((${counted:-0} > 0)); then
  printf '  what the pods themselves counted until a moment ago: %s %% of %s\n' "$(field .status.traffic.observed.canaryPercent)" "$counted"
else
  printf '  within a minute, kubectl get mldeployment also shows what the pods themselves counted\n'
fi

revision=$(field .status.canary.revision)
rollout=$(field .status.rollout)
cat <<END

── Now it is yours ($SECONDS s in all)
  $environment
  predict:   $curl_line
  promote:   kubectl annotate mldeployment california-housing --overwrite aurora.io/promote="$revision@$rollout"
  give up:   kubectl annotate mldeployment california-housing --overwrite aurora.io/abort="$revision@$rollout"
  watch:     kubectl get aurora --watch
  remove:    make demo-down
END
