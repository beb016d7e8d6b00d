#!/bin/sh
# Writes requirements/*.txt, with hashes, from pyproject.toml; options go to `uv pip compile`, for example --upgrade.
# Not uv.lock: that names registries' addresses.
set -eu
cd "$(dirname -- "$0")/.."

if command -v uv >/dev/null; then
  uv=uv
else
  tools=$(mktemp -d)
  trap 'rm -rf "$tools"' EXIT
  python3 -m venv "$tools" && "$tools/bin/python" -m pip install --quiet uv
  uv=$tools/bin/uv
fi

lock() {
  echo "$*" >&2
  "$uv" pip compile --quiet --generate-hashes --no-header --no-emit-index-url "$@"
}

lock requirements/build.in --output-file requirements/build.txt --universal --python-version 3.10 "$@"
# TFX 1.16 stands for one Python on one platform; TFX 1.21 for three Pythons, told apart by markers.
lock pyproject.toml --extra dev --extra kubeflow --output-file requirements/tfx-1.16.txt \
  --python-version 3.10 --python-platform x86_64-manylinux_2_28 "$@"
lock pyproject.toml --extra dev --extra kubeflow --output-file requirements/tfx-1.21.txt --universal --python-version 3.11 "$@"
# What the image installs: of the newer stack, in its versions, what a pod needs; and with CUDA's libraries for a GPU.
lock pyproject.toml --extra kubeflow --constraints requirements/tfx-1.21.txt --output-file requirements/image.txt \
  --universal --python-version 3.11 "$@"
lock pyproject.toml requirements/image-gpu.in --extra kubeflow --constraints requirements/tfx-1.21.txt \
  --output-file requirements/image-gpu.txt --universal --python-version 3.11 "$@"
