#!/usr/bin/env bash
# `npm.sh FOLDER`: makes node_modules of a folder from its package-lock.json, with node and npm of the machine or,
# where they are missing, of Debian. Done in a moment when nothing changed.
set -euo pipefail
folder=$1

if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "node and npm are missing: install them once (\`sudo apt-get install nodejs npm\`)." >&2
    exit 1
  fi
  echo "Installing nodejs and npm (once; Debian packages)" >&2
  apt-get -qq update >&2
  DEBIAN_FRONTEND=noninteractive apt-get -qq -oDPkg::Lock::Timeout=300 install --yes --no-install-recommends nodejs npm >&2
fi

OLDEST_NODE=18.19 # Debian 12's; "engines" of web/package.json says the same
version=$(node --version)
if [ "$(printf '%s\n' "$OLDEST_NODE" "${version#v}" | sort -V | head -1)" != "$OLDEST_NODE" ]; then
  echo "node $version is too old: $OLDEST_NODE or newer is needed." >&2
  exit 1
fi

# What the system trusts, its administrators may have added to (a proxy's authority); node's own list is fixed.
system_certificates=/etc/ssl/certs/ca-certificates.crt
if [ -z "${NODE_EXTRA_CA_CERTS:-}" ] && [ -r "$system_certificates" ]; then
  export NODE_EXTRA_CA_CERTS=$system_certificates
fi

# npm writes the hidden lock file last, so a newer one means a complete installation of these very versions.
if [ ! "$folder/node_modules/.package-lock.json" -nt "$folder/package-lock.json" ]; then
  echo "Fetching what $folder/package-lock.json names (once; npm)" >&2
  npm ci --prefix "$folder" --ignore-scripts --no-fund --no-audit --loglevel=error >&2
fi
