#!/bin/bash
# The Spin models: the order that is built holds, each wrong order gives a counterexample (else the model would show nothing). Then the explorer of crash states for the on-disk
# format (format/: symbolic cryptography, all subsets of unsynced operations; the oracle of the rules in spec/35-crash.md, and of the index's log in spec/36-freshness.md): fixed and
# random workloads, two cuts in a row, and one rule left out at a time, which must fall.
# HF_LONG=1: more of them.
set -u
cd "$(dirname "$0")" || exit 1
passed=0; failed=0
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
verify() { # MODEL ORDER WANTED
    local errors
    cp "$1.pml" "$dir/" && cd "$dir" || exit 1
    rm -f pan*
    timeout 60 spin -DORDER="$2" -a "$1.pml" >spin.log 2>&1 && timeout 120 gcc -O2 -w -o pan pan.c >>spin.log 2>&1
    errors=$(timeout 120 ./pan -a -m100000 2>>spin.log | sed -n 's/.*errors: \([0-9]*\).*/\1/p' | tail -n 1)
    cd - >/dev/null || exit 1
    if { [ "$3" = holds ] && [ "${errors:-x}" = 0 ]; } || { [ "$3" = falls ] && [ "${errors:-0}" -gt 0 ]; }; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "$1, order $2: wanted that it $3, errors: ${errors:-none counted}"; tail -n 5 "$dir/spin.log"; fi
}
verify attempts 1 holds; verify attempts 2 falls; verify attempts 3 falls
verify lock 1 holds; verify lock 2 falls; verify lock 3 falls
n=12; [ -n "${HF_LONG:-}" ] && n=300
explore() { # WANTED SCRIPT COUNT [RULES]
    local wanted=$1 out; shift
    out=$(cd format && timeout $((n * 10 + 300)) python3 "$@" 2>&1)
    if { [ "$wanted" = holds ] && ! grep -q 'failing[a-z ]* [1-9]' <<<"$out" && grep -q 'failing[a-z ]* 0' <<<"$out"; } ||
       { [ "$wanted" = falls ] && grep -q 'failing[a-z ]* [1-9]' <<<"$out"; }; then passed=$((passed + 1))
    else failed=$((failed + 1)); echo "format explorer, $*: wanted that it $wanted"; tail -n 5 <<<"$out"; fi
}
explore holds fuzz.py "$n"; explore holds fuzz2.py "$n"; explore holds index.py 1 $((n * 10))
explore falls fuzz.py "$n" "dict(ev='none')"; explore falls fuzz.py "$n" "dict(fmt='tail')"
if [ -n "${HF_LONG:-}" ]; then explore holds sim.py 1 chosen journal; explore holds sim.py 1 chosen indep
else explore holds sim.py 1 chosen journal hole hole_append hole_shrink punch punch_overwrite chmod chmod_rename exchange exchange_new symlink; fi
# Each rule of holes, modes, exchange and the index's log, left out.
explore falls sim.py 1 "punch without a barrier" journal punch; explore falls sim.py 1 "a page leaves cover when it is written" journal punch
explore falls sim.py 1 "append inside cover at once" journal hole_append; explore falls sim.py 1 "chmod without evidence" journal chmod
explore falls sim.py 1 "a header vouches for a mode at once" journal chmod; explore falls sim.py 1 "no flush at exchange" journal exchange_new
# Media whose 4 KiB are not whole: what is built does not hold there (THREATS), a guard would.
explore falls sim.py 1 chosen journal torn overwrite hotdb; explore holds sim.py 1 guard journal torn overwrite hotdb append trunc hole punch chmod
for rule in barrier sync_new continues over; do explore falls index.py 1 50 "dict($rule=0)"; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
