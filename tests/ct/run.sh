#!/bin/bash
# run.sh PLAIN_BUILD: our code on secrets takes no branch and no address by them (valgrind); planted leaks are found.
set -u
cd "$(dirname "$0")" || exit 1
program=$(cd "$OLDPWD" && realpath "$1/tests/ct_secrets"); passed=0; failed=0; log=$(mktemp); trap 'rm -f "$log"' EXIT
verdict() { if [ "$1" = "$2" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $3"; tail -n 30 "$log"; fi; }
watch() { HF_TEST_NO_MEMFD_SECRET=1 valgrind -q --error-exitcode=99 --suppressions=ct.supp "$program" "$@" >"$log" 2>&1; }
watch; verdict $? 0 "a branch or an address depends on a secret"
verdict "$(grep -c 'five groups done' "$log")" 1 "it ran to its end"
for leak in 1 2 3 4; do watch $leak; verdict $? 99 "planted leak $leak is not found"; done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
