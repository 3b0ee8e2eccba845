#!/usr/bin/env python3
"""Files with several names get another class or key: all names lead to it. hardlinks.py BUILD

Proves [CR-17] and, with it, [FC-9] on a real mount; tests/fault has the stops between two names (workload `names`)."""
import os, random, sys

from vaultkit import Vault, answer, cat, check, finish, write

CLASS = "user.holdfast.class"
rng = random.Random(17)


def classes(path, value):
    return answer(os.setxattr, path, CLASS, value.encode())


def together(paths, data, what, want=None):
    """One file, whole, of one class, under all names."""
    seen = [(os.stat(p).st_ino, os.stat(p).st_nlink, answer(cat, p) == data, answer(os.getxattr, p, CLASS)) for p in paths]
    good = len(set(seen)) == 1 and seen[0][1] == len(paths) and seen[0][2] and (want is None or seen[0][3] == want.encode())
    return check(good, f"{what}: {sorted(set(seen), key=str)[:4]}")


def on_disk(v, inode):
    return [os.path.join(d, n) for d, _, names in os.walk(v.path) for n in names if os.lstat(os.path.join(d, n)).st_ino == inode]


def generations(v):
    """Of each file's header: class and generation of the key that wraps its own."""
    out = {}
    for d, dirs, names in os.walk(v.path):
        dirs[:] = [n for n in dirs if n != ".holdfast"]
        for n in names:
            p = os.path.join(d, n)
            if not os.path.islink(p) and os.path.isfile(p):
                with open(p, "rb") as f:
                    head = f.read(36)
                out[os.lstat(p).st_ino] = (head[11], int.from_bytes(head[32:36], "little"))
    return out


def make(m, name, count, data):
    """count names, some in the root, some deeper."""
    paths = [f"{m}/{name}"]
    write(paths[0], data)
    for i in range(1, count):
        folder = (m, f"{m}/{name}-d", f"{m}/{name}-d/deep/er", f"{m}/{name}-e")[i % 4]
        os.makedirs(folder, exist_ok=True)
        paths.append(f"{folder}/{'long' * 50 if i == 3 else name}-{i}")
        os.link(paths[0], paths[-1])
    return paths


def every_class(v, count):
    m, data = v.mnt, rng.randbytes(20000)
    paths = make(m, f"f{count}", count, data)
    os.setxattr(paths[0], "user.x", b"kept")
    os.chmod(paths[0], 0o640)
    held = os.open(paths[1], os.O_RDWR)
    for class_ in ("complete", "after-unlock", "always", "unless-open", "complete", "always"):
        before = os.stat(paths[0]).st_mtime_ns
        folders = {os.path.dirname(p) for p in paths}
        for folder in folders:
            os.utime(folder, ns=(0, 10 ** 18 + count))
        at = rng.choice(paths)
        check(classes(at, class_) is None, f"{count} names: class {class_}")
        check({os.stat(f).st_mtime_ns for f in folders} == {10 ** 18 + count}, f"{count} names, {class_}: no folder was changed by a program")
        together(paths, data, f"{count} names, {class_}", class_)
        check(os.getxattr(paths[-1], "user.x") == b"kept" and os.stat(paths[-1]).st_mode & 0o777 == 0o640 and os.stat(at).st_mtime_ns == before, f"{count} names, {class_}: attributes stay")
        data = data[:50] + class_.encode() + data[50 + len(class_):]
        os.pwrite(held, class_.encode(), 50)
        together(paths, data, f"{count} names, {class_}, written by who had it open", class_)
    os.close(held)
    v.reopen()
    together(paths, data, f"{count} names after a close", "always")
    for path in paths[:-1]:
        os.unlink(path)
    check(classes(paths[-1], "complete") is None, "one name is left of them, and its class changes")
    v.reopen()
    together(paths[-1:], data, "the one that is left", "complete")


def known_name_gone(v):
    m = v.mnt
    for class_ in ("complete", "always"):
        write(f"{m}/a", b"text" * 3000)
        os.makedirs(f"{m}/k", exist_ok=True)
        os.link(f"{m}/a", f"{m}/k/b")
        fd = os.open(f"{m}/a", os.O_RDONLY)
        os.unlink(f"{m}/a")
        check(classes(fd, class_) is None, f"by a descriptor whose name is gone: {class_}")
        together([f"{m}/k/b"], b"text" * 3000, f"the other name: {class_}", class_)
        check(os.pread(fd, 4, 0) == b"text", "the descriptor goes on")
        os.unlink(f"{m}/k/b")
        check(classes(fd, "complete") in ("ENOENT", "EMLINK", "EIO", None), "without any name at all there is no harm")
        os.close(fd)


def refused(v):
    m = v.mnt
    write(f"{m}/stranger", b"mine" * 2000)
    os.link(f"{m}/stranger", f"{m}/stranger2")
    os.mkdir(f"{m}/locked")
    classes(f"{m}/locked", "complete")
    write(f"{m}/two", b"two" * 2000)
    os.link(f"{m}/two", f"{m}/locked/two")
    inode = os.stat(f"{m}/stranger").st_ino
    v.close()
    os.link(on_disk(v, inode)[0], os.path.join(v.path, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
    v.open()
    for class_ in ("complete", "always"):
        check(classes(f"{m}/stranger", class_) == "EIO", f"a name that nobody gave is given nothing: {class_}")
    check(cat(f"{m}/stranger2") == b"mine" * 2000, "and the file stays as it is")
    v.run("lock", v.path, "--now", passcode=False)
    check(classes(f"{m}/two", "always") == "ENOKEY", "a name in a locked directory: not now")
    v.run("unlock", v.path, "--passcode-fd", "0")
    check(classes(f"{m}/two", "always") is None and cat(f"{m}/locked/two") == b"two" * 2000, "later it is")
    v.close()
    os.unlink(os.path.join(v.path, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
    v.open()


def rotated(v):
    m = v.mnt
    for d in ("r1", "r2"):
        os.mkdir(f"{m}/{d}")
    for i in range(60):
        write(f"{m}/r1/{i}", b"%d" % i * 300)
        os.link(f"{m}/r1/{i}", f"{m}/r2/{i}")
    many = make(m, "many", 20, b"many" * 1000)
    v.close()
    before = generations(v)
    v.open()
    v.run("rotate", v.path, passcode=False)
    for i in range(60):
        together([f"{m}/r1/{i}", f"{m}/r2/{i}"], b"%d" % i * 300, f"rotated {i}")
    together(many, b"many" * 1000, "rotated, 20 names")
    v.close()
    after = generations(v)
    left = [i for i in before if i in after and after[i][1] <= before[i][1]]
    check(before and not left, f"rotate leaves no file under an old key: {len(left)} of {len(before)}")
    v.open()


v = Vault(sys.argv[1])
v.open()
every_class(v, 3)
every_class(v, 14)
known_name_gone(v)
refused(v)
rotated(v)
found = v.check(want=None)
check(found.returncode == 0, f"check: {found.stdout[:600]}")
v.close()
finish()
