#!/usr/bin/env python3
"""threads.py BUILD: the filesystem under ThreadSanitizer. It is built for this test, beside BUILD; the other programs are BUILD's. 16 processes do everything that a filesystem is asked
for, in folders of their own and in one that all share, while the vault is locked, unlocked and asked; each process knows what its own files must hold. No race may be reported.
Twelve seconds; HF_LONG=1: five minutes."""
import fcntl, os, random, shutil, subprocess, sys, time, traceback

from vaultlib import *

WORKERS = 16
SECONDS = 300 if os.environ.get("HF_LONG") else 12


def build_watched(plain):
    root, where = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), os.path.join(os.path.dirname(os.path.abspath(plain)), "tsan")
    if not os.path.isdir(where):
        subprocess.run(["meson", "setup", where, root, "-Dtesting=true", "-Db_sanitize=thread", "-Db_lundef=false"], stdout=subprocess.DEVNULL, check=True)
    subprocess.run(["ninja", "-C", where, "src/holdfast-fs"], stdout=subprocess.DEVNULL, check=True)
    return os.path.join(where, "src", "holdfast-fs")


def where(program, address):
    """The sandbox lets no symbolizer run, so addresses are named afterwards. They are those that calls return to: the call lies before."""
    p = subprocess.run(["addr2line", "-f", "-s", "-e", program, hex(int(address, 16) - 1)], capture_output=True, text=True)
    return " ".join(p.stdout.split())


class Worker:
    """Random work. What fails because the class is locked is no failure; anything else that it did not expect is."""

    def __init__(self, number, own, shared, locks):
        self.rng, self.own, self.shared, self.locks = random.Random(number), own, shared, locks
        self.held, self.count = {}, 0 # name in own -> content

    def path(self, name):
        return f"{self.own}/{name}"

    def write(self):
        name = f"f{self.rng.randrange(12)}"
        data = self.rng.randbytes(self.rng.choice((0, 10, 3000, 4096, 70000)))
        put(self.path(name), data)
        self.held[name] = data

    def patch(self):
        name = self.some()
        at, part = self.rng.randrange(80000), self.rng.randbytes(500)
        with open(self.path(name), "r+b") as f:
            os.pwrite(f.fileno(), part, at)
            if self.rng.random() < 0.2:
                os.fsync(f.fileno())
        old = self.held[name].ljust(at, b"\0")
        self.held[name] = old[:at] + part + old[at + len(part):]

    def cut(self):
        name = self.some()
        to = self.rng.randrange(100000)
        os.truncate(self.path(name), to)
        self.held[name] = self.held[name][:to].ljust(to, b"\0")

    def read(self):
        name = self.some()
        found = get(self.path(name))
        if found != self.held[name]:
            raise AssertionError(f"{name}: {len(found)} bytes are not the {len(self.held[name])} that were written")

    def move(self):
        name, to = self.some(), f"f{self.rng.randrange(12)}"
        os.rename(self.path(name), self.path(to))
        self.held[to] = self.held.pop(name)

    def drop(self):
        name = self.some()
        os.unlink(self.path(name))
        del self.held[name]

    def attribute(self):
        path = self.path(self.some())
        os.setxattr(path, "user.mood", self.rng.randbytes(20))
        os.getxattr(path, "user.mood")
        os.chmod(path, 0o600 | self.rng.randrange(0o100))
        os.utime(path)

    def list(self):
        if sorted(n for n in os.listdir(self.own) if n[0] == "f") != sorted(self.held):
            raise AssertionError(f"{sorted(os.listdir(self.own))} are not {sorted(self.held)}")

    def folder(self):
        path = self.path(f"d{self.rng.randrange(3)}")
        os.mkdir(path)
        os.symlink("x" * self.rng.randrange(1, 200), f"{path}/l")
        os.readlink(f"{path}/l")
        os.unlink(f"{path}/l")
        os.rmdir(path)

    def together(self):
        """In the folder that all share names come and go under everybody's hands; what is read is somebody's whole write or nothing."""
        path, other = (f"{self.shared}/s{self.rng.randrange(6)}" for _ in range(2))
        what = self.rng.randrange(7)
        try:
            if what == 0:
                put(path, bytes([65 + self.rng.randrange(26)]) * self.rng.choice((100, 4096, 20000)))
            elif what == 1:
                os.rename(path, other)
            elif what == 2:
                os.link(path, other)
            elif what == 3:
                os.unlink(path)
            elif what == 4:
                [os.stat(e.path, follow_symlinks=False) for e in os.scandir(self.shared)]
            elif what == 5:
                with open(path, "ab") as f:
                    fcntl.flock(f, fcntl.LOCK_EX)
                    f.write(b"z" * 50)
            else:
                get(path)
        except FileNotFoundError:
            pass
        except FileExistsError:
            pass

    def some(self):
        if not self.held:
            self.write()
        return self.rng.choice(sorted(self.held))

    def forget_unsure(self):
        """After a call that the lock refused halfway: what the files hold now is what counts."""
        for _ in range(2000):
            try:
                self.held = {n: get(self.path(n)) for n in os.listdir(self.own) if n[0] == "f"}
                return
            except OSError as e:
                if e.errno != errno.ENOKEY:
                    raise
                time.sleep(0.05)
        raise AssertionError("still locked")

    def run(self, until):
        work = [self.write, self.patch, self.cut, self.read, self.read, self.move, self.drop, self.attribute, self.list, self.folder, self.together, self.together, self.together]
        while time.monotonic() < until:
            try:
                self.rng.choice(work)()
            except OSError as e:
                if e.errno != errno.ENOKEY or not self.locks:
                    raise
                self.forget_unsure()
                for name in os.listdir(self.own):
                    if name[0] == "d":
                        shutil.rmtree(self.path(name), ignore_errors=True)
            self.count += 1


def start(number, own, shared, locks, until, result):
    pid = os.fork()
    if pid:
        return pid
    worker, text = Worker(number, own, shared, locks), ""
    try:
        worker.run(until)
    except BaseException:
        text = traceback.format_exc()
    with open(result, "w") as f:
        f.write(f"{worker.count}\n{text}")
    os._exit(0)


def main():
    shutil_copy, watched = shutil.copy, build_watched(sys.argv[1])
    log = tempfile.NamedTemporaryFile(prefix="hf-tsan-")
    shutil.copy = lambda source, to: shutil_copy(watched if source.endswith("/holdfast-fs") else source, to)
    v = Vault(sys.argv[1], env={"HF_TEST_TSAN_LOG": log.name})
    shutil.copy = shutil_copy
    v.open()
    complete, ordinary = v.protected("complete"), v.path("ordinary")
    os.mkdir(ordinary)
    until = time.monotonic() + SECONDS
    jobs = []
    for i in range(WORKERS):
        base = complete if i % 4 == 0 else ordinary
        own, shared = f"{base}/{i}", f"{base}/shared"
        os.mkdir(own)
        os.makedirs(shared, exist_ok=True)
        jobs.append((start(i, own, shared, base is complete, until, f"{v.work}/result{i}"), f"{v.work}/result{i}"))
    locks = 0
    while time.monotonic() < until - 4:
        v.lock()
        v.status()
        v.unlock()
        locks += 1
        time.sleep(1.5)
    done = 0
    for pid, result in jobs:
        os.waitpid(pid, 0)
        count, _, text = open(result).read().partition("\n")
        done += int(count)
        check(not text, text)
    check(locks > 0 and v.status()["state"] == "unlocked", f"after {locks} locks the vault is still open")
    v.must("check", v.vault, timeout=120)
    v.close()
    reports = log.read().replace(b"\0", b"").decode(errors="replace")
    reports = re.sub(r"<null> <null> \(holdfast-fs\+(0x[0-9a-f]+)\)", lambda m: where(watched, m.group(1)), reports)
    races = reports.count("WARNING: ThreadSanitizer")
    check(races == 0 and not reports, f"{races} races:\n{reports[:20000]}")
    print(f"figure: operations under ThreadSanitizer = {done} operations, {races} races")
    print(f"{done} operations of {WORKERS} processes, {locks} locks, {races} races")
    finish()


if __name__ == "__main__":
    import errno, re, tempfile
    main()
