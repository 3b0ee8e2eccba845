#!/bin/bash
# run_tests.sh SANITIZED_BUILD PLAIN_BUILD: runs every test program and script; each closes with `N passed, N failed[, N skipped]`; their sum is the last line.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1; plain=$2; passed=0; failed=0; skipped=0
log=$(mktemp); trap 'rm -f "$log"' EXIT
run() { # NAME COMMAND…
    local name=$1 line rc; shift
    timeout "${HF_TEST_TIMEOUT:-600}" "$@" >"$log" 2>&1 </dev/null; rc=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
    printf '%-34s %s\n' "$name" "${line:-no closing line} (exit $rc)"
    if [ -z "$line" ] || { [ $rc -ne 0 ] && [[ $line == *", 0 failed"* ]]; }; then failed=$((failed + 1)); cat "$log"
    else
        [[ $line == *", 0 failed"* ]] || cat "$log"
    fi
    [ -n "$line" ] || return 0
    passed=$((passed + $(cut -d' ' -f1 <<<"$line"))); failed=$((failed + $(cut -d' ' -f3 <<<"$line")))
    [[ $line == *skipped* ]] && skipped=$((skipped + $(cut -d' ' -f5 <<<"$line")))
}
run domains python3 tools/check_domains.py
run spec python3 tools/check_spec.py
run "static analysis" tools/check_static.py "$plain"
run manual python3 tools/check_manual.py "$plain"
for t in "$build"/tests/test_*; do [ -f "$t" ] && [ -x "$t" ] && run "$(basename "$t") (sanitized)" "$t"; done
for t in "$plain"/tests/test_*; do [ -f "$t" ] && [ -x "$t" ] && run "$(basename "$t")" "$t"; done
if [ -n "${HOLDFAST_VECTORS:-}" ]; then run "published vectors" tests/vectors/run.sh "$plain/tests/vectors"
else echo "published vectors: skipped, HOLDFAST_VECTORS names no folder"; skipped=$((skipped + 1)); fi
for t in tests/e2e/*.sh tests/e2e/*.py; do [ -x "$t" ] && run "$(basename "$t")" "$t" "$plain"; done
run models tests/model/run.sh
for t in tests/posix/*.py; do [ -x "$t" ] && run "posix: $(basename "$t")" "$t" "$plain"; done
for t in tests/power/*.py; do [ -x "$t" ] && run "power: $(basename "$t")" "$t" "$plain"; done
for t in tests/attacks/*/run.sh; do [ -x "$t" ] && run "attacks: $(basename "$(dirname "$t")")" "$t" "$plain"; done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
