#!/usr/bin/env bash
# Makes what the benchmark compares and runs it; arguments go to bench.py. Environments, model and results are kept in
# AURORA_CACHE, so that a second run makes nothing.
#   run.sh [--only NAME...] [--rounds N] [--seconds N]
#   run.sh soak [--requests N]
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/../../hack/env.sh"
"$here/../../hack/prerequisites.sh" bench
cache=$AURORA_CACHE/bench/serving
scikit_learn=$(sed -n 's/^scikit-learn==\([0-9.]*\).*/\1/p' "$repository/requirements/runtime.lock")
environments=$cache/environments-$(content_key "$here/run.sh" "$repository/requirements/runtime.lock")
work=$cache/work-$(content_key "$here/model.py" "$repository/requirements/runtime.lock")
mkdir -p "$environments" "$work"

need() { [[ -d $environments/$1 ]] || timed "environment of $1" python_environment "$environments/$1" "${@:2}"; }
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
[[ -e $work/done ]] || timed "the model that all serve" "$environments/aurora/bin/python" -m bench.serving.model "$work"
if [[ ${1:-} == soak ]]; then
  exec "$environments/aurora/bin/python" -m bench.serving.soak \
    --work-dir "$work" --python "$environments/aurora/bin/python" "${@:2}"
fi
# Newer uvloop ends MLServer's worker at its start; newer certifi is asked for by a BentoML that cannot be installed.
need mlserver mlserver==1.7.1 mlserver-sklearn==1.7.1 "scikit-learn==$scikit_learn" 'uvloop<0.22'
need kserve kserve==0.21.0 joblib "scikit-learn==$scikit_learn"
need bentoml bentoml==1.4.39 joblib "scikit-learn==$scikit_learn"
exec "$environments/aurora/bin/python" -m bench.serving.bench \
  --work-dir "$work" --environments "$environments" --python "$environments/aurora/bin/python" "$@"
