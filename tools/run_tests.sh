#!/bin/bash
# run_tests.sh SANITIZED_BUILD PLAIN_BUILD: runs every test program and script, two at a time (HF_TEST_JOBS), and prints them in the order below; each closes with
# `N passed, N failed[, N skipped]`; their sum is the last line. Lines `figure: NAME = VALUE UNIT` of a test are shown with it (tools/assurance.py reads them).
# HF_TEST_ONLY: a regular expression, the names that run. A test that says `runs alone: REASON` in its first lines comes after the others, by itself. Whole outputs stay in SANITIZED_BUILD/logs.
set -u
cd "$(dirname "$0")/.." || exit 1
build=$1; plain=$2; passed=0; failed=0; skipped=0
slots=${HF_TEST_JOBS:-2}; logs=$build/logs; started=0; shown=0; names=(); waiting=()
rm -rf "$logs"; mkdir -p "$logs"
echo "$([ -n "${HF_LONG:-}" ] && echo long || echo check) ${HF_TEST_ONLY:+part}" >"$logs/run"
show() { # what the tests that have ended say, in order, up to the first that still runs
    local log name line rc seconds
    while [ $shown -lt $started ] && [ -f "$logs/$shown.rc" ]; do
        name=${names[$shown]}; log=$logs/$shown.log; read -r rc seconds <"$logs/$shown.rc"; shown=$((shown + 1))
        line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
        printf '%-34s %s\n' "$name" "${line:-no closing line} (exit $rc, $seconds s)"
        grep '^figure: ' "$log"
        if [ -z "$line" ] || { [ "$rc" -ne 0 ] && [[ $line == *", 0 failed"* ]]; }; then failed=$((failed + 1)); cat "$log"
        else
            [[ $line == *", 0 failed"* ]] || cat "$log"
        fi
        mv "$log" "$logs/${name//[^A-Za-z0-9_.-]/_}.log"
        [ -n "$line" ] || continue
        passed=$((passed + $(cut -d' ' -f1 <<<"$line"))); failed=$((failed + $(cut -d' ' -f3 <<<"$line")))
        [[ $line == *skipped* ]] && skipped=$((skipped + $(cut -d' ' -f5 <<<"$line")))
    done
    return 0
}
until_running() { # N: waits until at most N run
    while done=("$logs"/*.rc) && [ -e "${done[0]}" ] || done=(); [ $((started - ${#done[@]})) -gt "$1" ]; do show; sleep 0.1; done
    show
}
run() { # NAME COMMAND…
    [[ -z ${HF_TEST_ONLY:-} || $1 =~ $HF_TEST_ONLY ]] || return 0
    local n=$started; names[n]=$1; shift
    until_running $((slots - 1))
    {
        trap 'kill $child 2>/dev/null; wait $child; exit' TERM
        began=$SECONDS; timeout "${HF_TEST_TIMEOUT:-600}" "$@" >"$logs/$n.log" 2>&1 </dev/null & child=$!
        wait $child; rc=$?; echo "$rc $((SECONDS - began))" >"$logs/$n.new" && mv "$logs/$n.new" "$logs/$n.rc"
    } &
    started=$((started + 1))
}
script() { # NAME COMMAND…: the command is a script, which may want to be alone
    if head -n 3 "$2" | grep -q 'runs alone: '; then waiting+=("$(printf '%q ' "$@")"); else run "$@"; fi
}
all() {
    trap 'kill $(jobs -p) 2>/dev/null' EXIT; trap 'exit 130' INT TERM
    run domains python3 tools/check_domains.py
    run spec python3 tools/check_spec.py
    run "static analysis" tools/check_static.py "$plain"
    run assurance python3 tools/assurance.py --check
    run manual python3 tools/check_manual.py "$plain"
    for t in "$build"/tests/test_*; do [ -f "$t" ] && [ -x "$t" ] && run "$(basename "$t") (sanitized)" "$t"; done
    for t in "$plain"/tests/test_*; do [ -f "$t" ] && [ -x "$t" ] && run "$(basename "$t")" "$t"; done
    if [ -n "${HOLDFAST_VECTORS:-}" ]; then run "published vectors" tests/vectors/run.sh "$plain/tests/vectors"
    else echo "published vectors: skipped, HOLDFAST_VECTORS names no folder"; skipped=$((skipped + 1)); fi
    for t in tests/e2e/*.sh tests/e2e/*.py; do [ -x "$t" ] && script "$(basename "$t")" "$t" "$plain"; done
    script fuzz tests/fuzz/run.sh "$build"
    script "malformed vaults" tests/bad/bad.py "$plain"
    script "constant time" tests/ct/run.sh "$plain"
    script models tests/model/run.sh
    for t in tests/posix/*.py; do [ -x "$t" ] && script "posix: $(basename "$t")" "$t" "$plain"; done
    for t in tests/power/*.py; do [ -x "$t" ] && script "power: $(basename "$t")" "$t" "$plain"; done
    for t in tests/attacks/*/run.sh; do [ -x "$t" ] && script "attacks: $(basename "$(dirname "$t")")" "$t" "$plain"; done
    [ -z "${HF_LONG:-}" ] || script soak tests/soak.py "$plain" # minutes; in a short run it says little
    script mutations tests/mutation/run.py "$plain"
    [ -z "${HF_LONG:-}" ] || waiting+=("coverage tools/coverage.sh")
    for t in "${waiting[@]}"; do until_running 0; eval "run $t"; done
    until_running 0
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}
all 2>&1 | tee "$logs/all"
exit "${PIPESTATUS[0]}"
