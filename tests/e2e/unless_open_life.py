#!/usr/bin/env python3
"""Class unless-open: what each descriptor, mapping and name of it can do while locked, its keys through rotation, recovery and export, and memory. unless_open_life.py BUILD [PART…]"""
import hashlib, os, struct, subprocess, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]
BLOCK = b"arrived in a locked vault, 32 b." * 128


def refused(path, flags=os.O_RDONLY):
    got = error_of(lambda: os.close(os.open(path, flags)))
    return got == "ENOKEY" or f"{got or 'succeeded'}"


def while_locked():
    """[UO-6] Page 00's second rule, with everything that a descriptor can do."""
    v = Vault(BUILD)
    v.open()
    box = v.protected("box", cls="unless-open")
    put(f"{box}/before", BLOCK * 3)
    held = os.open(put(f"{box}/held", BLOCK * 2), os.O_RDWR)
    mapped = map_file(put(f"{box}/mapped", BLOCK))
    check(mapped[0] == BLOCK[0] and get(f"{box}/before") == BLOCK * 3, "unlocked: it is a folder like others")
    check(os.getxattr(f"{box}/before", "user.holdfast.class") == b"unless-open", "what is made there has the class")
    v.lock()
    now = v.status()
    check(now["state"] == "locked" and now["open_unless_open"] == 2 and now["classes"]["unless-open"] is False, f"status counts what keeps keys: {now['open_unless_open']} {now['classes']}")
    said = v.run("status", v.vault).stdout
    check("2 files of class unless-open still open" in said, f"and says so: {said.splitlines()[:2]}")
    # what was there and is closed
    for what, flags in (("read", os.O_RDONLY), ("write", os.O_WRONLY), ("append", os.O_WRONLY | os.O_APPEND), ("truncate", os.O_WRONLY | os.O_TRUNC), ("create again", os.O_CREAT | os.O_RDWR)):
        check(refused(f"{box}/before", flags) is True, f"locked: open to {what}: {refused(f'{box}/before', flags)}")
    check(error_of(os.truncate, f"{box}/before", 3) == "ENOKEY", "locked: truncate by name")
    check(error_of(os.getxattr, f"{box}/before", "user.x") in ("ENOKEY", "ENODATA"), "locked: no attribute is told")
    # what was open goes on
    check(os.pread(held, 32, 0) == BLOCK[:32] and os.pwrite(held, b"still", PAGE) == 5 and os.pread(held, 5, PAGE) == b"still", "a descriptor of before goes on, to read and to write")
    check(refused(f"{box}/held") is True, f"and nobody else gets in beside it: {refused(f'{box}/held')}")
    check(fault_signal(mapped) == 0, "a mapping of before goes on")
    # what is made
    fd = os.open(f"{box}/new", os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o640)
    check(os.write(fd, BLOCK * 20) == len(BLOCK) * 20 and os.pread(fd, 40, PAGE) == (BLOCK * 2)[PAGE % 32:][:40], "the creating descriptor writes and reads")
    os.ftruncate(fd, 50000), os.fsync(fd), os.fchmod(fd, 0o600)
    os.setxattr(fd, "user.from", b"camera")
    check(os.getxattr(fd, "user.from") == b"camera" and os.fstat(fd).st_size == 50000, "and truncates, syncs, has attributes")
    page = map_file(fd)
    page[100:105] = b"by map"[:5]
    check(page[32:64] == BLOCK[:32], "and maps")
    check(refused(f"{box}/new") is True, "a second open of it is refused")
    check(v.status()["open_unless_open"] == 3, "it counts as well")
    os.close(fd)
    check(fault_signal(page) == 0 and refused(f"{box}/new") is True, "a mapping keeps the file open, for itself alone")
    page.close()
    check(within(5, lambda: v.status()["open_unless_open"] == 2), "then it is closed")
    check(refused(f"{box}/new") is True, f"after close it cannot be opened: {refused(f'{box}/new')}")
    put(f"{box}/empty", b"")
    put(f"{box}/big", BLOCK * 700)
    os.mknod(f"{box}/nod", 0o600)
    for name in ("empty", "big", "nod"):
        check(refused(f"{box}/{name}") is True, f"nor {name}: {refused(f'{box}/{name}')}")
    # names and structure go on [UO-5]
    os.mkdir(f"{box}/day")
    put(f"{box}/day/photo", BLOCK)
    os.rename(f"{box}/big", f"{box}/day/bigger")
    os.unlink(f"{box}/nod")
    os.symlink("new", f"{box}/link")
    check(sorted(os.listdir(box)) == ["before", "day", "empty", "held", "link", "mapped", "new"] and sorted(os.listdir(f"{box}/day")) == ["bigger", "photo"], f"names: {os.listdir(box)}")
    check(os.stat(f"{box}/new").st_size == 50000 and os.stat(f"{box}/day/bigger").st_size == len(BLOCK) * 700, "stat goes on")
    # changes of class
    put(v.path("plain"), b"after-unlock")
    for what, name, cls, want in (("raise after-unlock", "plain", b"unless-open", ""), ("lower", "box/before", b"after-unlock", "ENOKEY"), ("raise to complete", "box/before", b"complete", "ENOKEY")):
        got = error_of(os.setxattr, v.path(name), "user.holdfast.class", cls)
        check(got == want, f"locked: {what}: {got or 'succeeded'}")
    check(within(5, lambda: refused(v.path("plain")) is True), "what was raised is closed")
    mapped.close()
    os.close(held)
    check(within(5, lambda: v.status()["open_unless_open"] == 0), "nothing keeps a key any more")
    check(refused(f"{box}/held") is True and refused(f"{box}/mapped") is True, "and those are closed for good")
    v.unlock()
    want = bytearray((BLOCK * 20)[:50000])
    want[100:105] = b"by ma"
    check(get(f"{box}/new") == bytes(want) and os.getxattr(f"{box}/new", "user.from") == b"camera" and os.stat(f"{box}/new").st_mode & 0o7777 == 0o600, "unlocked: what arrived is there")
    check(get(f"{box}/day/bigger") == BLOCK * 700 and get(f"{box}/day/photo") == BLOCK and get(f"{box}/empty") == b"" and os.readlink(f"{box}/link") == "new", "all of it")
    check(get(f"{box}/held")[PAGE:PAGE + 5] == b"still" and get(f"{box}/before") == BLOCK * 3 and get(v.path("plain")) == b"after-unlock", "and what was there")
    v.must("check", v.vault)
    v.close()
    v.open()
    check(get(f"{box}/new") == bytes(want) and get(f"{box}/day/bigger") == BLOCK * 700, "and after close and open")
    v.close()
    v.clean()


def keys():
    """New keys, the recovery phrase, export."""
    v = Vault(BUILD, recovery=True)
    v.open()
    box = v.protected("box", cls="unless-open")
    put(f"{box}/mail", BLOCK)
    v.lock()
    put(f"{box}/late", BLOCK * 9)
    v.unlock()
    v.must("rotate", v.vault, "--class", "unless-open")
    check(get(f"{box}/late") == BLOCK * 9 and get(f"{box}/mail") == BLOCK, "after rotate")
    v.lock()
    put(f"{box}/later", BLOCK * 2)
    check(refused(f"{box}/later") is True and refused(f"{box}/mail") is True, "new keys lock too")
    v.unlock()
    check(get(f"{box}/later") == BLOCK * 2, "and open")
    v.must("check", v.vault)
    v.close()
    v.must("recover", v.vault, "--element", "software", "--recovery-file", v.phrase, "--new-passcode-fd", "0", given=OTHER)
    v.open(passcode=OTHER)
    check(get(f"{box}/late") == BLOCK * 9, "the phrase opens what arrived")
    v.lock()
    put(f"{box}/last", BLOCK)
    v.unlock(OTHER)
    out = os.path.join(v.work, "out")
    v.must("export", v.vault, out)
    check(get(f"{out}/box/last") == BLOCK, "export")
    v.close()
    v.clean()


def backing(v, plain_size):
    """Files of the disk with about that size."""
    for folder, _, files in os.walk(v.vault):
        for name in files:
            path = os.path.join(folder, name)
            if ".holdfast" not in path and not os.path.islink(path) and os.stat(path).st_size >= plain_size:
                yield path


def in_memory():
    """[UO-6] After the last close while locked neither key nor plaintext is in any program, nor in the page cache. [PR-3] is off, or nothing could be read."""
    v, log = telling_vault(BUILD)
    box = v.protected("box", cls="unless-open")
    marker = b"<<what arrived while it was locked>>"
    put(f"{box}/before", marker * 3000)
    get(f"{box}/before")

    def keys():
        found = {}
        for line in open(log).read().splitlines():
            label, _, value = line.rpartition(" ")
            if label in ("file-key-unless-open", "class-key unless-open", "unless-open"):
                found[f"{label} {value[:8]}"] = bytes.fromhex(value)
        return found

    def scan():
        found = set()
        for pid, program in v.running().items():
            found |= {(program, hit) for hit in memory_hits(pid, {"marker": marker, **keys()}) or ()}
        return found

    kinds = {hit.split()[0] for _, hit in scan()}
    check({"class-key", "file-key-unless-open", "marker"} <= kinds, f"unlocked: they can be found (else the scan shows nothing): {kinds}")
    v.lock()
    left = scan()
    # keys made ahead for files to come are the only ones that may be there, and none is until the first is made
    check(not left, f"locked: {left}")
    had = set(backing(v, 0))
    fd = os.open(f"{box}/new", os.O_CREAT | os.O_RDWR)
    os.write(fd, marker * 3000)
    pages = map_file(fd)
    used = {hit for program, hit in scan() if program == "holdfast-fs"}
    check(pages[0] == marker[0] and resident(pages) > 0 and "marker" in used, "while it is open its plaintext can be found")
    pages.close()
    os.close(fd)
    check(within(5, lambda: v.status()["open_unless_open"] == 0 and not any(hit == "marker" for _, hit in scan())), "after the last close no plaintext is left")
    check(not any("class-key" in hit or hit.startswith("unless-open ") for _, hit in scan()), "the private half is nowhere")
    # the file's own key: it opens its header's commitment
    s = get(next(p for p in backing(v, 0) if p not in had))[:256]
    own = next((name for name, key in keys().items() if name.startswith("file-key") and
                hashlib.blake2b(s[16:32], digest_size=32, key=key, salt=struct.pack("<H", 9) + bytes(14), person=b"holdfast-kdf-v1\0").digest() == s[224:256]), None)
    check(own is not None, "the key of the file that arrived is in the log")
    check(own not in {hit for _, hit in scan()}, f"and in no program: {[p for p, hit in scan() if hit == own]}")
    v.unlock()
    check(get(f"{box}/new") == marker * 3000, "the unlock opens it")
    v.close()
    v.clean()
    shutil.rmtree(os.path.dirname(log))


def waiting():
    """[UO-6] with --on-lock wait: what is open and what is made does not wait, what is closed does, until the unlock or a kill."""
    v = Vault(BUILD, create=("--grace", "0"))
    v.open("--on-lock", "wait")
    box = v.protected("box", cls="unless-open")
    put(f"{box}/before", b"closed before the lock"), put(f"{box}/held", b"held")
    held = os.open(f"{box}/held", os.O_RDWR)
    v.lock()
    began = time.monotonic()
    check(os.pread(held, 4, 0) == b"held" and os.pwrite(held, b"more", 4) == 4, "a descriptor from before the lock goes on")
    for n in range(20):
        put(f"{box}/{n}", b"arrived %d" % n * 500)
    check(time.monotonic() - began < 10, "nothing of it waits")
    got = []
    reader = threading.Thread(target=lambda: got.append(get(f"{box}/before")), daemon=True)
    reader.start()
    killed = subprocess.Popen([sys.executable, "-c", "import sys; open(sys.argv[1]).read()", f"{box}/3"], stderr=subprocess.DEVNULL)
    reader.join(0.5)
    check(reader.is_alive() and killed.poll() is None, "an open of a closed file waits")
    killed.kill()
    check(killed.wait(10) == -9, "and ends with a kill")
    put(f"{box}/behind", b"behind who waits")
    v.unlock()
    reader.join(20)
    check(got == [b"closed before the lock"], f"the unlock answers it: {got}")
    check(all(get(f"{box}/{n}") == b"arrived %d" % n * 500 for n in range(20)) and get(f"{box}/held") == b"heldmore" and get(f"{box}/behind") == b"behind who waits", "and all is there")
    os.close(held)
    v.close()
    v.clean()


def gathered():
    """[UO-6] with --for databases: what the kernel has gathered for such files comes home at the last close, the pages go."""
    v = Vault(BUILD, create=("--grace", "0"))
    v.open("--for", "databases")
    box = v.protected("box", cls="unless-open")
    held = os.open(f"{box}/held", os.O_RDWR | os.O_CREAT)
    data = os.urandom(3 << 20)
    os.pwrite(held, data, 0)
    v.lock()
    check(os.pread(held, len(data), 0) == data, "gathered before the lock, read after it")
    for n in range(50):
        os.pwrite(held, b"%8d" % n, n * 50_000 + 7)
    fd = os.open(f"{box}/new", os.O_RDWR | os.O_CREAT | os.O_EXCL)
    os.pwrite(fd, data, 100)
    check(os.pread(fd, 1000, 100) == data[:1000] and os.fstat(fd).st_size == len(data) + 100, "made while locked: what is gathered is read, the size is the kernel's")
    pages = map_file(fd)
    pages[0:4] = b"mmap"
    pages.close()
    os.close(fd)
    check(within(10, lambda: error_of(lambda: os.close(os.open(f"{box}/new", os.O_RDONLY))) == "ENOKEY"), "closed: nobody opens it")
    check(os.stat(f"{box}/new").st_size == len(data) + 100, "its size stays")
    v.lock()
    check(os.pread(held, 8, 49 * 50_000 + 7) == b"%8d" % 49, "what is open goes on over a second lock")
    os.close(held)
    check(within(10, lambda: v.status()["open_unless_open"] == 0), "nothing keeps keys")
    v.unlock()
    check(get(f"{box}/new")[100:] == data and get(f"{box}/new")[:4] == b"mmap", "unlocked: what was gathered is there")
    whole = bytearray(data)
    for n in range(50):
        whole[n * 50_000 + 7:n * 50_000 + 15] = b"%8d" % n
    check(get(f"{box}/held") == bytes(whole), "every write of the descriptor that was held")
    v.must("check", v.vault)
    v.close()
    v.clean()


def since():
    """[UO-7] For how long the oldest has been open."""
    v = Vault(BUILD, create=("--grace", "0"))
    v.open()
    box = v.protected("box", cls="unless-open")
    check(v.status()["open_unless_open_since_s"] == 0, "none")
    first = os.open(f"{box}/first", os.O_RDWR | os.O_CREAT)
    began = time.monotonic()
    check(within(10, lambda: v.status()["open_unless_open_since_s"] >= 2), "the time of the oldest runs")
    second = os.open(f"{box}/second", os.O_RDWR | os.O_CREAT)
    v.lock()
    now = v.status()
    check(now["open_unless_open"] == 2 and 2 <= now["open_unless_open_since_s"] <= time.monotonic() - began + 1, f"the second is younger: {now['open_unless_open_since_s']}")
    check("2 files of class unless-open still open, the oldest for " in v.must("status", v.vault), "in words")
    os.close(first)
    check(within(10, lambda: v.status()["open_unless_open"] == 1) and v.status()["open_unless_open_since_s"] <= time.monotonic() - began, "the other's time is told then")
    os.close(second)
    check(within(10, lambda: v.status()["open_unless_open_since_s"] == 0), "none again")
    v.close()
    v.clean()


for part in sys.argv[2:] or ("while_locked", "keys", "in_memory", "waiting", "gathered", "since"):
    globals()[part]()
finish()
