#!/bin/bash
# The attack book of the letter: run.sh BUILD [--write] runs every script, some at a time; each says what it tried, what came out, and the verdict. Then the table, its comparison
# with the tables in THREATS.md and README.md (--write: writes them first), and the sum.
set -u
cd "$(dirname "$0")" || exit 1
build=$(cd "$OLDPWD" && cd "$1" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
began=$SECONDS
printf '%s\n' [AL]*.py | xargs -P "${HF_ATTACK_JOBS:-3}" -I{} sh -c 'HF_ATTACK_LOG="$3/$1.log" timeout 500 python3 "$1" "$2" >"$3/$1" 2>&1; echo $? >"$3/$1.rc"' sh {} "$build" "$work"
passed=0; failed=0; skipped=0; absent=0
for f in [AL]*.py; do
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/$f" | tail -n 1)
    if [ -z "$line" ]; then failed=$((failed + 1)); printf '%s: no closing line\n' "$f"; cat "$work/$f"; continue; fi
    if [ "$(cat "$work/$f.rc")" != 0 ] || [ -n "${HF_ATTACK_WORDS:-}" ]; then cat "$work/$f"; fi
    passed=$((passed + $(cut -d' ' -f1 <<<"$line"))); failed=$((failed + $(cut -d' ' -f3 <<<"$line")))
    skipped=$((skipped + $(cut -d' ' -f5 <<<"$line"))); absent=$((absent + $(cut -d' ' -f7 <<<"$line")))
    [ "$(cat "$work/$f.rc")" = 0 ] || [[ $line != *", 0 failed"* ]] || failed=$((failed + 1))
done
cat "$work"/*.log >"$work/all"
[ -z "${HF_ATTACK_RESULTS:-}" ] || cp "$work/all" "$HF_ATTACK_RESULTS"
python3 table.py "$work/all" "${2:-}" >"$work/table"; cat "$work/table"
line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/table" | tail -n 1); line=${line:-0 passed, 1 failed}
passed=$((passed + $(cut -d' ' -f1 <<<"$line"))); failed=$((failed + $(cut -d' ' -f3 <<<"$line" | tr -d ,)))
echo "$((SECONDS - began)) s"
echo "$passed passed, $failed failed, $skipped skipped, $absent not built"
[ $failed = 0 ] && [ $passed -gt 0 ]
