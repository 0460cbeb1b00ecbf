#!/usr/bin/env bash
# Runs buf with the arguments given, in the checkout; fetches the pinned one from npm when it is not there yet.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
deploy/local/npm.sh deploy/local/buf
exec deploy/local/buf/node_modules/.bin/buf "$@"
