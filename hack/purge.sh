#!/usr/bin/env bash
# Leaves nothing behind: clusters, images, the Docker daemon if one was started for them, and the cache. The next run builds all of it anew.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/env.sh"
for folder in "$AURORA_CACHE"/clusters/*/; do
  [[ -d $folder ]] && AURORA_CLUSTER=$(basename "$folder") "$here/cluster/down.sh"
done
if docker info >/dev/null 2>&1; then
  docker image ls --format '{{.Repository}}:{{.Tag}}' | grep -E "^(aurora-[a-z-]+:.*|traefik:$TRAEFIK_VERSION)\$" | xargs -r docker image rm >/dev/null
fi
"$here/docker.sh" stop
chmod -R u+w "$AURORA_CACHE"
rm -rf "$AURORA_CACHE"
