#!/usr/bin/env bash
# Makes what the benchmark compares and runs it; arguments go to bench.py. Environments, model and results are kept in
# AURORA_CACHE, so that a second run makes nothing.
#   run.sh [--quick] [--models NAME...] [--only NAME...] [--rounds N] [--seconds N]
#   run.sh prepare          only makes them
#   run.sh soak [--requests N]
#   run.sh engines [--turns N]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/../../hack/env.sh"
"$here/../../hack/prerequisites.sh" bench
cache=$AURORA_CACHE/bench/serving
scikit_learn=$(sed -n 's/^scikit-learn==\([0-9.]*\).*/\1/p' "$repository/requirements/runtime.lock")
# Newer uvloop ends MLServer's worker at its start; newer certifi is asked for by a BentoML that cannot be installed.
peers=(
  "mlserver mlserver==1.7.1 mlserver-sklearn==1.7.1 scikit-learn==$scikit_learn uvloop<0.22"
  "kserve kserve==0.21.0 joblib scikit-learn==$scikit_learn"
  "bentoml bentoml==1.4.39 joblib scikit-learn==$scikit_learn"
)
environments=$cache/environments-$(content_key "${peers[*]}" "$repository/requirements/runtime.lock")
runtime=$repository/src/aurora_runtime
work=$cache/work-$(content_key "$here/model.py" "$here/graph.py" "$runtime/trainer/conversion" "$runtime/store" "$repository/requirements/runtime.lock")
mkdir -p "$environments" "$work"

# What the runtime's image carries, and no tools of developers. The code is that of this clone, by PYTHONPATH; what is
# installed of it is only asked for its version.
aurora_environment() {
  python_environment "$environments/aurora" --require-hashes -r "$repository/requirements/runtime.lock"
  uv pip install -q --python "$environments/aurora/bin/python" --no-deps "$repository"
}
[[ -e $environments/aurora ]] || timed "environment of aurora" aurora_environment
unset PYTHONDONTWRITEBYTECODE # all of them start from bytecode, as they do in images
cd "$repository"
export PYTHONPATH=$repository:$repository/src
[[ -e $work/done ]] || timed "the models that all serve" "$environments/aurora/bin/python" -m bench.serving.model "$work"
if [[ ${1:-} == engines ]]; then
  exec taskset --cpu-list 0 "$environments/aurora/bin/python" -m bench.serving.engines --work-dir "$work/forest" "${@:2}"
fi
if [[ ${1:-} == soak ]]; then
  exec "$environments/aurora/bin/python" -m bench.serving.soak \
    --work-dir "$work/forest" --python "$environments/aurora/bin/python" "${@:2}"
fi
for peer in "${peers[@]}"; do
  read -ra words <<<"$peer"
  [[ -d $environments/${words[0]} ]] ||
    timed "environment of ${words[0]}" python_environment "$environments/${words[0]}" "${words[@]:1}"
done
if [[ ${1:-} == prepare ]]; then exit; fi
exec "$environments/aurora/bin/python" -m bench.serving.bench \
  --work-dir "$work" --environments "$environments" --python "$environments/aurora/bin/python" "$@"
