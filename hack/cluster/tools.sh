#!/usr/bin/env bash
# kind and kubectl in the cache's tools/bin.
#   tools.sh NODE_IMAGE     the image whose kubectl is of the cluster's version
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/../env.sh"
alone tools "$@"
node_image=$1
"$here/binaries.sh" kind
ln -sfn "$AURORA_CACHE/bin/kind-$KIND_VERSION/kind" "$AURORA_CACHE/tools/bin/kind"

kubectl=$AURORA_CACHE/bin/kubectl-${node_image//[^a-zA-Z0-9.]/-}
if [[ ! -x $kubectl ]]; then
  container=$(docker create "$node_image")
  trap 'docker rm "$container" >/dev/null' EXIT
  docker cp "$container:/usr/bin/kubectl" "$kubectl.part"
  mv "$kubectl.part" "$kubectl"
fi
ln -sfn "$kubectl" "$AURORA_CACHE/tools/bin/kubectl"
