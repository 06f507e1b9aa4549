#!/usr/bin/env bash
# The claim aurora-models (ReadWriteMany) of a namespace that exists, on a folder of this host.
#   volume.sh NAMESPACE            make it; what the folder holds stays
#   volume.sh NAMESPACE --fresh    make it, empty
#   volume.sh NAMESPACE --delete   remove claim, volume and folder
# The folder is ~/.cache/aurora/clusters/NAME/models/NAMESPACE.
set -euo pipefail
# shellcheck source=hack/cluster/env.sh
source "$(dirname "${BASH_SOURCE[0]}")/env.sh"
namespace=$1
volume=aurora-models-$namespace
folder=$state/models/$namespace

remove() {
  k delete pvc aurora-models --namespace "$namespace" --ignore-not-found
  k delete pv "$volume" --ignore-not-found
}

case ${2:-} in
  --delete) remove && rm -rf "$folder" && exit ;;
  --fresh) remove && rm -rf "$folder" ;;
esac
mkdir -p "$folder"
chmod 0777 "$folder" # pods are uid 65532, and fsGroup does not reach a hostPath
# A volume whose claim was deleted with its namespace stays Released, bound to a claim that never comes back.
if [[ $(k get pv "$volume" --ignore-not-found --output 'jsonpath={.status.phase}') == Released ]]; then k delete pv "$volume"; fi
sed "s|@NAMESPACE@|$namespace|g" "$repository/config/storage/kind/volume.yaml" | k apply -f -
k wait --for=jsonpath='{.status.phase}'=Bound pvc/aurora-models --namespace "$namespace" --timeout 30s
