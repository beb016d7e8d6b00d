#!/bin/sh
# Installs a Chromium for the tests that look at the pages; returns at once where the PATH has one.
set -eu

say() { printf '%s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

for name in chromium-headless-shell chromium chromium-browser google-chrome; do  # as in tests/support/browser.py
  found=$(command -v "$name") || continue
  case $(readlink -f "$found") in */snap*) continue ;; esac  # one from a snap sees no file of the tests
  if "$found" --version >/dev/null 2>&1; then say "There is one: $found"; exit 0; fi
done

otherwise="Install Chromium or Chrome in this system's way; without one, the tests that need it skip."
command -v apt-get >/dev/null || stop "No apt-get here. $otherwise"
sudo=''
if [ "$(id -u)" != 0 ]; then
  sudo=sudo
  command -v sudo >/dev/null || stop "Installing packages needs root or sudo, and this is neither. $otherwise"
fi
say "Installing chromium-headless-shell ..."
$sudo apt-get -qq -o Acquire::Retries=3 update
# Debian has it since 12; Ubuntu has Chromium as a snap alone.
apt-cache show chromium-headless-shell >/dev/null 2>&1 || stop "No package chromium-headless-shell here. $otherwise"
$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 install --yes --no-install-recommends \
  chromium-headless-shell fonts-dejavu-core </dev/null >/dev/null
say "Ready: $(command -v chromium-headless-shell)"
