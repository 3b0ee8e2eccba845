#!/bin/bash
# run.sh SANITIZED_BUILD: every target on its corpus and on what once fell (regress/TARGET/). HF_LONG=1: under libFuzzer too (clang, build/fuzz), two at a time,
# HF_FUZZ_SECONDS each (600); what it finds stays in build/fuzz/found.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=$1; passed=0; failed=0
for source in tests/fuzz/*.c; do
    name=$(basename "$source" .c)
    case $name in corpus | libfuzzer | standins | apart | tree_attack) continue ;; esac
    said=$("$build/tests/fuzz/fuzz_$name" "tests/fuzz/regress/$name" 2>&1)
    line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed$' <<<"$said" | tail -n 1)
    if [[ $line == *", 0 failed" ]]; then
        printf '  %-12s %s\n' "$name" "$(grep -a 'seeds; of' <<<"$said")"; passed=$((passed + ${line%% *}))
    else
        failed=$((failed + 1)); printf 'FAILED: %s\n%s\n' "$name" "$said"
    fi
done
if [ "${HF_LONG:-}" = 1 ]; then
    [ -d build/fuzz ] || CC=clang meson setup build/fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false >/dev/null || exit 1
    # shellcheck disable=SC2046 # a list of names
    ninja -C build/fuzz $(sed -n "s/^  '\([a-z]*\)': \[.*/tests\/fuzz\/fuzz_\1/p" tests/fuzz/meson.build) >/dev/null || exit 1
    mkdir -p build/fuzz/found; rm -f build/fuzz/*.rc
    one() {
        local name=$1 corpus; corpus=$(mktemp -d)
        HF_FUZZ_SEEDS=$corpus "build/fuzz/tests/fuzz/fuzz_$name" >/dev/null 2>&1
        build/fuzz/tests/fuzz/"fuzz_$name" -max_total_time="${HF_FUZZ_SECONDS:-600}" -max_len=16384 -timeout=20 -rss_limit_mb=4096 -artifact_prefix="build/fuzz/found/$name-" "$corpus" >"build/fuzz/$name.log" 2>&1
        echo "$? $(grep -aoE 'cov: [0-9]+ ft: [0-9]+' "build/fuzz/$name.log" | tail -n 1) $(grep -a 'Done ' "build/fuzz/$name.log")" >"build/fuzz/$name.rc"
        rm -rf "$corpus"
    }
    export -f one
    sed -n "s/^  '\([a-z]*\)': \[.*/\1/p" tests/fuzz/meson.build | xargs -P 2 -I{} bash -c 'one {}'
    runs=0; targets=0
    for rc in build/fuzz/*.rc; do
        name=$(basename "$rc" .rc); read -r code said <"$rc"; printf '  %-12s libFuzzer: %s\n' "$name" "$said"
        targets=$((targets + 1)); [[ ! $said =~ Done\ ([0-9]+) ]] || runs=$((runs + BASH_REMATCH[1]))
        if [ "$code" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); tail -n 40 "build/fuzz/$name.log"; fi
    done
    echo "figure: fuzz targets under libFuzzer = $targets targets"
    echo "figure: fuzz time of each = ${HF_FUZZ_SECONDS:-600} seconds"
    echo "figure: fuzz inputs tried by libFuzzer = $runs inputs"
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ] && [ "$passed" -gt 0 ]
