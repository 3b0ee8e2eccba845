#!/usr/bin/env python3
"""Class unless-open on the real mount: data arrives while locked, the descriptor that made a file works on, afterwards nothing of it is left. unless_open.py BUILD"""
import glob, os, shutil, signal, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]


def gone(path):
    """After the last close the file cannot be opened."""
    return error_of(os.open, path, os.O_RDONLY) == "ENOKEY"


def while_locked():
    v = Vault(BUILD)
    v.open()
    box = v.protected("box", cls="unless-open")
    before, kept = put(f"{box}/before"), put(f"{box}/kept", BLOCK * 3)
    check(os.getxattr(before, "user.holdfast.class") == b"unless-open", "[UO-5] inherited")
    check(get(before) == BLOCK, "read while unlocked")
    os.mkdir(f"{box}/sub")
    keeper = os.open(kept, os.O_RDWR)
    cached = map_file(before)
    check(cached[3] == BLOCK[3], "mapped")
    cached.close()
    put(v.path("board"), b"always here")
    v.must("protect", "--class", "always", v.path("board"))
    v.lock()
    status = v.status()
    check(status["state"] == "locked" and status["open_unless_open"] == 1, f"[UO-7] status counts what keeps keys: {status['open_unless_open']}")
    check("1 files of class unless-open still open" in v.must("status", v.vault), "[UO-7] and says since when")
    for name, got in {"open": error_of(os.open, before, os.O_RDONLY), "O_TRUNC": error_of(os.open, before, os.O_WRONLY | os.O_TRUNC), "truncate": error_of(os.truncate, before, 1),
                      "append": error_of(os.open, before, os.O_WRONLY | os.O_APPEND), "open of one that is open": error_of(os.open, kept, os.O_RDONLY)}.items():
        check(got == "ENOKEY", f"[UO-6] locked: {name}: {got or 'succeeded'}")
    check(os.pread(keeper, 16, 0) == BLOCK[:16] and os.pwrite(keeper, b"later", 5000) == 5 and os.pread(keeper, 5, 5000) == b"later", "[UO-6] what was open goes on")
    os.close(keeper)
    check(within(20, lambda: v.status()["open_unless_open"] == 0), "the count goes back")
    # made while locked
    fd = os.open(f"{box}/new", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    check(os.write(fd, BLOCK * 5) == len(BLOCK) * 5 and os.pread(fd, 100, 4090) == (BLOCK * 2)[4090:4190], "[UO-5] the creating descriptor writes and reads")
    os.fsync(fd)
    os.rename(f"{box}/new", f"{box}/sub/new")
    check(os.fstat(fd).st_size == len(BLOCK) * 5 and gone(f"{box}/sub/new"), "renamed while open; nobody else opens it")
    os.close(fd)
    check(gone(f"{box}/sub/new") and os.stat(f"{box}/sub/new").st_size == len(BLOCK) * 5, "closed: ENOKEY, while names and sizes are seen")
    for i in range(20):
        put(f"{box}/mail{i}", b"message %d" % i * 100)
    os.unlink(f"{box}/mail19")
    os.link(f"{box}/mail18", f"{box}/mail18b")
    check(sorted(os.listdir(box)) == sorted(["before", "kept", "sub", "mail18b"] + [f"mail{i}" for i in range(19)]), "names go on")
    check(error_of(os.setxattr, v.path("board"), "user.holdfast.class", b"unless-open") == "" and gone(v.path("board")), "always to unless-open while locked")
    check(error_of(os.setxattr, before, "user.holdfast.class", b"complete") == "ENOKEY" and error_of(os.setxattr, before, "user.holdfast.class", b"always") == "ENOKEY", "and no other way")
    v.unlock()
    check(get(v.path("board")) == b"always here" and get(before) == BLOCK and get(f"{box}/sub/new") == BLOCK * 5, "after the unlock all is there")
    check(get(kept)[5000:5005] == b"later" and all(get(f"{box}/mail{i}") == b"message %d" % i * 100 for i in range(19)), "all of it")
    v.must("check", v.vault)
    v.must("rotate", v.vault, "--class", "unless-open")
    check(get(f"{box}/sub/new") == BLOCK * 5, "[UO-4] readable after a rotation")
    v.lock()
    put(f"{box}/rotated", b"to the new key")
    v.close()
    v.open()
    check(get(f"{box}/rotated") == b"to the new key" and get(before) == BLOCK, "and what came under the new pair, after a restart")
    v.must("check", v.vault)
    v.close()
    v.clean()


def classes():
    """Every pair of classes, there and back."""
    v = Vault(BUILD)
    v.open()
    names = ("complete", "unless-open", "after-unlock", "always")
    f = put(v.path("f"), BLOCK * 2)
    for a in names:
        for b in names:
            for cls in (a, b):
                v.must("protect", "--class", cls, f)
            check(os.getxattr(f, "user.holdfast.class") == b.encode() and get(f) == BLOCK * 2, f"{a} to {b}")
    v.must("check", v.vault)
    v.close()
    v.clean()


def tampered():
    """[UO-3] Every byte of the static part, the wrap in it: an error, never other data."""
    v = Vault(BUILD)
    v.open()
    box = v.protected("box", cls="unless-open")
    put(f"{box}/f", b"secret mail")
    v.close()
    target = next(p for p in glob.glob(f"{v.vault}/*/*") if os.path.isfile(p) and not os.path.islink(p))
    good, bad = get(target), []
    for at in range(256):
        data = bytearray(good)
        data[at] ^= 1 << (at % 8)
        with open(target, "r+b") as raw:
            raw.write(data)
        if at % 16 == 0 or 40 <= at < 144 and at % 4 == 0:
            v.open()
            got = error_of(get, f"{box}/f")
            if got != "EIO":
                bad.append((at, got))
            v.close()
    with open(target, "r+b") as raw:
        raw.write(good)
    check(not bad, f"[UO-3] flips of the header: {bad[:5]}")
    v.open()
    check(get(f"{box}/f") == b"secret mail", "put back, it opens")
    v.close()
    v.clean()


def in_memory():
    """[UO-6] After the last close while locked neither keys nor content are in any program. The switches make memory readable at all."""
    marker, late = b"<<came before the lock>>", b"<<came while locked>>"
    v, log = telling_vault(BUILD)
    box = v.protected("box", cls="unless-open")
    for i in range(10):
        put(f"{box}/{i}", marker * 500)
        get(f"{box}/{i}")

    def found():
        values = {"before": marker, "late": late}
        for line in open(log).read().splitlines():
            label, _, value = line.strip().rpartition(" ")
            if label in ("unless-open", "class-key unless-open", "file-key-unless-open"):
                values[f"{label} {value[:8]}"] = bytes.fromhex(value)
        return {hit.split()[0] for pid in v.running() for hit in memory_hits(pid, values) or ()}

    check({"before", "unless-open", "file-key-unless-open"} <= found(), "unlocked: keys and content are found (else the scan shows nothing)")
    v.lock()
    check(found() == set(), f"locked: of what was closed nothing is left: {found()}")
    fd = os.open(f"{box}/late", os.O_RDWR | os.O_CREAT)
    os.write(fd, late * 900)
    os.pread(fd, 100, 0)
    check("file-key-unless-open" in found(), "a file that is made while locked has its key while it is open")
    mapped = map_file(fd)
    check(mapped[2] == late[2], "and can be mapped")
    mapped.close()
    os.close(fd)
    check(within(20, lambda: found() == set()), f"and after its last close nothing is left: {found()}")
    check(gone(f"{box}/late"), "nor can it be opened")
    v.unlock()
    check(get(f"{box}/late") == late * 900, "until the unlock")
    v.close()
    v.clean()
    shutil.rmtree(os.path.dirname(log))


def killed():
    """kill -9 of the filesystem while data arrives: what was fsynced is there after the unlock."""
    v = Vault(BUILD)
    v.open()
    box = v.protected("box", cls="unless-open")
    v.lock()
    kept = []
    for i in range(30):
        fd = os.open(f"{box}/{i}", os.O_RDWR | os.O_CREAT)
        os.write(fd, b"%d" % i * 3000)
        os.fsync(fd)
        kept.append(fd)
        if i % 2:
            os.close(kept.pop())
    os.fsync(d := os.open(box, os.O_RDONLY | os.O_DIRECTORY))
    os.close(d)
    os.kill(v.status()["pids"]["holdfast-fs"], signal.SIGKILL)
    check(within(20, lambda: not v.running() and not v.mounted()), "all end with it")
    for fd in kept:
        os.close(fd)
    v.open()
    check(all(get(f"{box}/{i}") == b"%d" % i * 3000 for i in range(30)), "what was acknowledged is there")
    v.must("check", v.vault)
    v.close()
    v.clean()


for part in (while_locked, classes, tampered, in_memory, killed):
    part()
finish()
