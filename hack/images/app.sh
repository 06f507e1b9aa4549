#!/usr/bin/env bash
# The images aurora-controller:dev and aurora-runtime:dev. Unchanged inputs build nothing, changed code builds one small layer.
#   app.sh [controller|runtime]...     default: both
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=hack/env.sh
source "$here/../env.sh"
alone app-images "$@"
"$here/../prerequisites.sh"
"$here/../setup.sh" # compiles what the runtime's image runs
"$here/../docker.sh"

base=
base_image() { # the public Python image where it can be pulled, else Debian's Python; both are 3.11 on Debian 12
  if [[ -z $base ]]; then
    if pull "$PUBLIC_PYTHON_IMAGE"; then
      base=$PUBLIC_PYTHON_IMAGE
    else
      base=$("$here/rootfs.sh" aurora-python python3 ca-certificates libstdc++6 tzdata)
    fi
  fi
}

# Wheels are resolved and unpacked by the host for the image's Python, hashes checked. So the image needs no network, no
# installer and no compiler, and a host's certificate authority or mirror need not be known inside.
dependencies() { # dependencies NAME IMAGE
  local context=$AURORA_CACHE/dependencies-$1
  rm -rf "$context"
  mkdir -p "$context"
  uv pip install --quiet --target "$context/site-packages" --require-hashes --only-binary :all: \
    --python-version "$PYTHON_VERSION" --python-platform "$(uname -m)-manylinux_2_28" -r "$repository/requirements/$1.lock"
  rm -rf "$context/site-packages/bin"
  find "$context/site-packages" -type d -name tests -prune -exec rm -rf {} +
  build_image --build-arg "BASE=$base" --tag "$2" --file "$here/Dockerfile.dependencies" "$context"
  rm -rf "$context"
}

source_of() { # source_of NAME FOLDER: the code that this image runs, and no more
  mkdir -p "$2"
  case $1 in
    runtime) cp -r "$repository/src/aurora_runtime" "$2/" ;;
    controller)
      cp -r "$repository/src/aurora_controller" "$2/"
      mkdir "$2/aurora_runtime" # the two modules that both sides share, and none that needs scikit-learn
      cp "$repository"/src/aurora_runtime/{__init__,contract,logs}.py "$2/aurora_runtime/"
      ;;
  esac
  find "$2" -name __pycache__ -prune -exec rm -rf {} +
  # Enough of an installed distribution for the code to know its own version.
  mkdir "$2/aurora-$version.dist-info"
  printf 'Metadata-Version: 2.1\nName: aurora\nVersion: %s\n' "$version" >"$2/aurora-$version.dist-info/METADATA"
}

app() { # app NAME IMAGE DEPENDENCIES CONTEXT
  build_image --build-arg "DEPENDENCIES=$3" --tag "$2" --file "$here/Dockerfile.$1" "$4"
}

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$repository/pyproject.toml" | head -n 1)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(($#)) || set -- controller runtime
for name in "$@"; do
  base_image
  dependencies=aurora-$name-dependencies:$(content_key "$base" "$repository/requirements/$name.lock" "$here/Dockerfile.dependencies")
  have_image "$dependencies" || timed "dependencies of aurora-$name" dependencies "$name" "$dependencies"

  source_of "$name" "$work/$name/source"
  image=aurora-$name:$(content_key "$dependencies" "$work/$name/source" "$here/Dockerfile.$name")
  have_image "$image" || timed "build aurora-$name" app "$name" "$image" "$dependencies" "$work/$name"
  docker tag "$image" "aurora-$name:dev"
  # Of the images of earlier code only their names are left in the way; what they share stays.
  docker image ls --format '{{.Repository}}:{{.Tag}}' "aurora-$name" | grep -E ':[0-9a-f]{12}$' | grep -vxF "$image" |
    xargs -r docker image rm >/dev/null || true
done
