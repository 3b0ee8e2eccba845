#!/usr/bin/env python3
# runs alone: times of the grace
"""The rules of what must hold when locked, one by one, on the real mount, polled through open, locking, locked and before the first unlock; written from the
rules alone and not from the code. conformance.py BUILD"""
import os, re, signal, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]
CLASS = "user.holdfast.class"


def refuses(fn, *args, what, wants=("ENOKEY",)):
    got = error_of(fn, *args)
    check(got in wants, f"{what}: {got or 'succeeded'}, not {' or '.join(wants)}")


def works(fn, *args, what):
    got = error_of(fn, *args)
    check(not got, f"{what}: {got}")


def opened(path, flags, mode=0o600):
    os.close(os.open(path, flags, mode))


def class_of(path):
    return os.getxattr(path, CLASS).decode()


v = Vault(BUILD, create=("--grace", "2"))
v.open()
c, a, w = v.protected("complete"), v.path("after"), v.protected("always", cls="always")
os.mkdir(a)
unless = v.path("unless")
os.mkdir(unless)
os.setxattr(unless, CLASS, b"unless-open")

# --- the four classes, per file and directory, inherited; the root's is after-unlock
check(class_of(v.mnt) == "after-unlock", "the root is after-unlock")
for where, cls in ((c, "complete"), (a, "after-unlock"), (w, "always"), (unless, "unless-open")):
    put(os.path.join(where, "file"))
    os.mkdir(os.path.join(where, "dir"))
    check(class_of(os.path.join(where, "file")) == cls == class_of(os.path.join(where, "dir")), f"{cls}: a new file and directory inherit")
put(v.path("root-file"))
check(class_of(v.path("root-file")) == "after-unlock", "and in the root")
os.rename(f"{a}/file", f"{a}/moved")
check(class_of(f"{a}/moved") == "after-unlock", "a rename changes no class")
put(f"{a}/raised")
v.must("protect", "--class", "complete", f"{a}/raised")
check(class_of(f"{a}/raised") == "complete" and get(f"{a}/raised") == BLOCK, "a file of its own class in a directory of another")
put(f"{c}/lowered")
os.setxattr(f"{c}/lowered", CLASS, b"after-unlock")
check(class_of(f"{c}/lowered") == "after-unlock" and get(f"{c}/lowered") == BLOCK, "lowered by the attribute, content as it was")
refuses(os.setxattr, f"{a}/moved", CLASS, b"nonsense", what="no such class", wants=("EINVAL",))
for n in range(4):
    put(f"{c}/{n}", BLOCK * 8)
reader, writer = os.open(f"{c}/0", os.O_RDONLY), os.open(f"{c}/1", os.O_RDWR)
shared, private = map_file(f"{c}/2"), map_file(f"{c}/3", private=True)
check(shared[0] == BLOCK[0] == private[0], "mapped")
# evidence of caches: pages and names that the kernel would answer by itself
os.pread(reader, 8 * PAGE, 0), os.listdir(c), os.stat(f"{c}/0")
unopened = os.open(f"{unless}/creating", os.O_RDWR | os.O_CREAT)

# --- phases: open, locking (grace), locked
check(v.status()["state"] == "unlocked", "open")
os.pwrite(writer, b"dirty at the lock", 0)
shared[PAGE:PAGE + 5] = b"dirty"
v.must("lock", v.vault)
began = time.monotonic()
now = v.status()
check(now["state"] == "locking" and 0 < now["grace_left_s"] <= 2, f"then locking: {now['state']}, {now['grace_left_s']} s left")
check(now["classes"]["complete"], "with the keys still there")
works(os.pread, reader, 10, 0, what="in the grace: a read")
works(os.pwrite, writer, b"in the grace", PAGE, what="in the grace: a write")
works(put, f"{c}/in-grace", what="in the grace: a create")
v.unlock("not the right one at all", want=3)
check(v.status()["state"] == "locking", "a wrong passcode does not end the grace")
v.must("lock", v.vault)
check(v.status()["grace_left_s"] <= 2, "nor does a second lock begin it again")
seen = []
while time.monotonic() < began + 8 and seen[-1:] != ["locked"]:
    seen.append(v.status()["state"])
    time.sleep(0.02)
took = time.monotonic() - began
check(seen[-1] == "locked" and set(seen) == {"locking", "locked"} and 1.5 < took < 7, f"then locked, after the grace and within 5 s more: {took:.1f} s, {set(seen)}")
check(not v.status()["classes"]["complete"] and v.status()["classes"]["after-unlock"] and v.status()["classes"]["always"], f"classes: {v.status()['classes']}")

# --- 1: complete, on what is already open
refuses(os.pread, reader, 10, 0, what="1: a read on an open descriptor")
refuses(os.pread, reader, PAGE, 7 * PAGE, what="1: a read of another page")
refuses(os.pwrite, writer, BLOCK, 2 * PAGE, what="1: a full-page write on an open descriptor")
refuses(os.pwrite, writer, b"x", 2 * PAGE + 7, what="1: a short write")
refuses(os.ftruncate, writer, 5, what="1: ftruncate")
refuses(os.pread, writer, PAGE, 2 * PAGE, what="1: the refused full-page write is not readable")
# open, O_TRUNC, create
refuses(opened, f"{c}/0", os.O_RDONLY, what="1: open")
refuses(opened, f"{c}/0", os.O_WRONLY | os.O_TRUNC, what="1: O_TRUNC")
refuses(opened, f"{c}/new", os.O_WRONLY | os.O_CREAT, what="1: create in such a directory")
refuses(os.mkdir, f"{c}/newdir", what="1: mkdir in such a directory")
refuses(opened, f"{a}/raised", os.O_RDONLY, what="1: a complete file in an after-unlock directory")
# names
refuses(os.listdir, c, what="1: the names of such a directory")
refuses(os.stat, f"{c}/0", what="1: a name that was cached")
refuses(os.stat, f"{c}/never", what="1: a name that there never was answers no different")
refuses(os.rename, f"{c}/0", f"{a}/taken", what="1: a rename out of it")
refuses(os.unlink, f"{c}/0", what="1: an unlink in it")
# classes from or to complete
refuses(os.setxattr, f"{a}/raised", CLASS, b"after-unlock", what="1: a change from complete")
refuses(os.setxattr, f"{a}/moved", CLASS, b"complete", what="1: a change to complete")
check(v.run("protect", "--class", "complete", f"{a}/moved").returncode == 6, "1: protect says locked (exit 6)")
# caches and mappings
check(fault_signal(shared) == signal.SIGBUS and fault_signal(private, PAGE) == signal.SIGBUS, "1: mappings fault")
check(resident(shared) == 0, f"1: no page of it is cached: {resident(shared)}")
works(os.stat, c, what="1: the directory itself can be seen: its name lies in the root")

# --- 2: unless-open
os.pwrite(unopened, b"written while locked", 0)
check(os.pread(unopened, 7, 0) == b"written", "2: the creating descriptor writes and reads")
check(v.status()["open_unless_open"] >= 1, "4: status counts it")
made = os.open(f"{unless}/made", os.O_RDWR | os.O_CREAT)
os.write(made, b"made while locked")
check(os.pread(made, 4, 0) == b"made", "2: create succeeds, its descriptor writes and reads")
os.close(made)
within(5, lambda: error_of(opened, f"{unless}/made", os.O_RDONLY) == "ENOKEY")
refuses(opened, f"{unless}/made", os.O_RDONLY, what="2: after its close it cannot be opened")
os.close(unopened)
within(5, lambda: v.status()["open_unless_open"] == 0)
check(v.status()["open_unless_open"] == 0, "4: and none is open then")
works(os.setxattr, f"{w}/file", CLASS, b"unless-open", what="2: always to unless-open is allowed")
# --- 3: the others go on
works(os.mkdir, f"{a}/newdir", what="3: mkdir in after-unlock")
works(os.rename, f"{a}/newdir", f"{a}/newer", what="3: rename")
works(os.rmdir, f"{a}/newer", what="3: rmdir")
works(put, f"{a}/new", what="3: create")
works(os.unlink, f"{a}/new", what="3: unlink")
check(get(f"{a}/moved") == BLOCK and get(f"{c}/lowered" if not error_of(os.stat, f"{c}/lowered") else f"{a}/moved") == BLOCK, "3: reads of after-unlock")
works(put, f"{w}/new", what="3: always")
# --- 4: only a real unlock leads back
v.unlock("not the right one at all", want=3)
check(v.status()["state"] == "locked" and error_of(os.pread, reader, 10, 0) == "ENOKEY", "4: a wrong passcode changes nothing")
v.unlock()
check(v.status()["state"] == "unlocked", "4: a real one does")
check(os.pread(writer, 17, 0) == b"dirty at the lock" and os.pread(writer, 12, PAGE) == b"in the grace", "1: what was written before was written back first")
check(shared[PAGE:PAGE + 5] == b"dirty", "1: a mapping's dirty page too")
check(os.pread(writer, PAGE, 2 * PAGE) == BLOCK, "1: nothing of what was refused is there")
check(sorted(os.listdir(c)) == ["0", "1", "2", "3", "dir", "file", "in-grace", "lowered"], f"1: names as they were: {os.listdir(c)}")
check(get(f"{unless}/made") == b"made while locked" and get(f"{unless}/creating") == b"written while locked", "2: what came while locked is there after the unlock")

# an unlock in the grace cancels it
v.must("lock", v.vault)
check(v.status()["state"] == "locking", "4: locking again")
v.unlock()
time.sleep(2.3)
check(v.status()["state"] == "unlocked" and os.pread(reader, 4, 0) == BLOCK[:4], "4: an unlock in the grace cancels it")
v.lock()
check(v.status()["state"] == "locked" and error_of(os.pread, reader, 4, 0) == "ENOKEY", "4: --now has no grace")
v.unlock()
for fd in (reader, writer):
    os.close(fd)
shared.close()
private.close()
v.must("check", v.vault)
v.close()

# --- 5: before the first unlock
v.must("open", v.vault, v.mnt, "--locked")
check(v.status()["state"] == "before-first-unlock", "5: before the first unlock")
check([n for n, there in v.status()["classes"].items() if there] == ["always"], f"5: only always is there: {v.status()['classes']}")
check(os.listdir(v.mnt) == ["always"], f"5: names of everything else are hidden: {os.listdir(v.mnt)}")
check(get(f"{w}/new") == BLOCK, "5: always is readable")
for name in ("after", "complete", "root-file", "never-there"):
    refuses(os.stat, v.path(name), what=f"5: {name}", wants=("ENOKEY", "ENOENT"))
refuses(put, v.path("new"), what="5: create in the root")
v.unlock()
check(get(f"{a}/moved") == BLOCK and get(f"{c}/1")[:17] == b"dirty at the lock", "5: and all is there after it")

# --- 6: what triggers a lock has tests of its own (triggers.py, death.py); here the vault's close
fd = os.open(f"{c}/0", os.O_RDONLY)
v.close("--force")
check(error_of(os.pread, fd, 4, 0) not in ("",) and within(10, lambda: not v.running()), "6: a close takes everything")
os.close(fd)
v.clean()

# --- the personal profile: the folders and classes that the manual names, each with its reason

page = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "man", "holdfast.1")).read().replace("\\-", "-")
named = {name: (cls, why) for name, cls, why in re.findall(r"^\.TP\n(\w+) \(([a-z-]+)\)\n(.+)$", page[page.index(".SH THE PERSONAL PROFILE"):page.index(".SH OPTIONS")], re.M)}
p = Vault(BUILD, create=("--profile", "personal"))
p.open()
found = {name: class_of(p.path(name)) for name in os.listdir(p.mnt)}
check(set(found) == {"Conversations", "Photos", "Music", "Notes", "Calendars", "Contacts", "Finance", "Health", "Location"}, f"the personal profile's folders: {sorted(found)}")
check(found == {name: cls for name, (cls, _) in named.items()}, f"their classes are the manual's: {found} {named}")
for name, cls in found.items():
    put(p.path(name, "thing"))
p.lock()
for name, cls in found.items():
    if cls == "complete":
        refuses(get, p.path(name, "thing"), what=f"{name} while locked")
    elif cls == "after-unlock":
        check(get(p.path(name, "thing")) == BLOCK, f"{name} goes on while locked")
p.unlock()
os.rmdir(p.path("Music")) if not error_of(os.unlink, p.path("Music", "thing")) else None
p.close()
p.open()
check("Music" not in os.listdir(p.mnt), "a folder that its owner removed is not made again")
p.clean()
finish()
