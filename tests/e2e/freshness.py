#!/usr/bin/env python3
"""Freshness on a real mount: what was authentic once and comes back, goes away or appears behind the vault's back is an error for that object alone, with its name,
the versions and a cause in `check`; stops without a close, restored backups and copies are told apart and call nothing stale that is not. freshness.py BUILD

Proves [FR-1] [FR-2] [FR-3] [FR-6] [FR-7] [FR-8] [FR-9] [FR-10]; [FR-4] [FR-5] beside tests/unit/test_index.c."""
import json, os, shutil, stat, sys

from vaultkit import Vault, answer, cat, check, finish, kill, write

BUILD = sys.argv[1]


def disk_names(vault):
    """Plain path below the mount -> path on disk, by the inode's number, which the mount shows as it is."""
    by_ino, names = {}, {}
    for folder, dirs, files in os.walk(vault.path):
        if ".holdfast" in dirs:
            dirs.remove(".holdfast")
        for n in dirs + files:
            p = os.path.join(folder, n)
            by_ino.setdefault(os.lstat(p).st_ino, []).append(p)
    for folder, dirs, files in os.walk(vault.mnt):
        for n in dirs + files:
            p = os.path.join(folder, n)
            found = by_ino[os.lstat(p).st_ino]
            names[os.path.relpath(p, vault.mnt)] = found.pop() if len(found) > 1 else found[0]
    return names


def copy(source, target):
    """As it is: attributes, times, links."""
    if os.path.islink(target) or os.path.isfile(target):
        os.unlink(target)
    elif os.path.isdir(target):
        shutil.rmtree(target)
    if os.system(f"cp -a '{source}' '{target}'") != 0:
        raise RuntimeError("cp")


def findings(vault, want=7):
    r = vault.check(want=want)
    lines = [json.loads(line) for line in r.stdout.splitlines() if line.startswith("{")]
    found = {}
    for line in lines:
        for f in line.get("findings", [line] if "path" in line else []):
            found[f["path"].lstrip("/")] = f.get("what", "")
    return found


def attacks():
    v = Vault(BUILD)
    v.open()
    m = v.mnt
    for name in ("put-back", "named", "gone", "once", "away", "twice", "fine", "swapped-a", "swapped-b", "other"):
        write(f"{m}/{name}", f"first {name}".encode() * 300)
    os.link(f"{m}/twice", f"{m}/twice-2")
    os.mkdir(f"{m}/dir")
    for i in range(5):
        write(f"{m}/dir/f{i}", b"one")
    os.mkdir(f"{m}/dir-back")
    write(f"{m}/dir-back/f", b"one")
    os.mkdir(f"{m}/dir-moved")
    os.mkdir(f"{m}/dir-gone")
    write(f"{m}/dir-gone/f", b"one")
    os.symlink("first", f"{m}/link")
    os.symlink("was", f"{m}/link-gone")
    os.symlink("x" * 3500, f"{m}/long-link")
    os.mkfifo(f"{m}/pipe")
    os.mkfifo(f"{m}/pipe-gone")
    v.reopen()
    first = disk_names(v)
    v.close()
    kept = v.work + "/kept"
    os.system(f"cp -a '{v.path}' '{kept}'")
    was = {name: path.replace(v.path, kept, 1) for name, path in first.items()}

    v.open()
    write(f"{m}/put-back", b"second")
    write(f"{m}/twice", b"second")
    os.rename(f"{m}/named", f"{m}/renamed")
    os.unlink(f"{m}/gone")
    os.unlink(f"{m}/once")
    write(f"{m}/once", b"another file, the same name")
    os.unlink(f"{m}/link")
    os.symlink("second", f"{m}/link")
    os.unlink(f"{m}/link-gone")
    os.unlink(f"{m}/long-link")
    os.symlink("y" * 3500, f"{m}/long-link")
    os.unlink(f"{m}/pipe-gone")
    write(f"{m}/dir/f0", b"two")
    os.unlink(f"{m}/dir/f1")
    write(f"{m}/dir/new", b"two")
    os.chmod(f"{m}/dir-back", 0o700)
    os.rename(f"{m}/dir-moved", f"{m}/dir-there")
    shutil.rmtree(f"{m}/dir-gone")
    v.reopen()
    check(findings(v, 0) == {}, "a vault that nobody touched is clean")
    second = disk_names(v)
    v.close()
    clean = v.work + "/clean"
    os.system(f"cp -a '{v.path}' '{clean}'")

    def attack(what, spoil, look, named, must=""):
        spoil()
        v.open()
        got = look()
        for name, is_right in got.items():
            check(is_right, f"{what}: {name}: {is_right!r}")
        check(cat(f"{m}/fine") == b"first fine" * 300, f"{what}: the others stay readable")
        write(f"{m}/fine", b"first fine" * 300)
        found = findings(v)
        check(set(found) == set(named), f"{what}: check names it: {found}")
        check(all(must in text for text in found.values()), f"{what}: with its cause: {found}")
        v.close()
        os.system(f"rm -rf '{v.path}'; cp -a '{clean}' '{v.path}'")

    def eio(name, function=cat):
        return answer(function, f"{m}/{name}") == "EIO"

    attack("a file put back", lambda: copy(was["put-back"], second["put-back"]), lambda: {"read": eio("put-back"), "write": answer(write, f"{m}/put-back", b"x") == "EIO",
           "chmod": answer(os.chmod, f"{m}/put-back", 0o600) == "EIO"}, ["put-back"], "expected")
    attack("a file with two names put back", lambda: (copy(was["twice"], second["twice"]), os.unlink(second["twice-2"]), os.link(second["twice"], second["twice-2"])),
           lambda: {"read": eio("twice"), "read 2": eio("twice-2")}, ["twice", "twice-2"], "expected")
    attack("the header of one version, the content of another", lambda: splice(was["put-back"], second["put-back"]), lambda: {"read": eio("put-back")}, ["put-back"])
    attack("a name restored beside its new one", lambda: copy(was["named"], first["named"]), lambda: {"read": eio("named"), "stat": eio("named", os.stat), "the new one": cat(f"{m}/renamed") != b""},
           ["named"], "does not have")
    attack("a name restored in place of its new one", lambda: (os.unlink(second["renamed"]), copy(was["named"], first["named"])),
           lambda: {"read": eio("named"), "the new one": eio("renamed"), "listing": eio("", os.listdir)}, ["named", ""], "")
    attack("a file resurrected", lambda: copy(was["gone"], first["gone"]), lambda: {"read": eio("gone"), "stat": eio("gone", os.stat), "listed": "gone" in os.listdir(m)}, ["gone"], "does not have")
    attack("a file in the place of its successor", lambda: copy(was["once"], second["once"]), lambda: {"read": eio("once")}, ["once"], "another file")
    attack("a file removed", lambda: os.unlink(second["away"]), lambda: {"stat": eio("away", os.stat), "listing": eio("", os.listdir)}, [""], "1 of its")
    attack("a symlink put back", lambda: copy(was["link"], second["link"]), lambda: {"readlink": eio("link", os.readlink)}, ["link"], "another link")
    attack("a symlink resurrected", lambda: copy(was["link-gone"], first["link-gone"]), lambda: {"readlink": eio("link-gone", os.readlink)}, ["link-gone"], "does not have")
    attack("a symlink removed", lambda: os.unlink(second["link"]), lambda: {"readlink": eio("link", os.readlink)}, [""], "missing")
    attack("a long symlink put back", lambda: copy(was["long-link"], second["long-link"]), lambda: {"readlink": eio("long-link", os.readlink)}, ["long-link"])
    attack("a FIFO resurrected", lambda: copy(was["pipe-gone"], first["pipe-gone"]), lambda: {"stat": eio("pipe-gone", os.stat)}, ["pipe-gone"])
    attack("a FIFO made a socket", lambda: (os.unlink(second["pipe"]), os.mknod(second["pipe"], stat.S_IFSOCK | 0o644)), lambda: {"stat": eio("pipe", os.stat)}, ["pipe"])
    attack("a directory put back, with what is in it", lambda: copy(was["dir"], second["dir"]),
           lambda: {"f0": eio("dir/f0"), "f1": eio("dir/f1"), "f2": cat(f"{m}/dir/f2") == b"one", "new": eio("dir/new"), "listing": eio("dir", os.listdir)},
           ["dir", "dir/f0", "dir/f1"])
    attack("a directory's older record", lambda: copy(was["dir-back"], second["dir-back"]), lambda: {"listing": eio("dir-back", os.listdir), "f": eio("dir-back/f")}, ["dir-back"], "expected")
    attack("a directory back at its old place", lambda: (shutil.rmtree(second["dir-there"]), copy(was["dir-moved"], first["dir-moved"])),
           lambda: {"there": eio("dir-there", os.stat), "listing": eio("dir-moved", os.listdir)}, ["dir-moved", ""])
    attack("a directory resurrected", lambda: copy(was["dir-gone"], first["dir-gone"]), lambda: {"stat": eio("dir-gone", os.stat)}, ["dir-gone"], "does not have")
    attack("names exchanged with themselves of old", lambda: (copy(was["swapped-a"], second["swapped-b"]),), lambda: {"read": eio("swapped-b")}, ["swapped-b"])
    return v


def splice(old, new):
    """The first sector of the new file, the rest of the old one."""
    with open(old, "rb") as f:
        rest = f.read()
    with open(new, "r+b") as f:
        head = f.read(512)
        f.truncate(0)
        f.seek(0)
        f.write(head + rest[512:])


def status(v):
    return json.loads(v.run("status", v.path, "--json", passcode=False).stdout)["freshness"]


def accept(v, *words, want=0):
    return v.run("accept", v.path, *words, "--passcode-fd", "0", want=want)


def stops():
    """[FR-8]: a stop without a close, many kinds of change in its window, several times over; and what is put back then is noticed all the same."""
    v = Vault(BUILD)
    v.open()
    m = v.mnt
    for n in ("old", "renamed", "linked", "unlinked", "mode", "grows", "over", "over-target", "two", "swap-a", "swap-b"):
        write(f"{m}/{n}", n.encode() * 100)
    os.link(f"{m}/two", f"{m}/two-2")
    for n in ("d", "d-renamed", "d-removed"):
        os.mkdir(f"{m}/{n}")
    os.symlink("t", f"{m}/l")
    os.symlink("t", f"{m}/l-gone")
    v.reopen()
    old = disk_names(v)["old"]
    v.close()
    copy(old, v.work + "/old-kept")
    v.open()
    write(f"{m}/old", b"new")
    v.reopen()
    for kind in range(3):
        os.rename(f"{m}/renamed", f"{m}/renamed-") or os.rename(f"{m}/renamed-", f"{m}/d/renamed{kind}")
        os.link(f"{m}/linked", f"{m}/linked{kind}")
        os.unlink(f"{m}/unlinked")
        os.chmod(f"{m}/mode", 0o600 + kind * 0o40)
        with open(f"{m}/grows", "ab") as f:
            f.write(b"x" * 9000)
            if kind == 1:
                os.fsync(f.fileno())
        write(f"{m}/over", b"over")
        os.rename(f"{m}/over", f"{m}/over-target")
        os.unlink(f"{m}/two")
        os.rename(f"{m}/two-2", f"{m}/two")
        os.link(f"{m}/two", f"{m}/two-2")
        os.mkdir(f"{m}/d/new{kind}")
        write(f"{m}/d/new{kind}/f", b"f")
        os.rename(f"{m}/d-renamed", f"{m}/d/new{kind}/dir")
        os.rmdir(f"{m}/d-removed")
        os.symlink("u", f"{m}/l{kind}")
        os.rename(f"{m}/l", f"{m}/l-moved") or os.rename(f"{m}/l-moved", f"{m}/l")
        os.unlink(f"{m}/l-gone")
        os.mkfifo(f"{m}/pipe{kind}")
        kill(v)
        v.open()
        found = findings(v, want=None)
        check(found == {}, f"stop {kind}: nothing is called stale: {found}")
        expected = {"grows": None, "over-target": b"over", "two": b"two" * 100, "two-2": b"two" * 100, "linked": b"linked" * 100, f"linked{kind}": b"linked" * 100,
                    f"d/new{kind}/f": b"f", f"d/renamed{kind}": b"renamed" * 100, "old": b"new"}
        for n, data in expected.items():
            got = answer(cat, f"{m}/{n}")
            check(isinstance(got, bytes) and (data is None or got == data), f"stop {kind}: {n}: {str(got)[:40]}")
        check(answer(os.stat, f"{m}/unlinked") == "ENOENT" and answer(os.stat, f"{m}/l-gone") == "ENOENT", f"stop {kind}: removed names are gone")
        if kind == 1: # settled by a close, then again
            v.reopen()
        write(f"{m}/renamed", b"renamed" * 100)
        write(f"{m}/unlinked", b"u")
        os.rename(f"{m}/d/new{kind}/dir", f"{m}/d-renamed")
        os.mkdir(f"{m}/d-removed")
        os.symlink("t", f"{m}/l-gone")
    kill(v)
    copy(v.work + "/old-kept", old)
    v.open()
    check(answer(cat, f"{m}/old") == "EIO", "a file put back after a stop, which was not being written, is noticed")
    check(set(findings(v)) == {"old"}, "and named alone")
    accept(v, f"{m}/old")
    check(cat(f"{m}/old") == b"old" * 100 and findings(v, 0) == {}, "accepted, it is as it is")
    v.close()


def backups():
    """[FR-7] [FR-9]: the index lost, damaged, older; the head older; all of it put back; a partial restore; a copy elsewhere."""
    v = Vault(BUILD)
    v.open()
    m, index = v.mnt, v.path + "/.holdfast/index"
    write(f"{m}/a", b"one")
    write(f"{m}/b", b"one")
    os.mkdir(f"{m}/d")
    write(f"{m}/d/c", b"one")
    v.close()
    os.system(f"cp -a '{v.path}' '{v.work}/first'")
    v.open()
    for _ in range(2): # several records
        write(f"{m}/a", b"two")
        v.reopen()
    os.unlink(f"{m}/d/c")
    v.close()
    os.system(f"cp -a '{v.path}' '{v.work}/second'")

    def restore(what="second", part=""):
        os.system(f"rm -rf '{v.path}{part}'; cp -a '{v.work}/{what}{part}' '{v.path}{part}'")

    def flip(path, at):
        with open(path, "r+b") as f:
            f.seek(at, 0 if at >= 0 else 2)
            byte = f.read(1)
            f.seek(at, 0 if at >= 0 else 2)
            f.write(bytes([byte[0] ^ 1]))

    size = os.path.getsize(index)
    for what, spoil, state in (("missing", lambda: os.unlink(index), "lost"), ("its header flipped", lambda: flip(index, 60), "lost"), ("a record flipped", lambda: flip(index, -5), "lost"),
                               ("emptied", lambda: os.truncate(index, 0), "lost"), ("cut in a record", lambda: os.truncate(index, size - 7), "lost"), ("a folder", lambda: (os.unlink(index), os.mkdir(index)), "lost"),
                               ("a link", lambda: (os.unlink(index), os.symlink("/etc/passwd", index)), "lost"), ("of always", lambda: copy(index + "-always", index), "lost"),
                               ("always' own missing", lambda: os.unlink(index + "-always"), "lost"),
                               ("put back", lambda: restore("first", "/.holdfast/index"), "older"), ("newer than the head", lambda: restore("first", "/.holdfast/head"), "older")):
        restore()
        spoil()
        v.open()
        check(status(v) == state, f"index {what}: {status(v)}, not {state}")
        check(cat(f"{m}/a") == b"two" and os.listdir(f"{m}/d") == [], f"index {what}: readable")
        for name, function in (("write", lambda: write(f"{m}/new", b"")), ("append", lambda: open(f"{m}/a", "ab")), ("truncate", lambda: os.truncate(f"{m}/a", 0)), ("unlink", lambda: os.unlink(f"{m}/a")),
                               ("mkdir", lambda: os.mkdir(f"{m}/e")), ("rename", lambda: os.rename(f"{m}/a", f"{m}/z")), ("chmod", lambda: os.chmod(f"{m}/a", 0o600)), ("xattr", lambda: os.setxattr(f"{m}/a", "user.x", b"")),
                               ("times", lambda: os.utime(f"{m}/a"))):
            check(answer(function) == "EROFS", f"index {what}: {name}: {answer(function)}")
        accept(v, f"{m}/a", want=7)
        accept(v, "--all")
        check(status(v) == "sound" and answer(write, f"{m}/new", b"new") is None, f"index {what}: accepted and writable")
        v.reopen()
        check(findings(v, 0) == {} and cat(f"{m}/new") == b"new" and status(v) == "sound", f"index {what}: and after a close")
        kill(v)
        v.open()
        check(findings(v, want=None) == {} and cat(f"{m}/a") == b"two", f"index {what}: and after a kill")
        v.close()

    restore()
    restore("first")
    v.open()
    check(status(v) == "sound" and cat(f"{m}/a") == b"one" and findings(v, 0) == {}, "a whole backup, its index with it, is of one time: nothing to say (without a counter in hardware)")
    v.close()
    restore()
    os.system(f"cp -a '{v.path}/.holdfast' '{v.work}/keys'")
    restore("first")
    os.system(f"rm -rf '{v.path}/.holdfast'; cp -a '{v.work}/keys' '{v.path}/.holdfast'")
    v.open()
    check(answer(cat, f"{m}/a") == "EIO" and cat(f"{m}/b") == b"one" and answer(cat, f"{m}/d/c") == "EIO", "files of a backup under the keys of today: what is older is refused, the rest is there")
    check(set(findings(v)) == {"a", "d/c"}, "and named")
    accept(v, f"{m}/a", f"{m}/d", f"{m}/nothing", want=7)
    check(cat(f"{m}/a") == b"one" and cat(f"{m}/d/c") == b"one" and findings(v, 0) == {}, "a file and a directory accepted")
    lines = v.run("accept", v.path, "--list", passcode=False).stdout.splitlines()
    check(len(lines) == 2 and lines[0].endswith("a") and lines[1].endswith("d"), f"both are written down: {lines}")
    wrong = v.passcode
    v.passcode = "not " + wrong
    accept(v, "--all", want=3)
    v.passcode = wrong
    accept(v, v.work + "/plain", want=2)
    accept(v, m, want=2)
    accept(v, want=2)
    v.run("lock", v.path, "--now", passcode=False)
    accept(v, f"{m}/a", want=6)
    v.run("unlock", v.path, "--passcode-fd", "0")
    v.close()
    os.unlink(disk_of(v, "b"))
    accepted = v.path + "/.holdfast/accepted"
    flip(accepted, -5)
    v.open()
    check(answer(os.stat, f"{m}/b") == "EIO", "a name removed")
    v.run("accept", v.path, "--list", passcode=False, want=7)
    check(".holdfast/accepted" in findings(v), "check names the record that was altered")
    accept(v, f"{m}/b")
    check(answer(os.stat, f"{m}/b") == "ENOENT" and answer(write, f"{m}/b", b"again") is None, "accepted as gone, and made again")
    lines = v.run("accept", v.path, "--list", passcode=False).stdout.splitlines()
    check(len(lines) == 2 and "altered" in lines[0], f"the record says that it was altered: {lines}")
    v.reopen()
    check(findings(v, 0) == {} and cat(f"{m}/b") == b"again", "and after a close")
    v.close()

    here = v.path
    os.system(f"cp -a '{v.path}' '{v.work}/copy'")
    v.path = v.work + "/copy"
    v.open()
    check(status(v) == "sound" and findings(v, 0) == {}, "a copy elsewhere is as fresh as the vault was")
    write(f"{m}/a", b"in the copy")
    v.reopen()
    newer = disk_names(v)["a"]
    v.close()
    copy(newer, newer.replace(v.path, here, 1))
    v.path = here
    v.open()
    check(answer(cat, f"{m}/a") == "EIO" and "another copy" in findings(v).get("a", ""), "a file out of a copy that went on is told as that")
    v.close()


def disk_of(v, name):
    v.open()
    path = disk_names(v)[name]
    v.close()
    return path


def without():
    """--no-freshness says itself what it is, and what comes after."""
    v = Vault(BUILD)
    v.open()
    m = v.mnt
    write(f"{m}/a", b"one")
    write(f"{m}/always", b"one")
    v.run("protect", "--class", "always", f"{m}/always", passcode=False)
    v.reopen()
    names = disk_names(v)
    v.close()
    for n in ("a", "always"):
        copy(names[n], f"{v.work}/{n}")
    v.open()
    write(f"{m}/a", b"two")
    write(f"{m}/always", b"two")
    v.reopen()
    names = disk_names(v)
    v.close()
    copy(names["always"], v.work + "/always-now")
    copy(v.work + "/always", names["always"])
    v.run("open", v.path, m, "--locked", passcode=False)
    check(answer(cat, f"{m}/always") == "EIO", "before the first unlock: a file of class always that was put back")
    v.run("unlock", v.path, "--passcode-fd", "0")
    check(answer(cat, f"{m}/always") == "EIO" and cat(f"{m}/a") == b"two", "and after it")
    v.close()
    copy(v.work + "/always-now", names["always"])
    v.run("open", v.path, m, "--locked", passcode=False)
    check(answer(cat, f"{m}/always") == b"two", "before the first unlock: a file of class always as it was left")
    write(f"{m}/always", b"three")
    v.close()
    v.open()
    check(findings(v, 0) == {} and cat(f"{m}/always") == b"three", "written before the first unlock")
    v.close()
    copy(v.work + "/a", names["a"])
    v.run("open", v.path, m, "--passcode-fd", "0", "--no-freshness")
    check(status(v) == "off" and cat(f"{m}/a") == b"one", "--no-freshness looks at nothing")
    write(f"{m}/a", b"four")
    v.reopen()
    check(status(v) == "untended" and cat(f"{m}/a") == b"four" and answer(write, f"{m}/a", b"") == "EROFS", "after it the vault is read-only")
    accept(v, "--all")
    v.reopen()
    check(status(v) == "sound" and findings(v, 0) == {} and cat(f"{m}/a") == b"four", "until everything is accepted")
    v.close()


attacks()
stops()
backups()
without()
finish()
