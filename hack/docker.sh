#!/usr/bin/env bash
# Makes sure that a Docker daemon answers: uses the one that runs, else starts one in the background.
#   docker.sh           start it where needed
#   docker.sh stop      stop the one that this script started
set -euo pipefail
# shellcheck source=hack/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
alone docker "$@"
state=$AURORA_CACHE/docker
pid_file=$state/dockerd.pid
tools=$AURORA_CACHE/tools/bin
mkdir -p "$state" "$tools"

ours() { # the process behind the pid file, if it is a dockerd still
  local pid
  pid=$(cat "$pid_file" 2>/dev/null) && [[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]] && printf '%s\n' "$pid"
}

# A client can be too new for the daemon of a stable distribution: then the distribution's own client is taken.
choose_client() {
  docker info >/dev/null 2>&1 && return
  if [[ -x /usr/bin/docker ]] && /usr/bin/docker info >/dev/null 2>&1; then
    ln -sfn /usr/bin/docker "$tools/docker"
    return
  fi
  return 1
}

start() {
  ((EUID == 0)) || die "Docker does not answer, and starting it needs root" "run as root, or start Docker and join the group docker"
  command -v dockerd >/dev/null || die "no Docker daemon on this host" "install Docker (Debian: apt-get install docker.io)"
  local flags=(--pidfile "$state/daemon.pid")
  if lacks_sys_resource; then
    install -m 755 "$repository/hack/images/node/runc-without-sys-resource" "$state/"
    flags+=(--add-runtime "bounded=$state/runc-without-sys-resource" --default-runtime bounded)
  fi
  # Its own session and no inherited output: a caller that reads a pipe until it closes must not wait for the daemon.
  setsid nohup dockerd "${flags[@]}" >>"$state/dockerd.log" 2>&1 </dev/null &
  printf '%s\n' "$!" >"$pid_file"
  for _ in {1..120}; do
    choose_client && return
    ours >/dev/null || break
    sleep 0.5
  done
  tail -n 20 "$state/dockerd.log" >&2
  die "the Docker daemon did not start" "read $state/dockerd.log; a container host must allow nested containers (cgroups, iptables, overlayfs)"
}

stop() {
  local pid
  pid=$(ours) || return 0
  kill "$pid"
  for _ in {1..60}; do
    ours >/dev/null || break
    sleep 0.5
  done
  rm -f "$pid_file"
}

if [[ ${1:-} == stop ]]; then
  stop
  exit
fi
if ! choose_client; then
  started=$SECONDS
  step "start the Docker daemon …"
  rm -f "$tools/docker"
  start
  step "start the Docker daemon ($((SECONDS - started)) s)"
fi
if lacks_sys_resource && [[ $(docker info --format '{{.DefaultRuntime}}') == runc ]]; then
  die "this host withholds CAP_SYS_RESOURCE, and its Docker daemon asks for it in every privileged container" \
    "stop that daemon, so that this script starts one that does not"
fi
