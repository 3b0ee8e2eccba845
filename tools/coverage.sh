#!/bin/bash
# coverage.sh [BUILD]: lines and branches of src/ that the tests reach, by folder, beside the goals; BUILD (build/coverage) is a build of its own, in which no sandbox is entered
# (tools/coverage_wrap.c). Left out: the tests of the sandboxes, which would fall, and loads that reach nothing new. The lines that nothing reached: BUILD/uncovered.txt.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build/coverage}; mkdir -p "$build"; build=$(cd "$build" && pwd)
umask 0 # other users' programs count too
rm -rf "$build/logs"; mkdir -p "$build/logs"
cc -O2 -fPIE -c tools/coverage_wrap.c -o "$build/wrap.o" || exit 1
if [ ! -f "$build/build.ninja" ]; then
    meson setup "$build" -Dtesting=true -Db_coverage=true -Doptimization=0 -Dwerror=false -Dc_args=-fprofile-update=atomic \
        -Dc_link_args="['$build/wrap.o', '-Wl,--wrap=_exit', '-Wl,--wrap=syscall']" >"$build/logs/setup" || { tail "$build/logs/setup"; exit 1; }
fi
ninja -C "$build" >"$build/logs/build" || { tail "$build/logs/build"; exit 1; }
find "$build" -name '*.gcda' -delete
chmod -R o+rwX "$build"
left_out=" test_os_sandbox enclave_sandbox.py enclave_syscalls.py install.sh tree_copy.sh scale.py locks_at_work.py kills.py cut.py run.sh "
export HF_TEST_ROUNDS=1; unset HF_LONG
one() { # NAME COMMAND…
    local log=$build/logs/$1; shift
    timeout 900 "$@" >"$log" 2>&1 </dev/null || echo "falls in this build: $(basename "$log"): $(grep -m1 FAILED "$log" || tail -n 1 "$log")"
}
running() { while [ "$(jobs -rp | wc -l)" -gt "$1" ]; do sleep 0.2; done; }
for t in "$build"/tests/test_* "$build"/tests/fuzz/fuzz_* tests/e2e/*.sh tests/e2e/*.py tests/posix/*.py tests/power/*.py tests/attacks/element/run.sh; do
    name=$(basename "$t"); [ -f "$t" ] && [ -x "$t" ] || continue
    [[ $left_out != *" $name "* ]] || continue
    [[ -z ${HF_COVERAGE_ONLY:-} || $name =~ $HF_COVERAGE_ONLY ]] || continue
    running 1
    if [[ $t == */test_* || $t == */fuzz_* ]]; then one "$name" "$t" & else one "$name" "$t" "$build" & fi
done
running 0
gcovr --root . --object-directory "$build" --filter 'src/' --exclude-branches-by-pattern '.*HF_ASSERT\(.*' --gcov-ignore-parse-errors --json "$build/coverage.json" >"$build/logs/gcovr" 2>&1 || { tail -n 5 "$build/logs/gcovr"; exit 1; }
exec python3 tools/coverage_report.py "$build/coverage.json" "$build/uncovered.txt"
