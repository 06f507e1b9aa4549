#!/usr/bin/env bash
# Builds what the benchmark compares and runs it; arguments go to bench.py. Programs, peers and results are kept in
# AURORA_CACHE, so that a second run builds nothing.
#   run.sh [--only NAME...] [--n N...] [--rounds N] [--add]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=bench/controller/env.sh
source "$here/env.sh"
widgets=$cache/widgets-$(content_key "$here/controller_runtime")
kopf=$cache/kopf-1.45.2

build_widgets() {
  go -C "$here/controller_runtime" build -mod=readonly -trimpath -o "$widgets.part" .
  mv "$widgets.part" "$widgets"
}
[[ -x $widgets ]] || timed "build controller-runtime's widgets" build_widgets
[[ -x $kopf/bin/kopf ]] || timed "kopf's environment" \
  python_environment "$kopf" 'kopf[uvloop]==1.45.2' 'kubernetes-asyncio==36.1.0'

run_kopf="$kopf/bin/python -m kopf run --all-namespaces --standalone --quiet bench/controller/kopf"
exec .venv/bin/python -m bench.controller.bench \
  --kube-bin "$kube_bin" --work-dir "$cache/work" --out "$cache/results.json" \
  --impl controller-runtime="$widgets" \
  --impl aurora="$aurora/bin/python -m bench.controller.aurora.widgets" \
  --impl kopf="$run_kopf/widgets.py" \
  --impl kopf-own-cache="$run_kopf/widgets_own_cache.py" "$@"
