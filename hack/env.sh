# Sourced by the scripts of hack/: versions, the cache, and how a step is announced.
# shellcheck shell=bash disable=SC2034
KUBERNETES_VERSION=v1.35.4
KIND_VERSION=v0.31.0
COREDNS_VERSION=v1.12.4
TRAEFIK_VERSION=v3.7.9
GO_VERSION=1.27.3 # installed only where no Go of GO_MINIMUM or later is found
GO_MINIMUM=1.26
UV_VERSION=0.13.9
# Public images, used where they can be pulled. The node image is the one kind ${KIND_VERSION} was released with.
PUBLIC_NODE_IMAGE=kindest/node:v1.35.0@sha256:452d707d4862f52530247495d180205e029056831160e22870e37e3f6c1ac31f
PUBLIC_PYTHON_IMAGE=python:3.11-slim-bookworm
PYTHON_VERSION=3.11 # inside the images

# Built programs, images' inputs and cluster files are kept outside the clone, keyed by version.
export AURORA_CACHE=${AURORA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/aurora}
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

export PATH=$AURORA_CACHE/tools/bin:$PATH
export UV_NATIVE_TLS=true       # trust what the host trusts
export UV_COMPILE_BYTECODE=true # once, here: programs that tests start would compile their libraries each time
export DOCKER_CLI_HINTS=false

step() { printf '[%s] %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf '\nerror: %s\nremedy: %s\n' "$1" "$2" >&2; exit 1; }

# timed DESCRIPTION COMMAND...: runs a program or a function at low priority with its output in a log, and says how
# long it took. Errexit does not reach into conditions, hence the plain subshell.
timed() {
  local description=$1 started=$SECONDS log status
  shift
  log=$AURORA_CACHE/logs/$(tr -cs 'a-zA-Z0-9\n' - <<<"$description").log
  mkdir -p "${log%/*}"
  step "$description …"
  set +e
  (
    set -e
    renice -n 5 "$BASHPID" >/dev/null
    "$@"
  ) >"$log" 2>&1 </dev/null
  status=$?
  set -e
  if ((status)); then
    tail -n 40 "$log" >&2
    die "failed: $description" "read $log; running the same command again goes on where it stopped"
  fi
  step "$description ($((SECONDS - started)) s)"
}

# alone NAME ARGUMENTS...: from here on one process at a time. Re-executes the calling script under a lock
# which its children (a daemon, say) do not inherit.
alone() {
  local lock=$AURORA_CACHE/locks/$1
  shift
  if [[ :${AURORA_LOCKS_HELD:-}: == *:$lock:* ]]; then return; fi
  mkdir -p "${lock%/*}"
  AURORA_LOCKS_HELD=${AURORA_LOCKS_HELD:-}:$lock exec flock --close "$lock" "$0" "$@"
}

# content_key STRING|FILE|FOLDER...: 12 hex digits over names and contents.
content_key() {
  local item
  for item in "$@"; do
    if [[ -e $item ]]; then
      find "$item" -type f ! -path '*/__pycache__/*' -printf '%P %m\0' | LC_ALL=C sort -z | tr '\0' '\n'
      find "$item" -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0r cat
    else
      printf '%s\n' "$item"
    fi
  done | sha256sum | cut -c1-12
}

have_image() { docker image inspect --format ok "$1" >/dev/null 2>&1; }

# pull IMAGE: true when it is there afterwards. A registry that does not answer costs seconds, not minutes.
pull() {
  have_image "$1" && return
  [[ ${AURORA_PULL:-yes} == yes ]] || return 1
  timeout 20 docker manifest inspect "$1" >/dev/null 2>&1 || return 1
  timeout 900 docker pull --quiet "$1" >/dev/null 2>&1
}

# docker build with the builder that is there: without buildx only the classic one works.
build_image() {
  if docker buildx version >/dev/null 2>&1; then DOCKER_BUILDKIT=1 docker build "$@"; else DOCKER_BUILDKIT=0 docker build "$@"; fi
}
lacks_sys_resource() { # CAP_SYS_RESOURCE is bit 24
  local bounding
  bounding=$(sed -n 's/^CapBnd:\s*//p' /proc/self/status)
  (((16#$bounding >> 24 & 1) == 0))
}

# python_environment FOLDER ARGUMENTS...: a Python environment with what `uv pip install ARGUMENTS` brings, whole or not
# at all.
python_environment() {
  local folder=$1
  shift
  rm -rf "$folder.part" "$folder"
  uv venv -q --relocatable --python python3 "$folder.part"
  uv pip install -q --python "$folder.part/bin/python" "$@"
  mv "$folder.part" "$folder"
}
