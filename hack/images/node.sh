#!/usr/bin/env bash
# The image of a kind node: the public one where it can be pulled, else one built from packages. Prints its name.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/../env.sh"
alone node-image "$@"

# The public image's runtime asks for CAP_SYS_RESOURCE, so a host that withholds it always builds its own.
if ! lacks_sys_resource && pull "$PUBLIC_NODE_IMAGE"; then
  printf '%s\n' "$PUBLIC_NODE_IMAGE"
  exit
fi

image=aurora-node:$KUBERNETES_VERSION-$(content_key "$here/node" "$here/node.sh" "$here/rootfs.sh" "$COREDNS_VERSION" "$(lacks_sys_resource && echo bounded)")
if have_image "$image"; then
  printf '%s\n' "$image"
  exit
fi

"$here/../cluster/binaries.sh" kubernetes coredns
programs=$AURORA_CACHE/bin/kubernetes-$KUBERNETES_VERSION
runc=/usr/sbin/runc
if lacks_sys_resource; then runc=/usr/local/bin/runc-without-sys-resource; fi

context=$AURORA_CACHE/node-image
rm -rf "$context"
mkdir -p "$context/programs" "$context/static"
trap 'rm -rf "$context"' EXIT

os=$("$here/rootfs.sh" aurora-node-os systemd systemd-sysv dbus containerd runc containernetworking-plugins iptables conntrack \
  iproute2 ethtool socat mount util-linux kmod procps hostname ca-certificates)
proxy_os=$("$here/rootfs.sh" aurora-proxy-os iptables conntrack kmod)
(cd "$here/node/pause" && CGO_ENABLED=0 GOTOOLCHAIN=local go build -trimpath -ldflags '-s -w' -o "$programs/pause" .)

static_image() { # static_image BASE PROGRAM IMAGE
  rm -f "$context/static"/*
  ln "$2" "$context/static/" 2>/dev/null || cp "$2" "$context/static/"
  printf 'FROM %s\nCOPY %s /usr/local/bin/\nENTRYPOINT ["/usr/local/bin/%s"]\n' "$1" "${2##*/}" "${2##*/}" >"$context/static/Dockerfile"
  build_image --quiet --tag "$3" "$context/static"
}

images=()
control_plane_images() {
  local wanted program base
  for wanted in "${images[@]}"; do
    program=${wanted##*/}
    program=${program%:*}
    base=scratch
    case $program in
      coredns) static_image scratch "$AURORA_CACHE/bin/coredns-$COREDNS_VERSION/coredns" "$wanted"; continue ;;
      kube-proxy) base=$proxy_os ;;
    esac
    static_image "$base" "$programs/$program" "$wanted"
  done
  docker save --output "$context/images.tar" "${images[@]}"
}
mapfile -t images < <("$programs/kubeadm" config images list --kubernetes-version "$KUBERNETES_VERSION")
timed "pack the control plane" control_plane_images
# kubeadm alone knows which name and tag each image must have, so the list is its answer.
pause=$(printf '%s\n' "${images[@]}" | grep /pause:)

node_image() {
  cp "$programs"/{kubeadm,kubelet,kubectl} "$context/programs/"
  cp -r "$here/node/." "$context/"
  printf '%s' "$KUBERNETES_VERSION" >"$context/version"
  sed -i "s|@PAUSE_IMAGE@|$pause|; s|@RUNC@|$runc|" "$context/containerd.toml"
  rm -rf "$context/static"
  build_image --build-arg "OS=$os" --tag "$image" "$context"
}
timed "build the node image" node_image
docker image rm "${images[@]}" >/dev/null 2>&1 || true
printf '%s\n' "$image"
