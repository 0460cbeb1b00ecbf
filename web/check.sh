#!/usr/bin/env bash
# Types, lint and unit tests of all that lies in web/; the first that fails ends it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
../deploy/local/npm.sh .
npm run --silent typecheck
npm run --silent lint
npm run --silent test
