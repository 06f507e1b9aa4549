#!/usr/bin/env bash
# Builds, from source packages and with the ordinary go command, the programs that a kind cluster
# needs and that a host without an image registry cannot pull. Every result is kept in the cache
# under its version, so a second clone builds nothing.
#   binaries.sh kubernetes|kind|coredns|traefik...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/../env.sh"
alone binaries "$@"

export CGO_ENABLED=0 GOFLAGS=-buildvcs=false GOTOOLCHAIN=local
bin=$AURORA_CACHE/bin

build() { # build OUTPUT MODULE_DIR PACKAGE [LDFLAGS]
  local output=$1 module=$2 package=$3 ldflags=${4:-}
  if [[ -x $output ]]; then return; fi
  mkdir -p "$(dirname "$output")"
  timed "build $(basename "$output")" go -C "$module" build -mod=readonly -trimpath -ldflags "-s -w $ldflags" -o "$output.part" "$package"
  mv "$output.part" "$output"
}

install() { # install OUTPUT PACKAGE@VERSION
  local output=$1 package=$2
  if [[ -x $output ]]; then return; fi
  rm -rf "$output.part"
  mkdir -p "$output.part"
  timed "build $(basename "$output")" env GOBIN="$output.part" go install -trimpath -ldflags "-s -w" "$package"
  mv "$output.part"/* "$output"
  rmdir "$output.part"
}

for name in "$@"; do
  case $name in
    kubernetes)
      dir=$bin/kubernetes-$KUBERNETES_VERSION
      IFS=. read -r major minor _ <<<"${KUBERNETES_VERSION#v}"
      version=k8s.io/component-base/version
      for program in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubeadm kubectl; do
        build "$dir/$program" "$here/kubernetes" "k8s.io/kubernetes/cmd/$program" \
          "-X $version.gitVersion=$KUBERNETES_VERSION -X $version.gitMajor=$major -X $version.gitMinor=$minor"
      done
      build "$dir/etcd" "$here/kubernetes" go.etcd.io/etcd/server/v3
      ;;
    kind) install "$bin/kind-$KIND_VERSION/kind" "sigs.k8s.io/kind@$KIND_VERSION" ;;
    coredns) install "$bin/coredns-$COREDNS_VERSION/coredns" "github.com/coredns/coredns@$COREDNS_VERSION" ;;
    traefik) build "$bin/traefik-$TRAEFIK_VERSION/traefik" "$here/traefik" github.com/traefik/traefik/v3/cmd/traefik ;;
    *) die "binaries.sh: no program named $name" "name one of: kubernetes kind coredns traefik" ;;
  esac
done
