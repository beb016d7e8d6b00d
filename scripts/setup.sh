#!/bin/sh
# Makes the project's one environment, .venv, from the hash-locked requirements; returns at once when it is ready.
#
#   scripts/setup.sh [--python INTERPRETER] [--check]
#
#   --python INTERPRETER   use this Python, look for no other
#   --check                only say which Python and which TFX would be used, or what is missing
#
# TFX 1.21 (Python 3.11 to 3.13) needs glibc 2.39; older systems get TFX 1.16, which needs Python 3.10.
set -eu

say() { printf '%s\n' "$*" >&2; }
stop() { say "$*"; exit 1; }

only='' check=''
while [ $# -gt 0 ]; do
  case $1 in
    --python) [ $# -gt 1 ] || stop "--python needs an interpreter, for example --python python3.12"
              only=$2; shift ;;
    --check) check=yes ;;
    *) stop "unknown option $1; allowed: --python INTERPRETER, --check" ;;
  esac
  shift
done

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
log=.venv/setup.log

# What the environment was made from; comments in the locks do not count, nor do the image's locks. The folder does: an
# environment does not survive a move.
locks="$(grep -hv '^ *#' requirements/build.txt requirements/tfx-*.txt | cksum) $root"
project=$(cksum <pyproject.toml)

stamped() { [ "$(cat ".venv/$1" 2>/dev/null)" = "$2" ]; }
stamp() { printf '%s\n' "$2" >".venv/$1.new" && mv ".venv/$1.new" ".venv/$1"; }
installed() { [ -x .venv/bin/python ] && stamped locks "$locks"; }
ready() { installed && stamped project "$project"; }

# ---- which Python -------------------------------------------------------------------------------------------

# One line for an interpreter: its version, what it lacks (venv, Python.h, or -), and the real interpreter behind a
# pyenv shim or a virtual environment.
probe='
import os, sys, sysconfig
lacks = []
try:
    import venv, ensurepip
except ImportError:
    lacks.append("venv")
if not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")):
    lacks.append("Python.h")
if sys.implementation.name == "cpython" and sys.maxsize > 2**32:
    print("%d.%d" % sys.version_info[:2], "%d.%d.%d" % sys.version_info[:3], ",".join(lacks) or "-",
          getattr(sys, "_base_executable", None) or sys.executable)
'

candidates() {
  if [ -n "$only" ]; then command -v -- "$only" || true; return; fi
  old_ifs=$IFS; IFS=:
  for dir in $PATH; do
    for python in "$dir"/python3 "$dir"/python3.[0-9] "$dir"/python3.[0-9][0-9] "$dir"/python; do printf '%s\n' "$python"; done
  done
  IFS=$old_ifs
  # pyenv's own python3.10 fails unless that version is selected; the interpreters are in its versions folder.
  for home in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"; do
    for python in "$home"/versions/3.*/bin/python; do printf '%s\n' "$python"; done
  done
  managed=${UV_PYTHON_INSTALL_DIR:-${XDG_DATA_HOME:-${HOME:-}/.local/share}/uv/python}
  for python in "$managed"/cpython-3.*/bin/python; do printf '%s\n' "$python"; done
}

survey() {
  candidates | while IFS= read -r python; do
    if [ -f "$python" ] && [ -x "$python" ]; then
      "$python" -E -c "$probe" </dev/null 2>/dev/null || true
    fi
  done
}

# The newest supported Python that lacks nothing; else the newest that lacks something.
choose() {
  found=$(survey)
  for lacking in no yes; do
    for version in $supported; do
      while read -r minor full lacks python; do
        [ "$minor" = "$version" ] || continue
        [ "$lacks" = - ] || [ "$lacking" = yes ] || continue
        return 0
      done <<LIST
$found
LIST
    done
  done
  return 1
}

platform="$(uname -s) $(uname -m)"
case $platform in
  'Linux x86_64')
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || libc='no glibc'
    case $libc in
      'glibc 2.'*) release=${libc#glibc 2.} ;;
      *) stop "TFX has packages for systems with glibc only, and this one has none: use Debian, Ubuntu, Fedora or the like." ;;
    esac
    if [ "${release%%.*}" -ge 39 ]; then supported='3.13 3.12 3.11 3.10'; else supported='3.10'; fi ;;
  'Darwin arm64') libc=macOS supported='3.13 3.12 3.11' ;;
  *) stop "TFX has packages for Linux on x86_64, and this is $platform: use a Linux machine or container." ;;
esac

choose_or_stop() {
  if ! choose || [ "$lacks" != - ]; then
    if [ -z "$check$only" ] && command -v uv >/dev/null; then
      say "No complete Python $(printf '%s' "$supported" | sed 's/ /, /g') here: asking uv for one ..."
      limit=$(command -v timeout || true)
      ${limit:+"$limit" 300} uv python install "${supported%% *}" </dev/null >/dev/null 2>&1 || say "uv could not fetch it."
    fi
    if ! choose; then
      versions=$(printf '%s\n' "$found" | cut -d' ' -f2 | sort -u | tr '\n' ' ' | sed 's/^ *//; s/ *$//; s/ /, /g')
      stop "No Python fits: $libc needs Python $(printf '%s' "$supported" | sed 's/ /, /g; s/, \([^,]*\)$/ or \1/'), found ${versions:-none}; install Python ${supported%% *} (with the system's packages, pyenv or uv) and run this again."
    fi
  fi
  # pyfarmhash, which data validation needs, has no wheel: it is compiled, as C++.
  for compiler in ${CXX:-} c++ g++ clang++ ''; do
    if [ -n "$compiler" ] && command -v "$compiler" >/dev/null; then break; fi
  done
  missing='' packages=''
  case $lacks in *venv*) missing="$missing, the venv module" packages="$packages python$minor-venv" ;; esac
  case $lacks in *Python.h*) missing="$missing, Python.h" packages="$packages python$minor-dev" ;; esac
  [ -n "$compiler" ] || missing="$missing, a C++ compiler" packages="$packages g++"
  [ -z "$missing" ] || stop "Python $full ($python) fits, but this is missing: ${missing#, }; on Debian and Ubuntu: apt install$packages"
  if [ "$minor" = 3.10 ]; then tfx=1.16; else tfx=1.21; fi
}

if [ -n "$check" ]; then
  choose_or_stop
  echo "Python $full ($python), TFX $tfx"
  exit 0
fi
if ready && [ -z "$only" ]; then exit 0; fi

# ---- the environment ----------------------------------------------------------------------------------------

# The lock goes with the process that holds it, however that ends.
exec 9<scripts/setup.sh
if command -v flock >/dev/null && ! flock -n 9; then
  say "Another set-up is at work here: waiting for it ..."
  flock 9
  if ready && [ -z "$only" ]; then exit 0; fi
fi

exec 3>&2  # for what is said within a step, whose own output goes to the log
step() {
  doing=$1; shift
  say "  $doing ..."
  "$@" >>"$log" 2>&1 </dev/null && return
  tail -n 15 "$log" >&2
  stop "The set-up stopped at: $doing. Above are the last lines of $log. Network, disk space and the compiler are the usual causes; once mended, run the same command again."
}

# From the lock alone: no resolving, no build requirement fetched besides, every file checked against its hash.
install() {
  watch "$1" 9>&- &
  watcher=$!
  if fetch_and_install "$1" 3>&-; then status=0; else status=$?; fi
  kill "$watcher" 2>/dev/null || true
  wait "$watcher" 2>/dev/null || true
  if [ -t 3 ]; then printf '\r\033[K' >&3; fi
  return "$status"
}

fetch_and_install() {
  set -- --no-deps --no-build-isolation --require-hashes -r "$1"
  if command -v uv >/dev/null; then
    uv pip install --python .venv/bin/python "$@" && return
    echo "uv did not succeed; pip tries now."
  fi
  .venv/bin/python -m pip install --no-compile "$@"
}

# How far an installation is, until this script ends it or ends itself: on a terminal one line that changes, elsewhere a
# line every 50 packages or 30 seconds. Installed is what has its metadata in place; what was fetched the log tells, by
# pip's lines, one for each package, or uv's, which names the large ones alone.
watch() {
  total=$(pins "$1") seconds=0 before=0
  had=$(distributions) had_collected=$(lines '^Collecting ')
  had_large=$(lines '^Downloading ') had_fetched=$(lines '^ Downloaded ')
  while sleep 1 3>&- && kill -0 $$ 2>/dev/null; do
    seconds=$((seconds + 1))
    installed=$(($(distributions) - had)) collected=$(($(lines '^Collecting ') - had_collected))
    fetched=$(($(lines '^ Downloaded ') - had_fetched)) large=$(($(lines '^Downloading ') - had_large))
    if [ "$installed" -gt 0 ]; then
      packages=$installed at="$installed of $total packages installed"
    elif [ "$collected" -gt 0 ]; then
      packages=$collected at="$collected of $total packages fetched, none installed yet"
    else
      packages=$fetched at="$total packages to fetch"
      [ "$large" -eq 0 ] || at="$at; large ones: $fetched fetched, $((large - fetched)) on the way"
    fi
    if [ -t 3 ]; then
      printf '\r    %s\033[K' "$at" >&3
    elif [ $((packages / 50)) -ne "$before" ] || [ "$seconds" -ge 30 ]; then
      printf '    %s\n' "$at" >&3
      seconds=0 before=$((packages / 50))
    fi
  done
}

pins() { grep -c '^[a-z].*==' "$1"; }
lines() { grep -c "$1" "$log" || true; }
distributions() { set -- .venv/lib/python*/site-packages/*.dist-info; if [ -e "$1" ]; then echo $#; else echo 0; fi; }

# PYTHONDONTWRITEBYTECODE is common in containers: without byte code every import of TFX compiles it anew. Checked by
# time stamp: where SOURCE_DATE_EPOCH is set, compileall would have every import read and hash the source instead.
compile() { .venv/bin/python -m compileall -qq -j 0 --invalidation-mode timestamp "$@" || true; }

unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME
if ! installed || [ -n "$only" ]; then
  choose_or_stop
  # A folder that this script did not make is not its to delete.
  if [ -e .venv ] && [ ! -e "$log" ]; then
    stop ".venv is there already and was not made by this set-up: move or delete it, and run this again."
  fi
  began=$(date +%s)
  requirements=requirements/tfx-$tfx.txt
  say "Setting up .venv with Python $full and TFX $tfx (once; a few minutes, about 4 GB) ..."
  rm -rf .venv
  mkdir .venv
  : >"$log"
  export CXX="$compiler"
  step "making the environment" "$python" -m venv .venv
  step "installing the build tools" install requirements/build.txt
  step "installing $(pins "$requirements") packages" install "$requirements"
  step "compiling byte code" compile .venv/lib
  stamp locks "$locks"
  took=" (set up in $(($(date +%s) - began)) s)"
fi
step "installing the project" .venv/bin/python -m pip install --no-deps --no-build-isolation -e .
compile pipeline components trainer >>"$log" 2>&1 </dev/null
stamp project "$project"
say "Ready${took:-}."
