#!/usr/bin/env bash
# Aurora's controller with 10,000 MLDeployments; arguments go to scale.py. Filling the cluster takes a quarter of an hour
# and is done once: its data is kept in AURORA_CACHE.
#   scale.sh [--n N]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=bench/controller/env.sh
source "$here/env.sh"
exec .venv/bin/python -m bench.controller.scale \
  --kube-bin "$kube_bin" --python "$aurora/bin/python" --state "$cache/scale" "$@"
