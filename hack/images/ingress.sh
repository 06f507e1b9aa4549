#!/usr/bin/env bash
# Traefik's image: the public one where it can be pulled, else one around the binary built from its Go module. Prints its name.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/../env.sh"
alone ingress-image "$@"
image=traefik:$TRAEFIK_VERSION
if ! pull "$image"; then
  "$here/../cluster/binaries.sh" traefik
  ingress_image() {
    local context=$AURORA_CACHE/bin/traefik-$TRAEFIK_VERSION
    printf 'FROM scratch\nCOPY traefik /traefik\nENTRYPOINT ["/traefik"]\n' | build_image --tag "$image" --file - "$context"
  }
  timed "build $image" ingress_image
fi
printf '%s\n' "$image"
