#!/usr/bin/env python3
"""Freshness on a real mount: what was authentic once and comes back, goes away or appears behind the vault's back is an error for that object alone, with its name,
the versions and a cause in `check`; stops without a close, restored backups and copies are told apart and call nothing stale that is not. freshness.py BUILD

Proves [FR-1] [FR-2] [FR-3] [FR-6] [FR-7] [FR-8] [FR-9] [FR-10]; [FR-4] [FR-5] beside tests/unit/test_index.c."""
import errno, json, os, shutil, signal, stat, sys, time

from vaultkit import Vault, check, finish

BUILD = sys.argv[1]


def answer(function, *args):
    try:
        return function(*args)
    except OSError as e:
        return errno.errorcode[e.errno]


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def cat(path):
    with open(path, "rb") as f:
        return f.read()


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


attacks()
finish()
