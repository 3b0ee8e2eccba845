#!/usr/bin/env python3
# runs alone: times of locks under load
"""Locks under the loads that people have: a hundred open files, files in the making, fio, git gc, SQLite in WAL mode, a build; and its time by the number of files that are not
open. Nothing acknowledged is lost, reads fail cleanly, what was interrupted is whole after the unlock. locks_at_work.py BUILD (HF_LONG=1: 50 times each, 100,000 files)"""
import errno, os, random, signal, sqlite3, statistics, subprocess, sys, tempfile, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]
LONG = bool(os.environ.get("HF_LONG"))
ROUNDS = 50 if LONG else 2
CLEAN = {"ENOKEY"}


def run(*words, cwd=None, **more):
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300, env=dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", HOME="/tmp", **more))


def hundred_files():
    """100 open files under full write load: locked within the grace and 5 s, nothing lost."""
    grace = 1
    v = Vault(BUILD, create=("--grace", str(grace)))
    v.open()
    c = v.protected("secret")
    fds = [os.open(f"{c}/{n}", os.O_RDWR | os.O_CREAT) for n in range(100)]
    acked, errors, stop = {}, set(), False

    def work(mine):
        n = 0
        while not stop:
            n += 1
            for fd in mine:
                try:
                    if os.pwrite(fd, n.to_bytes(8, "little") * 2048, (n % 16) * 16384) == 16384:
                        acked[fd, n % 16] = n
                except OSError as e:
                    errors.add(errno.errorcode[e.errno])
                    time.sleep(0.0005)

    threads = [threading.Thread(target=work, args=(fds[n::4],)) for n in range(4)]
    for t in threads:
        t.start()
    slowest = 0.0
    for _ in range(ROUNDS):
        time.sleep(0.3)
        began = time.monotonic()
        v.must("lock", v.vault)
        check(within(grace + 5, lambda: v.status()["state"] == "locked"), f"locked within the grace + 5 s: {v.status()['state']}")
        slowest = max(slowest, time.monotonic() - began)
        # while a whole-page write is being refused the kernel shows others the page that it was handed (not what is in the file): looked at again then
        check(all(within(5, lambda fd=fd: error_of(os.pread, fd, 8, 0) == "ENOKEY") for fd in fds), "all hundred are locked")
        v.unlock()
    stop = True
    for t in threads:
        t.join()
    check(errors <= CLEAN, f"writers see ENOKEY and nothing else: {errors}")
    wrong = [(fd, at) for (fd, at), n in acked.items() if os.pread(fd, 16384, at * 16384) != n.to_bytes(8, "little") * 2048]
    check(len(acked) >= 100 and not wrong, f"of {len(acked)} acknowledged blocks are not there: {wrong[:4]}")
    for fd in fds:
        os.close(fd)
    v.must("check", v.vault)
    print(f"100 open files: {ROUNDS} locks with a grace of {grace} s, slowest {slowest:.2f} s")
    v.clean()


def new_files():
    """[LK-9] Small files made, closed and renamed until the moment of the lock: each that was acknowledged is there after the unlock, at its size."""
    v = Vault(BUILD, create=("--grace", "0"))
    v.open()
    c = v.protected("secret")
    acked, errors, stop = {}, set(), False

    def work(k):
        rng, n = random.Random(k), 0
        while not stop:
            n += 1
            name, data = f"{c}/{k}-{n}", rng.randbytes(rng.choice((10, 100, 3000, 4000, 4096, 8128, 11677, 20000)))
            time.sleep(0.01 * rng.random())
            try:
                fd = os.open(name, os.O_WRONLY | os.O_CREAT)
                try:
                    whole = os.write(fd, data) == len(data)
                    if n % 3 == 0:
                        os.fsync(fd)
                finally:
                    os.close(fd)
                if n % 2:
                    os.rename(name, name + "r")
                    name += "r"
                if whole:
                    acked[name] = data
            except OSError as e:
                errors.add(errno.errorcode[e.errno])
                time.sleep(0.001)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    wrong, count = [], 0
    for _ in range(50 if LONG else 6):
        time.sleep(0.3)
        v.must("lock", v.vault)
        time.sleep(0.05)
        made = dict(acked)
        v.unlock()
        for name, data in made.items():
            size = os.stat(name).st_size
            if size != len(data) or get(name) != data:
                wrong.append((name, len(data), size))
            os.unlink(name)
            del acked[name]
        count += len(made)
    stop = True
    for t in threads:
        t.join()
    check(errors <= CLEAN and not wrong, f"of {count} files are not as they were left: {wrong[:4]}, {errors}")
    v.must("check", v.vault, timeout=200)
    v.clean()


class Work:
    """A load: begin() starts a process, whole() says what is wrong with what it left."""

    def __init__(self, where):
        self.where, self.lost = where, 0
        os.mkdir(where)

    def begun(self):
        return True

    def start(self, *words, **more):
        self.said = tempfile.TemporaryFile("w+", errors="replace") # not a pipe, which what is left of a shell would hold
        return subprocess.Popen(words, cwd=self.where, stdout=subprocess.DEVNULL, stderr=self.said, text=True, env=dict(os.environ, GIT_CONFIG_GLOBAL="/dev/null", HOME="/tmp"), start_new_session=True, **more)

    def is_lost(self, said):
        """It will never end, and that is a fault of its own."""
        return False


class Fio(Work):
    def begun(self):
        return os.path.exists(os.path.join(self.where, "data"))

    def begin(self):
        return self.start("fio", "--name=load", "--filename=data", "--size=8m", "--rw=randrw", "--bs=4k", "--verify=crc32c", "--verify_async=0", "--time_based", "--runtime=30", "--fsync=8", "--output=/dev/null")

    def whole(self):
        path = os.path.join(self.where, "data")
        with open(path, "rb") as f: # every page of it authenticates
            return "" if len(f.read()) <= 8 << 20 else "too long"


class Git(Work):
    def __init__(self, where):
        super().__init__(where)
        run("git", "init", "-q", cwd=where)
        for n in range(6):
            for k in range(40):
                with open(f"{where}/f{k}", "a") as f:
                    f.write(f"{n} {k}\n" * 40)
            run("git", "add", "-A", cwd=where)
            run("git", "-c", "user.name=n", "-c", "user.email=e", "commit", "-qm", str(n), cwd=where)
        self.head = run("git", "rev-parse", "HEAD", cwd=where).stdout

    def begin(self):
        return self.start("sh", "-c", "while :; do git repack -adfq --depth=50 && git gc -q --prune=now && git read-tree HEAD || exit 1; done")

    def is_lost(self, said):
        """git reads on for ever where reading a directory keeps failing (dir_iterator_advance in its dir-iterator.c), on any filesystem; it writes as fast as it can."""
        return said.count("error reading directory") > 1000

    def whole(self):
        for folder, _, names in os.walk(os.path.join(self.where, ".git")): # what an interrupted git leaves on any disk, and wants removed by hand
            for name in names:
                if name.endswith(".lock") or name.startswith(("gc.pid", ".tmp-")): # a pack cut short among them
                    os.unlink(os.path.join(folder, name))
        done = run("git", "fsck", "--full", "--strict", cwd=self.where)
        head = run("git", "rev-parse", "HEAD", cwd=self.where).stdout
        return "" if done.returncode == 0 and head == self.head else done.stdout + done.stderr


SQLITE = """
import sqlite3, sys
db = sqlite3.connect("db", isolation_level=None)
db.execute("pragma journal_mode=wal"); db.execute("pragma synchronous=full")
db.execute("create table if not exists t (n integer primary key, x blob)")
n = db.execute("select coalesce(max(n), 0) from t").fetchone()[0]
while True:
    n += 1
    db.execute("begin"); db.execute("insert into t values (?, randomblob(900))", (n,)); db.execute("commit")
    sys.stdout.write("%d\\n" % n); sys.stdout.flush()
"""


class Sqlite(Work):
    acked = 0

    def begin(self):
        self.said = tempfile.TemporaryFile("w+")
        p = subprocess.Popen(["/usr/bin/python3", "-c", SQLITE], cwd=self.where, stdout=subprocess.PIPE, stderr=self.said, text=True, start_new_session=True)

        def read():
            for line in p.stdout:
                self.acked = max(self.acked, int(line))
        self.reader = threading.Thread(target=read)
        self.reader.start()
        return p

    def whole(self):
        self.reader.join()
        db = sqlite3.connect(os.path.join(self.where, "db"))
        verdict, most, count = db.execute("pragma integrity_check").fetchone()[0], *db.execute("select coalesce(max(n), 0), count(*) from t").fetchone()
        db.close()
        return "" if verdict == "ok" and count == most and most >= self.acked else f"{verdict}, {count} rows up to {most}, committed {self.acked}"


class Build(Work):
    def __init__(self, where):
        super().__init__(where)
        self.wants = 0
        for n in range(10):
            with open(f"{where}/m{n}.c", "w") as f:
                f.write(f"#include <stdio.h>\n#include <string.h>\nint m{n}(int x) {{ char s[32]; snprintf(s, sizeof s, \"%d\", x + {n}); return (int)strlen(s) + {n}; }}\n")
        objects = " ".join(f"m{n}.o" for n in range(10))
        with open(f"{where}/main.c", "w") as f:
            f.write("#include <stdio.h>\n" + "".join(f"int m{n}(int);" for n in range(10)) + "int main(void) { int s = 0; " + "".join(f"s += m{n}(5);" for n in range(10)) + 'printf("%d\\n", s); return 0; }\n')
        with open(f"{where}/Makefile", "w") as f:
            f.write(f"prog: main.o {objects}\n\tcc -o prog.tmp $^ && mv prog.tmp prog\n%.o: %.c\n\tcc -O1 -c -o $@.tmp $< && mv $@.tmp $@\nclean:\n\trm -f *.o prog\n")

    def begin(self):
        return self.start("sh", "-c", "while :; do make -s clean && make -s -j2 || exit 1; done")

    def whole(self):
        made = run("make", "-s", "-j2", cwd=self.where)
        ran = run(os.path.join(self.where, "prog")) if made.returncode == 0 else made
        wants = sum(len(str(5 + n)) + n for n in range(10))
        return "" if ran.stdout.strip() == str(wants) else f"{made.stderr} {ran.stdout}"


def ended(p, work):
    """How it ended in a minute, and what it said. What is left of it is killed: nothing may write on."""
    end, said = time.monotonic() + 60, ""
    while p.poll() is None and time.monotonic() < end and not work.is_lost(said):
        time.sleep(0.1)
        said = os.pread(work.said.fileno(), 1 << 20, 0).decode(errors="replace")
    code = p.poll() if p.poll() is not None else "lost" if work.is_lost(said) else "hangs"
    try:
        os.killpg(p.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    p.wait()
    return code, os.pread(work.said.fileno(), 1 << 20, 0).decode(errors="replace")


def at_work():
    v = Vault(BUILD, create=("--grace", "0"))
    v.open()
    c = v.protected("secret")
    for kind in (Fio, Git, Sqlite, Build):
        name = kind.__name__.lower()
        began = time.monotonic()
        work = kind(os.path.join(c, name))
        slowest, bad = 0.0, []
        for n in range(ROUNDS):
            p = work.begin()
            check(within(20, work.begun), f"{name} begins")
            time.sleep(0.3 + 0.13 * (n % 5))
            early = p.poll()
            at = time.monotonic()
            v.must("lock", v.vault)
            slowest = max(slowest, time.monotonic() - at)
            check(error_of(os.listdir, work.where) == "ENOKEY", f"{name}: names are locked")
            code, said = ended(p, work)
            if early is not None or code in (0, "hangs"):
                bad.append(f"round {n}: ended with {code} ({'before' if early is not None else 'after'} the lock): {said[-200:]}")
            v.unlock()
            wrong = work.whole()
            work.lost += code == "lost"
            if wrong:
                bad.append(f"round {n}: {wrong[-300:]}")
        check(not bad, f"{name}: {bad[:3]}")
        print(f"{name}: {ROUNDS} locks at work, {work.lost} of them endless by a fault of its own, slowest {slowest * 1000:.0f} ms, {time.monotonic() - began:.1f} s", flush=True)
    v.must("check", v.vault, timeout=200)
    v.clean()


def many_files():
    """The time of a lock and an unlock does not grow with the files that are not open."""
    sizes = (1000, 100000) if LONG else (1000, 10000)
    v = Vault(BUILD, create=("--grace", "0"))
    v.open()
    c = v.protected("secret")
    medians, made = {}, 0
    held = [os.open(f"{c}/held-{n}", os.O_RDWR | os.O_CREAT) for n in range(10)]
    for size in sizes:
        while made < size:
            if made % 1000 == 0:
                os.mkdir(f"{c}/{made // 1000}")
            os.close(os.open(f"{c}/{made // 1000}/{made}", os.O_WRONLY | os.O_CREAT))
            made += 1
        os.sync()
        # what is cached counts, not what there is: a settled vault, its nodes forgotten
        v.close("--force")
        v.open()
        for fd in held:
            os.close(fd)
        held = [os.open(f"{c}/held-{n}", os.O_RDWR) for n in range(10)]
        took = {"lock": [], "unlock": []}
        for n in range(9 if LONG else 5):
            for fd in held:
                os.pwrite(fd, bytes([n]) * 5000, 0)
            at = time.monotonic()
            v.must("lock", v.vault)
            took["lock"].append(time.monotonic() - at)
            at = time.monotonic()
            v.unlock()
            took["unlock"].append(time.monotonic() - at)
        medians[size] = {verb: statistics.median(t) for verb, t in took.items()}
        print(f"{size} files, 10 open: lock {medians[size]['lock'] * 1000:.1f} ms, unlock {medians[size]['unlock'] * 1000:.1f} ms", flush=True)
    for verb in ("lock", "unlock"):
        few, many = (medians[s][verb] for s in sizes)
        check(many < 2 * few + 0.05, f"{verb} of {sizes[1]} files takes {many * 1000:.0f} ms, of {sizes[0]} {few * 1000:.0f} ms")
    for fd in held:
        os.close(fd)
    v.clean()


for part in sys.argv[2:] or ("hundred_files", "new_files", "at_work", "many_files"):
    began = time.monotonic()
    globals()[part]()
    print(f"{part}: {time.monotonic() - began:.1f} s", flush=True)
finish()
