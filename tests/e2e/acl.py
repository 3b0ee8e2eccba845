#!/usr/bin/env python3
"""Access control lists and attributes of symlinks, FIFOs and devices through closes, kills, other mounts and damage on the disk. acl.py BUILD

Proves [PA-2] [PA-3] [PA-4] [PA-6] [NM-9] [NM-10] as far as one mount shows them; tests/posix/acltables.py compares answers with ext4's."""
import errno, os, struct, sys

from vaultkit import Vault, answer, check, finish, kill, skip, write

ROOT = os.geteuid() == 0
ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
BOB = 61002


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", e[0], e[1], e[2] if len(e) > 2 else 0xffffffff) for e in entries)


GOOD, WIDE = acl((1, 7), (2, 5, BOB), (4, 5), (16, 5), (32, 0)), acl((1, 7), (2, 7, BOB), (4, 7), (16, 7), (32, 7))


def as_bob(function):
    """In a child: this process's own identity stays."""
    pid = os.fork()
    if pid == 0:
        os.setgroups([])
        os.setgid(BOB)
        os.setuid(BOB)
        try:
            function()
            os._exit(0)
        except OSError as e:
            os._exit(e.errno)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return errno.errorcode[code] if code else "ok"


def on_disk(vault, top):
    """Plain name to the path on disk, by the inode's number."""
    by_ino = {}
    for folder, dirs, files in os.walk(vault.path):
        for n in dirs + files:
            by_ino[os.lstat(os.path.join(folder, n)).st_ino] = os.path.join(folder, n)
    return {n: by_ino[os.lstat(f"{top}/{n}").st_ino] for n in os.listdir(top)}


def ours(path):
    return sorted(x for x in os.listxattr(path, follow_symlinks=False) if x.startswith(("user.hf.", "trusted.hf")))


def others_mounts(v):
    """Without --allow-other nobody is held back by lists, and they stay what they are."""
    m = v.mnt
    check(answer(os.getxattr, f"{m}/f", ACCESS) == "ENOTSUP" and answer(os.setxattr, f"{m}/f", ACCESS, GOOD) == "ENOTSUP", "a mount for one has no lists")
    check(os.listxattr(f"{m}/f") == ["user.x"], f"and names none: {os.listxattr(f'{m}/f')}")
    os.chmod(f"{m}/f", 0o770)
    old = os.umask(0o077)
    write(f"{m}/d/made", b"text")
    os.mkdir(f"{m}/d/deeper")
    os.umask(old)
    check(os.stat(f"{m}/d/made").st_mode & 0o777 == 0o660, f"what is made there follows the default list, not the umask: {oct(os.stat(f'{m}/d/made').st_mode)}")


def lists():
    v = Vault(sys.argv[1])
    v.open("--allow-other")
    for folder in (v.work, v.mnt):
        os.chmod(folder, 0o755)
    m = v.mnt
    write(f"{m}/f", b"text")
    os.setxattr(f"{m}/f", "user.x", b"1")
    os.setxattr(f"{m}/f", ACCESS, GOOD)
    os.mkdir(f"{m}/d")
    os.setxattr(f"{m}/d", ACCESS, WIDE)
    os.setxattr(f"{m}/d", DEFAULT, acl((1, 7), (2, 7, BOB), (4, 5), (16, 7), (32, 0)))
    os.mkfifo(f"{m}/d/fifo")
    os.symlink("to", f"{m}/link")
    os.setxattr(f"{m}/link", "trusted.t", b"link", follow_symlinks=False)
    check(as_bob(lambda: open(f"{m}/f", "rb").read()) == "ok" and as_bob(lambda: open(f"{m}/f", "ab")) == "EACCES", "whom a list names may what it says")
    os.chmod(f"{m}/f", 0o700)
    check(as_bob(lambda: open(f"{m}/f", "rb")) == "EACCES", "chmod narrows it at once")
    v.close()
    v.open()
    others_mounts(v)
    v.close()
    v.open("--allow-other")
    check(os.getxattr(f"{m}/f", ACCESS) == acl((1, 7), (2, 5, BOB), (4, 5), (16, 7), (32, 0)), "after two more mounts and a chmod: its names, and the mode's bits")
    check(as_bob(lambda: open(f"{m}/f", "rb")) == "ok", "and it counts again")
    for name, want in (("d/made", (ACCESS,)), ("d/deeper", (ACCESS, DEFAULT)), ("d/fifo", (ACCESS,))):
        check(tuple(sorted(os.listxattr(f"{m}/{name}"))) == want, f"{name}: {os.listxattr(f'{m}/{name}')}")
    check(as_bob(lambda: write(f"{m}/d/made", b"text")) == "ok" and as_bob(lambda: write(f"{m}/d/deeper/x", b"text")) == "ok", "inherited lists count")
    check(answer(os.getxattr, f"{m}/link", "trusted.t", follow_symlinks=False) == b"link", "a symlink's attribute is still there")
    classes(v)
    killed(v)
    damaged(v)


def classes(v):
    """A change of class, of a file and of a directory, keeps all attributes."""
    m = v.mnt
    os.mkdir(f"{m}/c")
    write(f"{m}/c/in", b"text")
    for path, names in ((f"{m}/c/in", (ACCESS,)), (f"{m}/c", (ACCESS, DEFAULT))):
        os.setxattr(path, "user.x", b"x")
        for name in names:
            os.setxattr(path, name, GOOD)
    for class_ in ("complete", "always", "after-unlock"):
        v.run("protect", "--class", class_, f"{m}/c", passcode=False)
        got = [answer(os.getxattr, f"{m}/{n}", x) for n, x in (("c/in", "user.x"), ("c/in", ACCESS), ("c", "user.x"), ("c", ACCESS), ("c", DEFAULT), ("c", "user.holdfast.class"))]
        check(got == [b"x", GOOD, b"x", GOOD, GOOD, class_.encode()], f"class {class_}: {got}")
    os.mkdir(f"{m}/empty")
    os.setxattr(f"{m}/empty", "user.x", b"x")
    os.setxattr(f"{m}/empty", DEFAULT, GOOD)
    os.setxattr(f"{m}/empty", "user.holdfast.class", b"complete")
    check((os.getxattr(f"{m}/empty", "user.x"), os.getxattr(f"{m}/empty", DEFAULT)) == (b"x", GOOD), "an empty directory's class changes under its attributes")


def killed(v):
    """Everything dies with changes that no settle has seen."""
    m = v.mnt
    os.sync()
    for i in range(20):
        os.mkdir(f"{m}/k{i}")
        os.setxattr(f"{m}/k{i}", DEFAULT, WIDE)
        write(f"{m}/k{i}/in", b"text")
        if i % 2:
            os.setxattr(f"{m}/k{i}/in", ACCESS, GOOD)
            os.removexattr(f"{m}/k{i}", DEFAULT)
    kill(v)
    v.open("--allow-other")
    for i in range(20):
        got = answer(os.getxattr, f"{m}/k{i}", DEFAULT), answer(os.getxattr, f"{m}/k{i}/in", ACCESS)
        check(got == (("ENODATA", GOOD) if i % 2 else (WIDE, acl((1, 6), (2, 7, BOB), (4, 7), (16, 6), (32, 6)))), f"after a kill: k{i} {got}")
    found = v.check(want=None)
    check(found.returncode == 0, f"check after the kill: {found.stdout[:300]}")


def damaged(v):
    top = f"{v.mnt}/spoil"
    os.mkdir(top)
    names = [k + what for k in ("f", "d") for what in ("gone", "other", "older", "bit", "mask", "added", "keep")]
    for n in names:
        os.mkdir(f"{top}/{n}") if n[0] == "d" else write(f"{top}/{n}", b"text")
        os.chmod(f"{top}/{n}", 0o750)
        if not n.endswith("added"):
            os.setxattr(f"{top}/{n}", ACCESS, GOOD)
    os.setxattr(f"{top}/fother", ACCESS, acl((1, 7), (2, 1, BOB), (4, 5), (16, 5), (32, 0)))
    disk = on_disk(v, top)
    v.close()
    older = {n: {x: os.getxattr(disk[n], x) for x in ours(disk[n])} for n in ("folder", "dolder")}
    records = os.readlink(disk["dolder"] + "/.hf")
    v.open("--allow-other")
    for n in older:
        os.setxattr(f"{top}/{n}", ACCESS, acl((1, 7), (2, 0, BOB), (4, 5), (16, 5), (32, 0)))
    v.close()
    for n in names:
        mine = ours(disk[n])
        if n.endswith("gone"):
            os.removexattr(disk[n], mine[0])
        elif n.endswith("other"):
            os.setxattr(disk[n], mine[0], os.getxattr(disk[n[0] + "keep"], ours(disk[n[0] + "keep"])[0]))
        elif n.endswith("older"):
            for x, value in older[n].items():
                os.setxattr(disk[n], x, value)
        elif n.endswith("bit"):
            value = bytearray(os.getxattr(disk[n], mine[0]))
            value[-1] ^= 1
            os.setxattr(disk[n], mine[0], bytes(value))
        elif n.endswith("mask"):
            os.chmod(disk[n], 0o770)
        elif n.endswith("added"):
            os.setxattr(disk[n], ours(disk[n[0] + "keep"])[0], os.getxattr(disk[n[0] + "keep"], ours(disk[n[0] + "keep"])[0]))
    v.open("--allow-other")
    for n in names:
        path, kept = f"{top}/{n}", n.endswith("keep")
        got = answer(os.getxattr, path, ACCESS)
        check(got == (GOOD if kept else "EIO"), f"{n}: a list that is not as it was is an error: {got}")
        use = as_bob(lambda p=path: os.listdir(p) if os.path.isdir(p) else open(p, "rb").read())
        check(use == ("ok" if kept else "EIO"), f"{n}: and lets nobody in by it: {use}")
    found = v.check(want=None)
    check(found.returncode == 7 and all(f"/spoil/{n}" in found.stdout for n in names if not n.endswith("keep")) and "keep" not in found.stdout, f"check names each: {found.stdout[:1500]}")
    v.close()
    os.unlink(disk["dolder"] + "/.hf")
    os.symlink(records, disk["dolder"] + "/.hf")
    v.open("--allow-other")
    check(answer(os.listdir, f"{top}/dolder") == "EIO", "a directory's older list with its older record")
    v.close()


def plain_user():
    v = Vault(sys.argv[1])
    v.open()
    write(f"{v.mnt}/f", b"text")
    check(answer(os.getxattr, f"{v.mnt}/f", ACCESS) == "ENOTSUP" and answer(os.setxattr, f"{v.mnt}/f", ACCESS, GOOD) == "ENOTSUP", "a plain user's own mount has no lists")
    old = os.umask(0o027)
    write(f"{v.mnt}/g", b"text")
    os.mkdir(f"{v.mnt}/d")
    os.mkfifo(f"{v.mnt}/p")
    os.umask(old)
    modes = [os.stat(f"{v.mnt}/{n}").st_mode & 0o777 for n in "gdp"]
    check(modes == [0o640, 0o750, 0o640], f"the umask counts: {[oct(x) for x in modes]}")
    os.setxattr(f"{v.mnt}/d", "user.x", b"1")
    kill(v)
    v.open()
    check(os.getxattr(f"{v.mnt}/d", "user.x") == b"1", "a directory's attribute after a kill")
    v.close()


plain_user()
if ROOT:
    lists()
else:
    skip("lists between users, trusted attributes: only root can become the other users and may set trusted ones; a user's mount for others needs user_allow_other in fuse.conf")
finish()
