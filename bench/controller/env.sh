# Sourced by run.sh and scale.sh: Kubernetes' programs, and an environment as the controller's image has it.
# shellcheck shell=bash disable=SC2034,SC2154
# shellcheck source=hack/env.sh
source "$here/../../hack/env.sh"
"$here/../../hack/cluster/binaries.sh" kubernetes
cache=$AURORA_CACHE/bench/controller
kube_bin=$AURORA_CACHE/bin/kubernetes-$KUBERNETES_VERSION
aurora=$cache/aurora-$(content_key "$repository/requirements/controller.lock")

# What the controller's image carries, and no tools of developers, which some libraries look for.
aurora_environment() {
  rm -rf "$aurora.part" "$aurora"
  uv venv -q --relocatable --python python3 "$aurora.part"
  uv pip install -q --python "$aurora.part/bin/python" --require-hashes -r "$repository/requirements/controller.lock"
  mv "$aurora.part" "$aurora"
}
mkdir -p "$cache/work"
[[ -x $aurora/bin/python ]] || timed "aurora's environment" aurora_environment

# All of them start from bytecode, as they do in images.
unset PYTHONDONTWRITEBYTECODE
cd "$repository"
