#!/bin/sh
# Installs a Chromium for the tests that look at pages; returns at once if there is one on the PATH.
set -eu
. "$(dirname -- "$0")/apt.sh"

for name in chromium-headless-shell chromium chromium-browser google-chrome; do  # as in tests/support/browser.py
  path=$(command -v "$name") || continue
  case $(readlink -f "$path") in */snap*) continue ;; esac  # a snap can't see the files of the tests
  if "$path" --version >/dev/null 2>&1; then say "There is one: $path"; exit 0; fi
done

# Debian has the package since 12; Ubuntu has Chromium as a snap only.
install_packages "Install Chromium or Chrome in this system's way; without one, the tests that need it skip." \
  chromium-headless-shell fonts-dejavu-core
say "Ready: $(command -v chromium-headless-shell)"
