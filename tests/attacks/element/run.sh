#!/bin/bash
# The attack book for the element: run.sh BUILD runs every attack, two at a time, and sums them up.
set -u
cd "$(dirname "$0")" || exit 1
build=$(cd "$OLDPWD" && cd "$1" && pwd)
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
printf '%s\n' [0-9]*.py | xargs -P 2 -I{} sh -c 'timeout 300 python3 "$1" "$2" >"$3/$1" 2>&1; echo $? >"$3/$1.rc"' sh {} "$build" "$work"
passed=0; failed=0; skipped=0
for f in [0-9]*.py; do
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$work/$f" | tail -n 1)
    printf '  %-24s %s\n' "$f" "${line:-no closing line}"
    if [ -z "$line" ]; then failed=$((failed + 1)); cat "$work/$f"; continue; fi
    [ "$(cat "$work/$f.rc")" = 0 ] || cat "$work/$f"
    passed=$((passed + $(cut -d' ' -f1 <<<"$line"))); failed=$((failed + $(cut -d' ' -f3 <<<"$line")))
    [[ $line == *skipped* ]] && skipped=$((skipped + $(cut -d' ' -f5 <<<"$line")))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] && [ $passed -gt 0 ]
