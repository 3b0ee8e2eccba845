#!/usr/bin/env python3
# runs alone: times of status and lock
"""What must hold when a vault is locked, on the real mount: descriptors, mappings, cached pages, names, load, memory. lock.py BUILD"""
import hashlib, os, signal, stat, struct, subprocess, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]


def locked_files(*more):
    """One lock, everything that was open or cached before it, and the way back."""
    v = Vault(BUILD)
    v.open(*more)
    c = v.protected("secret")
    put(v.path("plain"))
    a = put(f"{c}/a", BLOCK * 8)
    b = put(f"{c}/b", BLOCK * 4)
    os.symlink("a", f"{c}/link")
    os.mkdir(f"{c}/sub")
    empty = v.protected("empty")
    os.setxattr(a, "user.mood", b"calm")
    check(os.getxattr(f"{c}/sub", "user.holdfast.class") == b"complete", "a new directory has its parent's class")
    fd, reader, plain = os.open(a, os.O_RDWR), os.open(b, os.O_RDONLY), os.open(v.path("plain"), os.O_RDWR)
    shared, private, dirty = map_file(a), map_file(b, private=True), map_file(put(f"{c}/dirty", BLOCK * 4))
    tail = put(f"{c}/tail", b"x" * 100)
    tail_map = map_file(tail)
    directory = os.open(c, os.O_RDONLY | os.O_DIRECTORY)
    check(os.listdir(directory) and shared[5] == BLOCK[5] and private[5] == BLOCK[5] and tail_map[0] == 120, "all is there before")
    check(resident(shared) > 0, "pages are cached before")
    dirty[0:16] = b"written by a map"
    os.pwrite(fd, b"written by write", PAGE)
    v.lock()
    check(v.status()["state"] == "locked", "status says locked")
    # 1: what is open
    for name, got in {
        "read": error_of(os.pread, fd, 10, 0), "read of another": error_of(os.pread, reader, 10, 0), "short write": error_of(os.pwrite, fd, b"x", 3),
        "full-page write": error_of(os.pwrite, fd, BLOCK, 0), "append past the end": error_of(os.pwrite, fd, BLOCK, 8 * PAGE), "ftruncate": error_of(os.ftruncate, fd, 0),
        "fallocate": error_of(os.posix_fallocate, fd, 0, 100), "readdir on a descriptor": error_of(os.listdir, directory),
        "fsetxattr": error_of(os.setxattr, fd, "user.mood", b"gone"), "fgetxattr": error_of(os.getxattr, fd, "user.mood"),
    }.items():
        check(got == "ENOKEY", f"locked: {name}: {got or 'succeeded'}")
    check(error_of(os.pread, fd, 10, 0) == "ENOKEY", "a full-page write that failed is not read back")
    # 2: mappings
    check(fault_signal(shared) == signal.SIGBUS, "a shared mapping faults")
    check(fault_signal(private) == signal.SIGBUS, "a private mapping faults")
    check(fault_signal(dirty) == signal.SIGBUS, "a mapping that was dirty faults")
    check(fault_signal(tail_map) == signal.SIGBUS, "the mapping of a tail page faults")
    check(resident(shared) == 0 and resident(dirty) == 0, "no page is cached")
    # 3: names
    for name, got in {
        "open": error_of(os.open, a, os.O_RDONLY), "open with O_TRUNC": error_of(os.open, a, os.O_WRONLY | os.O_TRUNC), "create": error_of(os.open, f"{c}/new", os.O_CREAT | os.O_WRONLY),
        "mkdir": error_of(os.mkdir, f"{c}/newdir"), "stat": error_of(os.stat, a), "stat of an absent name": error_of(os.stat, f"{c}/nothing"),
        "readdir": error_of(os.listdir, c), "getxattr": error_of(os.getxattr, a, "user.mood"), "readlink": error_of(os.readlink, f"{c}/link"),
        "unlink": error_of(os.unlink, a), "rename out": error_of(os.rename, a, v.path("out")), "rename in": error_of(os.rename, v.path("plain"), f"{c}/in"),
        "link out": error_of(os.link, a, v.path("out")), "symlink": error_of(os.symlink, "x", f"{c}/newlink"), "below": error_of(os.listdir, f"{c}/sub"),
        "chmod": error_of(os.chmod, a, 0o600), "truncate": error_of(os.truncate, a, 5), "utime": error_of(os.utime, a), "mkfifo": error_of(os.mkfifo, f"{c}/fifo"),
    }.items():
        check(got == "ENOKEY", f"locked: {name}: {got or 'succeeded'}")
    for what, cls in ((empty, b"after-unlock"), (v.path("plain"), b"complete")):
        got = error_of(os.setxattr, what, "user.holdfast.class", cls)
        check(got == "ENOKEY", f"locked: class of {os.path.basename(what)} to {cls}: {got or 'succeeded'}")
    check(v.run("protect", "--class", "complete", v.path("plain")).returncode == 6, "protect says locked (6)")
    # 4: the rest goes on
    check(os.pread(plain, 16, 0) == BLOCK[:16] and os.pwrite(plain, b"after the lock", 0) == 14, "class after-unlock: the descriptor goes on")
    os.mkdir(v.path("dir"))
    put(v.path("dir", "new"), b"new")
    os.rename(v.path("dir", "new"), v.path("dir", "newer"))
    check(sorted(os.listdir(v.mnt)) == ["dir", "empty", "plain", "secret"] and open(v.path("dir", "newer"), "rb").read() == b"new", "class after-unlock: create, rename, list")
    os.unlink(v.path("dir", "newer"))
    check(stat.S_ISDIR(os.stat(c).st_mode), "a complete directory in an after-unlock one can be seen")
    v.unlock("not the right one at all", want=3)
    check(error_of(os.pread, fd, 10, 0) == "ENOKEY", "a wrong passcode changes nothing")
    # 5: and back
    v.unlock()
    check(os.pread(fd, 16, PAGE) == b"written by write", "the same descriptor works again and its write is there")
    check(os.pread(fd, 16, 0) == BLOCK[:16], "nothing of the refused full-page write is there")
    check(dirty[0:16] == b"written by a map" and open(f"{c}/dirty", "rb").read(16) == b"written by a map", "the mapping's dirty page was written before the lock")
    check(shared[5] == BLOCK[5] and private[5] == BLOCK[5], "the mappings work again")
    check(os.pwrite(fd, b"again", 0) == 5 and os.pread(fd, 5, 0) == b"again", "and writes")
    check(sorted(os.listdir(c)) == ["a", "b", "dirty", "link", "sub", "tail"] and os.readlink(f"{c}/link") == "a" and os.getxattr(a, "user.mood") == b"calm", "names, links and attributes are there")
    check(os.fstat(fd).st_size == 8 * PAGE and os.stat(tail).st_size == 100, "and sizes")
    v.close(want=1)
    for each in (fd, reader, plain, directory):
        os.close(each)
    for each in (shared, private, dirty, tail_map):
        each.close()
    v.close()
    check(within(10, lambda: not v.running() and not v.mounted()), "after close nothing runs and nothing is mounted")
    v.clean()


def databases():
    """[CH-20] The same with the kernel's write-back cache, and what only comes up there."""
    locked_files("--for", "databases")
    v = Vault(BUILD)
    v.open("--for", "databases")
    c = v.protected("secret")
    fd = os.open(f"{c}/long", os.O_RDWR | os.O_CREAT, 0o600)
    outcome, stop = [], threading.Event()
    def write_on():
        """Single writes that take long, so that a lock falls into one."""
        while not stop.is_set():
            try:
                outcome.append(os.pwrite(fd, BLOCK * 16384, 0))
            except OSError as e:
                outcome.append(errno.errorcode[e.errno])
                return
    t = threading.Thread(target=write_on)
    t.start()
    check(within(20, lambda: len(outcome) > 1), "long writes succeed before")
    v.lock()
    t.join(60)
    stop.set()
    check(not t.is_alive() and outcome[-1] == "ENOKEY", f"a long write ends: {outcome[-3:]}")
    check(within(10, lambda: error_of(os.pread, fd, 100, 0) == "ENOKEY"), "what it had brought since the lock cannot be read back")
    check(error_of(os.fstat, fd) == "ENOKEY", "GETATTR of an open file that is locked")
    mapping = error_of(map_file, fd, False, PAGE)
    v.unlock()
    check(len(os.pread(fd, PAGE, 0)) == PAGE and os.fstat(fd).st_size % PAGE == 0, f"after the unlock it is read again ({mapping})")
    os.close(fd)
    data = os.urandom(3 << 20)
    put(v.path("gathered"), data)
    gone = os.open(v.path("gone"), os.O_RDWR | os.O_CREAT)
    os.write(gone, b"of an unlinked file")
    os.unlink(v.path("gone"))
    subprocess.run(["sync", "-f", v.mnt], stderr=subprocess.DEVNULL) # may tell of what the lock refused above
    check(subprocess.run(["sync", "-f", v.mnt]).returncode == 0, "sync succeeds")
    check(os.pread(gone, 100, 0) == b"of an unlinked file", "sync with an unlinked file that is written")
    os.close(gone)
    put(v.path("gathered2"), data)
    v.close() # at once: nothing was synced
    v.open()
    check(all(open(v.path(n), "rb").read() == data for n in ("gathered", "gathered2")), "a close writes what was gathered")
    os.remove(v.path("gathered"))
    v.close()
    check(v.run("open", v.vault, v.mnt, "--on-lock", "wait", "--for", "databases").returncode == 2, "--on-lock wait excludes it")
    v.clean()


def before_first_unlock():
    """open --locked: of the root only what has class always."""
    v = Vault(BUILD)
    v.must("open", v.vault, v.mnt, "--locked", want=6) # there is nothing in it yet, not even a root
    check(within(10, lambda: not v.running() and not v.mounted()), "a vault that was never open is not opened locked")
    v.open()
    put(v.path("motd"), b"for all")
    v.must("protect", "--class", "always", v.path("motd"))
    put(v.path("plain"), b"later")
    os.mkdir(v.path("dir"))
    v.protected("secret")
    board = v.protected("board", cls="always")
    put(f"{board}/note", b"on the board")
    v.close()
    v.must("open", v.vault, v.mnt, "--locked")
    check(v.status()["state"] == "before-first-unlock", "status says before-first-unlock")
    check(sorted(os.listdir(v.mnt)) == ["board", "motd"], f"only always is listed: {os.listdir(v.mnt)}")
    check(open(v.path("motd"), "rb").read() == b"for all" and open(v.path("board", "note"), "rb").read() == b"on the board", "and readable")
    for name in ("plain", "dir", "secret", "nothing"):
        got = error_of(os.stat, v.path(name))
        check(got in ("ENOKEY", "ENOENT"), f"before the first unlock: stat {name}: {got or 'succeeded'}")
    got = error_of(put, v.path("new"), b"x")
    check(got == "ENOKEY", f"before the first unlock: create in the root: {got or 'succeeded'}")
    v.unlock()
    check(sorted(os.listdir(v.mnt)) == ["board", "dir", "motd", "plain", "secret"] and open(v.path("plain"), "rb").read() == b"later", "then all is there")
    v.close()
    v.clean()


class Writer(threading.Thread):
    """Writes numbered blocks to places of its own; knows which the kernel acknowledged."""

    def __init__(self, path, size):
        super().__init__()
        self.path, self.size, self.acked, self.errors, self.place, self.stop = path, size, {}, {}, 0, False
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT)

    def block(self, n):
        return struct.pack("<Q", n) * (self.size // 8)

    def run(self):
        n = 0
        while not self.stop:
            place = self.place = n % 64
            try:
                done = os.pwrite(self.fd, self.block(n), place * self.size)
                self.acked[place] = (n if done == self.size else None)
                n += 1
            except OSError as e:
                name = errno.errorcode[e.errno]
                self.errors[name] = self.errors.get(name, 0) + 1
                time.sleep(0.001)

    def wrong(self):
        """Places whose content is not the last acknowledged block. (A refused write may not have changed anything.)"""
        return [p for p, n in self.acked.items() if n is not None and os.pread(self.fd, self.size, p * self.size) != self.block(n)]


def settles():
    """[CR-1] A lock is a settle: it is confirmed when what was written is durable and the head says so, not 30 s later."""
    v = Vault(BUILD, create=("--grace", "0"))
    v.open()
    c = v.protected("secret")
    def settled():
        with open(os.path.join(v.vault, ".holdfast", "head"), "rb") as head:
            return struct.unpack_from("<I", head.read(), 24)[0]
    for n in range(3):
        put(f"{c}/{n}"), put(v.path(f"plain-{n}"))
        before = settled()
        v.lock()
        check(settled() > before, f"the head goes on with lock {n}: {before}, {settled()}")
        v.unlock()
    v.close()
    v.clean()


def under_load(rounds=50):
    v = Vault(BUILD)
    v.open()
    c = v.protected("secret")
    writers = [Writer(f"{c}/w4096", 4096), Writer(f"{c}/w512", 512), Writer(v.path("w3000"), 3000)]
    seen, stop = [], False

    def look():
        while not stop:
            for fn in (lambda: os.listdir(c), lambda: put(f"{c}/t{time.monotonic_ns() % 7}", b"t"), lambda: os.stat(f"{c}/w512"), lambda: os.unlink(f"{c}/t3")):
                got = error_of(fn)
                if got not in ("", "ENOKEY", "ENOENT"):
                    seen.append(got)
            time.sleep(0.001)

    lookers = [threading.Thread(target=look) for _ in range(2)]
    for t in (*writers, *lookers):
        t.start()
    left, slowest = [], 0.0
    for n in range(rounds):
        time.sleep(0.02)
        began = time.monotonic()
        p = v.run("lock", "--now", v.vault)
        slowest = max(slowest, time.monotonic() - began)
        if p.returncode != 0:
            left.append(f"lock {n}: {p.stderr.strip()}")
            break
        for w in writers[:2]:
            # not where the writer is just being refused: until then the kernel shows others the whole page that it was handed
            place = next((p for p in list(w.acked) if p != w.place), None)
            got = "ENOKEY" if place is None else error_of(os.pread, w.fd, 100, place * w.size)
            if got != "ENOKEY":
                left.append(f"round {n}: read after lock: {got or 'succeeded'}")
        p = v.run("unlock", v.vault, "--passcode-fd", "0", given=PASS)
        if p.returncode != 0:
            left.append(f"unlock {n}: {p.stderr.strip()}")
            break
    stop = True
    for w in writers:
        w.stop = True
    for t in (*writers, *lookers):
        t.join()
    check(not left, f"{rounds} rounds of lock and unlock under load: {left[:3]}")
    check(not seen, f"other errors than ENOKEY under load: {seen[:5]}")
    for w in writers[:2]:
        check(w.errors.get("ENOKEY", 0) > 0 and set(w.errors) == {"ENOKEY"}, f"{w.path}: a writer gets ENOKEY and nothing else: {w.errors}")
    check(not writers[2].errors, f"class after-unlock is not disturbed: {writers[2].errors}")
    for w in writers:
        check(len(w.acked) == 64 and not w.wrong(), f"{w.path}: acknowledged writes that are not there: {w.wrong()[:5]}")
        os.close(w.fd)
    print(f"{rounds} rounds, slowest lock {slowest * 1000:.0f} ms, blocks written {[sum(1 for _ in w.acked) for w in writers]}, refused {[w.errors for w in writers]}")
    if not left:
        v.must("check", v.vault)
        v.close()
        v.open()
        for w in writers:
            w.fd = os.open(w.path, os.O_RDONLY)
            check(not w.wrong(), f"{w.path}: acknowledged writes after close and open: {w.wrong()[:5]}")
            os.close(w.fd)
        v.close()
    v.clean()


def while_unlocking():
    """An unlock takes a second and more: the supervisor serves meanwhile, and a lock asked for then ends locked."""
    v = Vault(BUILD, kdf="512,2")
    v.open()
    c = v.protected("secret")
    a = put(f"{c}/a")
    v.lock()

    def unlocking():
        began = time.monotonic()
        p = v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS)
        time.sleep(0.15)
        return p, began

    p, began = unlocking()
    asked = time.monotonic()
    state = v.status()["state"]
    took = time.monotonic() - asked
    check(p.poll() is None and state == "locked" and took < 0.25, f"status during an unlock: {state} after {took:.2f} s")
    p.wait()
    whole = time.monotonic() - began
    check(whole > 0.5 and p.returncode == 0, f"the unlock takes its time ({whole:.2f} s), else this shows nothing")
    check(os.stat(a).st_size == len(BLOCK), "and opens")
    v.lock()
    p, began = unlocking()
    check(p.poll() is None, "an unlock is under way")
    v.lock()
    p.wait()
    check(v.status()["state"] == "locked" and error_of(os.stat, a) == "ENOKEY", f"a lock asked for during an unlock ends locked: {v.status()['state']}, unlock's exit {p.returncode}")
    p, began = unlocking()
    pid = v.pids()["holdfast-enclave"]
    asked = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    check(within(1, lambda: not v.mounted() and not v.running() or set(v.running().values()) == {"holdfast"}), f"the enclave's death during an unlock is served at once: left {v.running()}")
    check(p.wait(5) == 1, f"and the unlock fails: {p.returncode}")
    v.open()
    v.lock()
    p, began = unlocking()
    asked = time.monotonic()
    v.close("--force")
    took = time.monotonic() - asked
    # A clean close writes the head, which the enclave does when Argon2id is through.
    check(took < whole + 1 and not v.mounted(), f"close --force during an unlock ends closed: {took:.2f} s")
    check(p.wait(5) == 1 and within(1, lambda: not v.running()), f"and nothing is left: {v.running()}")
    v.clean()


def in_memory():
    """Secrets are found in the programs' memory while unlocked, and are gone after the lock. [PR-3] is switched off, or nothing could be read."""
    marker, name = b"<<marker in a page of a file>>", "name-that-is-a-marker-itself"
    v, log = telling_vault(BUILD, kdf="256,3")
    c = v.protected("secret")
    f = put(f"{c}/{name}", marker * 2000)
    os.setxattr(f, "user.note", marker[::-1])
    fd = os.open(f, os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.pread(fd, 100, 0), os.listdir(c), os.getxattr(f, "user.note")

    def busy(n):
        for i in range(40):
            here = put(f"{c}/{n}-{i}-{name}", marker * (1 << (i % 16)))
            os.rename(here, f"{c}/{n}-{i}-{name}-renamed")
            os.symlink(f"../{name}", f"{c}/{n}-{i}-{name}-link")
            os.link(f"{c}/{n}-{i}-{name}-renamed", f"{c}/{n}-{i}-{name}-second")
            os.setxattr(f"{c}/{n}-{i}-{name}-second", "user.note", marker[::-1] * 9)
            os.truncate(f"{c}/{n}-{i}-{name}-second", 17 + i)
            os.readlink(f"{c}/{n}-{i}-{name}-link")
            same.append(open(f"{c}/{n}-{i}-{name}-second", "rb").read() == (marker * (1 << i % 16)).ljust(17 + i, b"\0")[:17 + i])
        os.mkdir(f"{c}/{n}-{name}-dir")
        os.listdir(c)

    same = []
    workers = [threading.Thread(target=busy, args=(n,)) for n in range(4)]
    for t in workers:
        t.start()
    for t in workers:
        t.join()
    check(len(same) == 160 and all(same), "what was written is read")
    raised = put(v.path(f"raised-{name}"), marker * 3000)
    v.must("protect", "--class", "complete", raised)
    os.rename(raised, f"{c}/raised-{name}")
    v.must("check", v.vault)
    os.listdir(c)

    def values():
        got = {"passcode": PASS.encode(), "marker": marker, "name": name.encode(), "attribute": marker[::-1]}
        lines = open(log).read().splitlines()
        keys = [n for n, line in enumerate(lines) if line.startswith("file-key-complete")]
        for line in (line for n, line in enumerate(lines) if n not in keys[20:-20]): # of the file keys a sample: the scan takes its time
            label, _, value = line.strip().rpartition(" ")
            value = bytes.fromhex(value)
            if label in ("kek", "complete", "class-key complete", "file-key-complete", "name-key-complete", "kek-half", "element-auth"):
                got[f"{label} {value[:4].hex()}"] = value
            if label == "file-key-complete":
                for gen in range(3):
                    got[f"page-key {value[:4].hex()} {gen}"] = hashlib.blake2b(struct.pack("<I", gen), digest_size=32, key=value, salt=struct.pack("<H", 10) + bytes(14), person=b"holdfast-kdf-v1\0").digest()
        return got

    def scan(what):
        found = {}
        for pid, program in v.running().items():
            hits = memory_hits(pid, what)
            if hits is None and program != "holdfast": # the command itself may end while it is looked at
                check(False, f"{program}: its memory cannot be read")
            for hit in hits or ():
                found.setdefault(hit, set()).add(program)
        return found

    secrets = values()
    before = scan(secrets)
    kinds = {hit.split()[0] for hit in before}
    for kind in ("marker", "complete", "class-key", "file-key-complete", "name-key-complete", "page-key", "kek", "name"):
        check(kind in kinds, f"unlocked: {kind} can be found in memory (else the scan shows nothing)")
    check("passcode" not in kinds, f"unlocked: the passcode is in no program any more: {before.get('passcode')}")
    check(not any("holdfast-super" in programs for programs in before.values()), "the supervisor never has any of it")
    # [CH-6] the filesystem is given neither a class key nor a passcode
    check(not any("holdfast-fs" in programs for hit, programs in before.items() if hit.split()[0] in ("complete", "class-key", "kek", "passcode")), "no class key and no passcode in the filesystem")
    v.lock()
    began = time.monotonic()
    after = scan(values())
    check(not after, f"locked: still in memory: {after}")
    for pid, program in v.running().items() if after else ():
        where_found(pid, {hit: value for hit, value in values().items() if hit in after})
    print(f"memory: {len(secrets)} values, {len(before)} found while unlocked, {len(after)} after the lock, scan {time.monotonic() - began:.1f} s")
    # The passcode is there while Argon2id runs, in the enclave alone [CH-3].
    p = v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS)
    holders = set()
    while p.poll() is None:
        holders |= scan({"passcode": PASS.encode()}).get("passcode", set())
    check(p.wait() == 0 and "holdfast-enclave" in holders, f"the passcode is found in the enclave while it is judged: {holders}")
    check(holders <= {"holdfast-enclave", "holdfast"}, f"and in no other program: {holders}")
    p = v.start("unlock", v.vault, "--passcode-fd", "0", given=PASS)
    p.wait()
    check("passcode" not in scan({"passcode": PASS.encode()}), "and gone afterwards")
    os.pread(fd, 100, 0)
    os.close(fd)
    v.close()
    check(within(10, lambda: not v.running()), "after close no program is left")
    v.clean()
    shutil.rmtree(os.path.dirname(log))


def from_outside():
    """The build as it is run: no core files, memory closed to programs of the same user."""
    if os.geteuid() != 0:
        skip("another user's view needs root")
        return
    user = 65534
    v = Vault(BUILD, user=user)
    v.open()
    peek = "import os,sys\ntry:\n os.open('/proc/%s/mem' % sys.argv[1], os.O_RDONLY)\nexcept PermissionError:\n sys.exit(3)"
    attach = "import ctypes,sys\nl=ctypes.CDLL(None,use_errno=True)\nr=l.ptrace(16,int(sys.argv[1]),0,0)\nsys.exit(3 if r==-1 and ctypes.get_errno()==1 else 0)"
    as_user = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "/usr/bin/python3", "-c"]
    own = subprocess.Popen(["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups", "sleep", "30"])
    time.sleep(0.2)
    check(subprocess.run([*as_user, peek, str(own.pid)]).returncode == 0, "the same user can open an ordinary program's memory (else this shows nothing)")
    own.kill()
    own.wait()
    for program, pid in v.pids().items():
        if program != "holdfast-super":
            check(any(line.split()[4:6] == ["0", "0"] for line in open(f"/proc/{pid}/limits") if line.startswith("Max core file size")), f"{program}: core files are off")
            check(os.stat(f"/proc/{pid}/mem").st_uid == 0, f"{program}: not dumpable")
            check(subprocess.run([*as_user, peek, str(pid)], stderr=subprocess.DEVNULL).returncode == 3, f"{program}: the same user cannot open its memory")
            check(subprocess.run([*as_user, attach, str(pid)]).returncode == 3, f"{program}: the same user cannot trace it")
    v.close()
    v.clean()


for part in sys.argv[2:] or ("locked_files", "databases", "before_first_unlock", "settles", "under_load", "while_unlocking", "in_memory", "from_outside"):
    globals()[part]()
finish()
