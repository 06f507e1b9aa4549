# Sourced by run.sh and scale.sh: Kubernetes' programs, and an environment as the controller's image has it.
# shellcheck shell=bash disable=SC2034,SC2154
# shellcheck source=hack/env.sh
source "$here/../../hack/env.sh"
"$here/../../hack/cluster/binaries.sh" kubernetes
cache=$AURORA_CACHE/bench/controller
kube_bin=$AURORA_CACHE/bin/kubernetes-$KUBERNETES_VERSION
aurora=$cache/aurora-$(content_key "$repository/requirements/controller.lock")

mkdir -p "$cache/work"
# What the controller's image carries, and no tools of developers, which some libraries look for.
[[ -x $aurora/bin/python ]] || timed "aurora's environment" \
  python_environment "$aurora" --require-hashes -r "$repository/requirements/controller.lock"

# All of them start from bytecode, as they do in images.
unset PYTHONDONTWRITEBYTECODE
cd "$repository"
