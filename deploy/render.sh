#!/bin/sh
# Renders the chart into deploy/operator.yaml, for installing without Helm.
#
#   deploy/render.sh                 write deploy/operator.yaml
#   deploy/render.sh --check         fail where deploy/operator.yaml differs from the chart
#   deploy/render.sh --print ARGS…   print, with further arguments for `helm template`
#
# HELM names the helm binary, where it is not `helm`.
set -eu

folder=$(cd "$(dirname "$0")" && pwd)
chart=$folder/../charts/bakeoff
rendered=$folder/operator.yaml
helm=${HELM:-helm}
namespace=bakeoff-system

if ! command -v "$helm" >/dev/null 2>&1; then
    echo "render.sh: no helm found; put it on the PATH or set HELM to its binary" >&2
    exit 2
fi

render() {
    cat <<HEADER
# Generated from charts/bakeoff with deploy/values.yaml by deploy/render.sh; do not edit.
# Replace the two images, then: kubectl apply --server-side -f deploy/operator.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: $namespace
  labels:
    pod-security.kubernetes.io/enforce: restricted
HEADER
    # The version is fixed so that the result does not depend on how helm was built.
    "$helm" template bakeoff "$chart" --namespace "$namespace" --include-crds \
        --kube-version 1.34.0 --values "$folder/values.yaml" "$@"
}

case ${1:-} in
"")
    render >"$rendered.tmp"
    mv "$rendered.tmp" "$rendered"
    ;;
--check)
    fresh=$(mktemp)
    trap 'rm -f "$fresh"' EXIT
    render >"$fresh"
    if ! diff -u "$rendered" "$fresh"; then
        echo "render.sh: deploy/operator.yaml is not what the chart renders; run deploy/render.sh" >&2
        exit 1
    fi
    ;;
--print)
    shift
    render "$@"
    ;;
*)
    echo "render.sh: unknown argument $1; see the head of this file" >&2
    exit 2
    ;;
esac
