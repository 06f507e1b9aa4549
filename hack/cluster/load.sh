#!/usr/bin/env bash
# Brings images of this host's Docker into the node of AURORA_CLUSTER; one whose content is there already costs nothing.
#   load.sh IMAGE...
set -euo pipefail
# shellcheck source=hack/cluster/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
alone "load-$AURORA_CLUSTER" "$@"

in_node() { docker exec "$node" ctr --namespace k8s.io images "$@"; }
# What `kind load docker-image` does, without writing the archive to disk in between: half the time.
load() { docker save "$1" | docker exec --interactive "$node" ctr --namespace k8s.io images import --snapshotter overlayfs -; }

present=$(in_node list --quiet)
for image in "$@"; do
  id=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null) || die "there is no image $image" "make it: make images"
  reference=docker.io/library/$image
  # A tag can move, an id cannot: the node remembers by a second name which content it has.
  content=${reference%:*}:id-${id:7:16}
  if grep -qxF "$content" <<<"$present"; then
    in_node tag --force "$content" "$reference" >/dev/null
  else
    timed "load $image into $AURORA_CLUSTER" load "$image"
    in_node tag --force "$reference" "$content" >/dev/null
  fi
done
