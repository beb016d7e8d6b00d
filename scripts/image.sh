#!/bin/sh
# Builds the image from kubeflow/Dockerfile, with docker, podman or buildah, whichever is there.
#
#   scripts/image.sh [cpu|gpu] [BUILD OPTIONS]
#
# It is called fraud-pipeline:VERSION-cpu or -gpu; --tag REGISTRY/NAME:TAG names it besides. All options are those of the
# builder, for example --build-arg BASE=MIRROR/python:3.13-slim-trixie, or --secret id=pip.conf,src=$HOME/.config/pip/pip.conf
# where packages come from a mirror of PyPI.
set -eu

stop() { printf '%s\n' "$*" >&2; exit 1; }

cd "$(dirname -- "$0")/.."

accelerator=cpu
case ${1:-} in
  cpu | gpu) accelerator=$1; shift ;;
  -* | '') ;;
  *) stop "cpu or gpu, and then options of the builder; got $1" ;;
esac
case $accelerator in
  cpu) base=docker.io/library/python:3.13-slim-trixie ;;
  gpu) base=docker.io/nvidia/cuda:12.9.1-base-ubuntu24.04 ;;
esac

if docker info >/dev/null 2>&1; then builder='docker build'
elif command -v podman >/dev/null; then builder='podman build'
elif command -v buildah >/dev/null; then builder='buildah build'
elif command -v docker >/dev/null; then stop "docker is here, but its daemon does not answer (docker info): start it, or install podman or buildah."
else stop "No docker, podman or buildah here to build an image: install one of them; on Debian and Ubuntu: apt install podman"
fi

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# What was built from more than a commit has a name of its own.
[ -z "$(git status --porcelain 2>/dev/null)" ] || revision=$revision-modified

# The caller's own build arguments come last, and so win.
exec $builder --file kubeflow/Dockerfile --tag "fraud-pipeline:$version-$accelerator" \
  --build-arg BASE="$base" --build-arg ACCELERATOR="$accelerator" \
  --build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg CREATED="$(date -u +%Y-%m-%dT%H:%M:%SZ)" \
  "$@" .
