#!/bin/sh
# Checks the contract: lint, no breaking change against the last release's descriptor set, generated code up to date.
# PYTHON and BUF name the tools; `check.sh --rebase` makes today's contract the new baseline.
set -eu
cd "$(dirname "$0")"
buf=${BUF:-buf}
if [ "${1:-}" = --rebase ]; then
    exec "$buf" build --exclude-source-info -o baseline.binpb
fi
"$buf" lint
"$buf" breaking --against baseline.binpb
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
sh ./generate.sh "$scratch"
diff -r -x __pycache__ "$scratch" ../generated || { echo "generated/ is not what proto/ says: run make proto" >&2; exit 1; }
