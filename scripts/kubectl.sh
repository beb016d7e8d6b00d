#!/bin/sh
# Installs kubectl for the tests that build the manifests; returns at once where there is one that can.
set -eu

say() { printf '%s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

cd "$(dirname -- "$0")/.."
builds() { kubectl kustomize kubeflow/manifests/overlays/cpu >/dev/null 2>&1; }

if builds; then say "There is one: $(command -v kubectl)"; exit 0; fi

otherwise="Install kubectl 1.22 or newer in this system's way; without one, the tests that need it skip."
command -v apt-get >/dev/null || stop "No apt-get here. $otherwise"
sudo=''
if [ "$(id -u)" != 0 ]; then
  sudo=sudo
  command -v sudo >/dev/null || stop "Installing packages needs root or sudo, and this is neither. $otherwise"
fi
say "Installing kubernetes-client ..."
$sudo apt-get -qq -o Acquire::Retries=3 update
# Debian 12's is too old, and Ubuntu has kubectl as a snap alone.
apt-cache show kubernetes-client >/dev/null 2>&1 || stop "No package kubernetes-client here. $otherwise"
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 install --yes --no-install-recommends \
  kubernetes-client </dev/null >/dev/null
builds || stop "The packaged kubectl is too old to build the manifests. $otherwise"
say "Ready: $(command -v kubectl)"
