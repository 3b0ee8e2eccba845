"""Counts verdicts, for every test here; finish() prints the line that tools/run_tests.sh adds up."""
import gc, os, sys

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


def mounted(path):
    """By the kernel's table: os.path.ismount takes a mount whose server died for none."""
    with open("/proc/self/mountinfo") as table:
        return any(line.split()[4] == path for line in table)


def users(mount):
    """Who has something of the mount open, by process: for the message when a close finds it in use. What this test itself only forgot to close goes first."""
    gc.collect()
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        links = [f"/proc/{pid}/cwd", f"/proc/{pid}/root"]
        try:
            links += [f"/proc/{pid}/fd/{n}" for n in os.listdir(f"/proc/{pid}/fd")]
            maps = open(f"/proc/{pid}/maps").read()
        except OSError:
            continue
        for link in links:
            try:
                maps += os.readlink(link) + "\n"
            except OSError:
                pass
        of_mount = [line for line in maps.split("\n") if mount in line]
        if of_mount:
            found.add(f"{pid} {open(f'/proc/{pid}/cmdline').read()[:80]!r}: {of_mount[0]}")
    return found


def finish():
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed != 0)
