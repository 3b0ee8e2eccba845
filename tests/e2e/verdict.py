"""Counts verdicts, for every test here; finish() prints the line that tools/run_tests.sh adds up."""
import sys

passed = failed = skipped = 0


def check(good, what):
    global passed, failed
    passed, failed = passed + bool(good), failed + (not good)
    if not good:
        print("FAILED:", what, flush=True)
    return bool(good)


def skip(what):
    """For what this machine or user cannot do at all (a plain user cannot be another one); said and counted. As root on x86-64 with a test build, as CI runs, nothing is."""
    global skipped
    skipped += 1
    print("skipped:", what, flush=True)


def finish():
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed != 0)
