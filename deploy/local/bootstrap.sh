#!/usr/bin/env bash
# Makes .venv from uv.lock: finds a Python, finds or fetches uv, syncs. Done in a moment when nothing changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

UV_VERSION=0.13.9

say() { echo "$*" >&2; }
fail() { say "$*"; exit 1; }

as_root_with_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_install() {
  say "Installing $* (once; Debian packages)"
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get -qq -oDPkg::Lock::Timeout=300 -oDpkg::Use-Pty=0 install --yes --no-install-recommends "$@" >&2
}

find_python() {
  local candidate
  for candidate in python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      "$candidate" -c 'import sys; print(sys.executable)'
      return 0
    fi
  done
  return 1
}

# Another than the first only where it is much faster: see pace.py.
choose_python() {
  local chosen candidates
  mapfile -t candidates < <(type -aP python3 python3.14 python3.13 python3.12 python3.11)
  chosen=$("$python" deploy/local/pace.py "${candidates[@]}")
  [ "$chosen" = "$python" ] || say "Taking $chosen: it is much faster than $python (UV_PYTHON names another)"
  echo "$chosen"
}

# Old ones do not read our uv.lock.
uv_is_usable() { "$1" --version 2>/dev/null | grep -qE '^uv (0\.(8|9|[1-9][0-9])\.|[1-9])'; }

fetch_uv() {
  say "Fetching uv $UV_VERSION into .cache/ (once)"
  local pip_options=(--quiet --disable-pip-version-check --no-input)
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null && ! "$python" -m pip --version >/dev/null 2>&1; then
    as_root_with_apt || fail "Python can install nothing: run \`sudo apt-get install python3-venv\` once."
    apt_install python3-venv
  fi
  rm -rf .cache/uv
  if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    "$python" -m venv .cache/uv
    .cache/uv/bin/python -m pip install "${pip_options[@]}" "uv==$UV_VERSION" >&2
  else
    "$python" -m pip install "${pip_options[@]}" --target .cache/uv "uv==$UV_VERSION" >&2
  fi
}

command -v setpriv >/dev/null || fail "setpriv is missing: run \`sudo apt-get install util-linux\` once."

if ! python=$(find_python); then
  as_root_with_apt || fail "Python 3.11 or newer is needed: run \`sudo apt-get install python3 python3-venv\` once."
  apt_install python3 python3-venv
  python=$(find_python) || fail "Python 3.11 or newer is needed, and this system's packages have none."
fi

if uv_is_usable uv; then
  uv=uv
else
  uv=.cache/uv/bin/uv
  uv_is_usable "$uv" || fetch_uv
fi

# What .venv has stays.
if [ -x .venv/bin/python ]; then
  chosen=.venv/bin/python
else
  chosen=${UV_PYTHON:-$(choose_python)}
fi

# A home that cannot be written (a service account's) leaves uv its cache in the checkout.
[ -n "${UV_CACHE_DIR:-}" ] || [ -w "${HOME:-/nonexistent}" ] || export UV_CACHE_DIR="$PWD/.cache/uv-downloads"

# What the system trusts, its administrators may have added to (a proxy's authority); uv's own list knows only the web's.
export UV_SYSTEM_CERTS=true UV_NATIVE_TLS=true # the name today, and that of older ones

quiet=--quiet
if [ ! -d .venv ]; then
  say "Making .venv from uv.lock (once)"
  [ ! -t 2 ] || quiet= # to a person at a terminal uv shows how far it is
fi
# Compiled now, since a process that may not write .pyc files would compile all it imports at every start.
UV_PYTHON_DOWNLOADS=never "$uv" sync $quiet --frozen --compile-bytecode --python "$chosen"
