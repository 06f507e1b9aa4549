#!/usr/bin/env bash
# Debian 12 with the given packages as a Docker image, made from Debian's packages alone.
#   rootfs.sh NAME PACKAGE...     prints NAME:KEY, the key being a hash over this list
set -euo pipefail
# shellcheck source=hack/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/../env.sh"
name=$1
image=$name:$(content_key "$@" "${BASH_SOURCE[0]}")
shift
if ! have_image "$image"; then
  tarball=$AURORA_CACHE/rootfs.$$.tar
  trap 'rm -f "$tarball"' EXIT
  timed "bootstrap Debian for $name" mmdebstrap --variant=essential --include="$(IFS=,; echo "$*")" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' bookworm "$tarball"
  timed "import $name" docker import --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' "$tarball" "$image"
fi
printf '%s\n' "$image"
