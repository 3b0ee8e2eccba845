#!/usr/bin/env python3
# runs alone: a test that fails for lack of time would pass for one that found the mutation
"""The tests are tested: the code is broken in chosen places, one at a time, and a test must fall each time. run.py BUILD [NAME…]; HF_LONG=1: all of them.

Works in a copy of the tree with a build of its own (BUILD/mutation), so that nothing here is touched. A mutation whose text is not there exactly once, that does not
compile, or whose test falls without it too, is a failure: it would show nothing."""
import os, shutil, signal, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, "tests", "e2e")]
from mutations import MUTATIONS
from verdict import check, finish

WORK = os.path.join(os.path.abspath(sys.argv[1]), "mutation")
TREE, BUILD = os.path.join(WORK, "tree"), os.path.join(WORK, "build")
PROGRAMS = [f"src/{name}" for name in ("holdfast", "holdfast-super", "holdfast-element", "holdfast-enclave", "holdfast-fs")]
HELPERS = ["tests/fake_logind", "tests/power_recorder", "tests/fs_on_fake_tree"]
TEST_TIMEOUT = 420
healthy = {}  # test -> whether it passes in the tree as it is


def copy_tree():
    """The sources as they lie here, what has not changed untouched: the next build is short."""
    names = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z"], capture_output=True).stdout.decode().split("\0")
    if not any(names):  # no git: a source archive
        names = [os.path.relpath(os.path.join(folder, name), ROOT) for top in ("src", "tests", "tools", "man", "completions") for folder, _, files in os.walk(os.path.join(ROOT, top)) for name in files]
        names += ["meson.build", "meson_options.txt", "domains.toml"]
    for name in filter(None, names):
        source, target = os.path.join(ROOT, name), os.path.join(TREE, name)
        if not os.path.isfile(source):
            continue
        data = open(source, "rb").read()
        if not os.path.exists(target) or open(target, "rb").read() != data:
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)
        shutil.copymode(source, target)


def ninja(targets):
    p = subprocess.run(["ninja", "-C", BUILD, *targets], capture_output=True, text=True)
    return p.returncode == 0, p.stdout[-3000:]


def targets_of(test):
    return [f"tests/{test.split()[0]}"] if test.startswith("test_") else PROGRAMS + HELPERS


def run(test):
    """(falls, why): a test falls by its closing line, by dying, or by its time."""
    words = test.split()
    command = [os.path.join(BUILD, "tests", words[0])] if test.startswith("test_") else [*(["python3"] if words[0].endswith(".py") else []), os.path.join(TREE, "tests", words[0]), BUILD, *words[1:]]
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
                         env={name: value for name, value in os.environ.items() if name not in ("HF_LONG", "HF_TEST_ROUNDS")})
    try:
        out, _ = p.communicate(timeout=TEST_TIMEOUT)
    except subprocess.TimeoutExpired:
        for number in (signal.SIGTERM, signal.SIGKILL):  # the first lets it take away its mounts
            try:
                os.killpg(p.pid, number)
                p.communicate(timeout=30)
                break
            except (subprocess.TimeoutExpired, ProcessLookupError):
                pass
        return True, "its time is over"
    if p.returncode == 0:
        return False, ""
    lines = [line for line in out.splitlines() if line.strip()]
    said = [line for line in lines if "FAILED" in line or "failed:" in line]
    return True, (said or lines[-1:] or [f"exit {p.returncode}"])[0].strip()[:160]


def mutate(m):
    began = time.monotonic()
    path = os.path.join(TREE, m.file)
    before = open(path).read()
    if not check(before.count(m.old) == 1, f"{m.name}: its text is {before.count(m.old)} times in {m.file}, not once"):
        return
    if m.test not in healthy:
        built, out = ninja(targets_of(m.test))
        falls, why = run(m.test) if built else (True, out)
        healthy[m.test] = check(not falls, f"{m.test} falls in the tree as it is: {why}")
    if not healthy[m.test]:
        return
    try:
        open(path, "w").write(before.replace(m.old, m.new))
        built, out = ninja(targets_of(m.test))
        if not check(built, f"{m.name}: does not compile: {out}"):
            return
        falls, why = run(m.test)
        if check(falls, f"{m.name}: nothing in {m.test} notices"):
            print(f"{m.name}: {m.test} falls ({time.monotonic() - began:.0f} s): {why}", flush=True)
            return True
    finally:
        open(path, "w").write(before)


wanted = [m for m in MUTATIONS if m.name in sys.argv[2:]] if sys.argv[2:] else [m for m in MUTATIONS if m.quick or os.environ.get("HF_LONG")]
check(len({m.name for m in MUTATIONS}) == len(MUTATIONS) >= 40, f"forty mutations, each with a name of its own: {len(MUTATIONS)}")
copy_tree()
if not os.path.exists(os.path.join(BUILD, "build.ninja")):
    p = subprocess.run(["meson", "setup", BUILD, TREE, "-Dtesting=true", "-Dwerror=false"], capture_output=True, text=True)
    check(p.returncode == 0, f"meson: {p.stdout[-2000:]}")
fallen = 0
for m in sorted(wanted, key=lambda m: m.test):
    fallen += bool(mutate(m))
print(f"figure: mutations noticed = {fallen} of {len(wanted)}")
finish()
