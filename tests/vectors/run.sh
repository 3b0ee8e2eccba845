#!/bin/sh
# tests/vectors/run.sh PROGRAM: gives PROGRAM (test_vectors) the vectors of the folder that HOLDFAST_VECTORS names. Without one: skipped (status 77).
set -eu
if [ -z "${HOLDFAST_VECTORS:-}" ]; then
    echo "skipped: HOLDFAST_VECTORS does not name a folder of published vectors"
    exit 77
fi
flat=$(mktemp)
trap 'rm -f "$flat"' EXIT
python3 "$(dirname "$0")/flatten.py" "$HOLDFAST_VECTORS" >"$flat"
"$1" <"$flat"
