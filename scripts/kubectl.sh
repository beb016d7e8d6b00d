#!/bin/sh
# Installs kubectl for the tests that build the manifests; returns at once if there is one that can build them.
set -eu
cd "$(dirname -- "$0")/.."
. scripts/apt.sh

builds() { kubectl kustomize kubeflow/manifests/overlays/cpu >/dev/null 2>&1; }

if builds; then say "There is one: $(command -v kubectl)"; exit 0; fi

# Debian 12's is too old, and Ubuntu has kubectl as a snap only.
otherwise="Install kubectl 1.22 or newer in this system's way; without one, the tests that need it skip."
install_packages "$otherwise" kubernetes-client
builds || stop "The packaged kubectl is too old to build the manifests. $otherwise"
say "Ready: $(command -v kubectl)"
