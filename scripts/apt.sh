# Sourced by the scripts that install a program for the tests.

say() { printf '%s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

# install_packages OTHERWISE PACKAGE...: by apt-get; where that can't be, stops with OTHERWISE, which says what to do.
install_packages() {
  otherwise=$1
  shift
  command -v apt-get >/dev/null || stop "There is no apt-get here. $otherwise"
  sudo=''
  if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null || stop "Installing packages needs root or sudo, and there is neither. $otherwise"
  fi
  say "Installing $1 ..."
  $sudo apt-get -qq -o Acquire::Retries=3 update
  apt-cache show "$1" >/dev/null 2>&1 || stop "There is no package $1 here. $otherwise"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 install --yes --no-install-recommends \
    "$@" </dev/null >/dev/null
}
