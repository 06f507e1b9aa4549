#!/usr/bin/env bash
# Builds what the benchmark compares and runs it; arguments go to bench.py. Programs, peers and results are kept in
# AURORA_CACHE, so that a second run builds nothing.
#   run.sh [--only NAME...] [--n N...] [--rounds N] [--add]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/../../hack/env.sh"
"$here/../../hack/cluster/binaries.sh" kubernetes
cache=$AURORA_CACHE/bench/controller
widgets=$cache/widgets-$(content_key "$here/controller_runtime")
kopf=$cache/kopf-1.45.2
aurora=$cache/aurora-$(content_key "$repository/requirements/controller.lock")

build_widgets() {
  go -C "$here/controller_runtime" build -mod=readonly -trimpath -o "$widgets.part" .
  mv "$widgets.part" "$widgets"
}
kopf_environment() {
  rm -rf "$kopf.part" "$kopf"
  uv venv -q --relocatable --python python3 "$kopf.part"
  uv pip install -q --python "$kopf.part/bin/python" 'kopf[uvloop]==1.45.2' 'kubernetes-asyncio==36.1.0'
  mv "$kopf.part" "$kopf"
}
aurora_environment() { # what the controller's image carries, and no tools of developers, which some libraries look for
  rm -rf "$aurora.part" "$aurora"
  uv venv -q --relocatable --python python3 "$aurora.part"
  uv pip install -q --python "$aurora.part/bin/python" --require-hashes -r "$repository/requirements/controller.lock"
  mv "$aurora.part" "$aurora"
}
mkdir -p "$cache/work"
[[ -x $widgets ]] || timed "build controller-runtime's widgets" build_widgets
[[ -x $kopf/bin/kopf ]] || timed "kopf's environment" kopf_environment
[[ -x $aurora/bin/python ]] || timed "aurora's environment" aurora_environment

# All of them start from bytecode, as they do in images.
unset PYTHONDONTWRITEBYTECODE
cd "$repository"
run_kopf="$kopf/bin/python -m kopf run --all-namespaces --standalone --quiet bench/controller/kopf"
exec .venv/bin/python -m bench.controller.bench \
  --kube-bin "$AURORA_CACHE/bin/kubernetes-$KUBERNETES_VERSION" --work-dir "$cache/work" --out "$cache/results.json" \
  --impl controller-runtime="$widgets" \
  --impl aurora="$aurora/bin/python -m bench.controller.aurora.widgets" \
  --impl kopf="$run_kopf/widgets.py" \
  --impl kopf-own-cache="$run_kopf/widgets_own_cache.py" "$@"
