"""Tables about POSIX access control lists: what is taken, what it does to the mode, what new objects inherit, who may."""
from posixkit import *

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
TAGS = {"u": 1, "U": 2, "g": 4, "G": 8, "m": 16, "o": 32}


def acl(text):
    """`u:rw- U61003:r-- g:r-- m:rw- o:---` as the kernel's bytes."""
    out = struct.pack("<I", 2)
    for part in text.split():
        who, bits = part.split(":")
        out += struct.pack("<HHI", TAGS[who[0]], sum(v for c, v in zip(bits, (4, 2, 1)) if c != "-"), int(who[1:]) if who[1:] else 0xFFFFFFFF)
    return out


LISTS = {
    "minimal": "u:rw- g:r-- o:r--", "tight": "u:rwx g:--- o:---", "user": "u:rw- U61003:rw- g:r-- m:rw- o:---", "masked": "u:rwx U61002:rwx U61003:rwx g:rwx m:r-- o:--x",
    "group": "u:rw- g:--- G61001:r-- G61003:rw- m:rwx o:r--", "both": "u:rwx U61002:--- U61003:r-x g:r-x G61001:rwx m:rwx o:rwx", "nothing": "u:--- U61003:rwx g:--- m:rwx o:---",
    "no mask": "u:rw- U61003:rw- g:r-- o:r--", "unsorted": "u:rw- U61003:r-- U61002:r-- g:r-- m:r-- o:---", "no owner": "g:r-- o:r--", "twice": "u:rw- u:rw- g:r-- o:---",
}


def bytes_of(path, name):
    got = answer(os.getxattr, path, name, follow_symlinks=False)
    return got.hex() if isinstance(got, bytes) else got


@table
def acl_set(d):
    for kind in ("regular", "dir", "fifo"):
        for name in (ACCESS, DEFAULT):
            for what, text in LISTS.items():
                make(kind, f"{d}/x", 0o640)
                stamps = age(f"{d}/x") if what in ("user", "minimal") else {}
                got = answer(os.setxattr, f"{d}/x", name, acl(text))
                yield f"{kind} {name[17:]} {what}", (got, bytes_of(f"{d}/x", ACCESS), bytes_of(f"{d}/x", DEFAULT), look(f"{d}/x"), sorted(n for n in os.listxattr(f"{d}/x") if n.startswith("system")), moved(stamps))
                steps = []
                for mode in (0o777, 0o604, 0o2070, 0):
                    steps.append((answer(os.chmod, f"{d}/x", mode), bytes_of(f"{d}/x", ACCESS), look(f"{d}/x")))
                steps += [answer(os.removexattr, f"{d}/x", name), bytes_of(f"{d}/x", name), look(f"{d}/x"), answer(os.removexattr, f"{d}/x", name)]
                yield f"{kind} {name[17:]} {what}: chmod and away", steps
                remove(f"{d}/x")
    touch(f"{d}/x")
    for what, value in (("empty", b""), ("short", b"\2\0\0"), ("version", acl("u:rw- g:r-- o:r--").replace(b"\2", b"\3", 1)), ("only version", struct.pack("<I", 2)), ("ragged", acl("u:rw- g:r-- o:r--") + b"x"),
                        ("bits", struct.pack("<IHHIHHIHHI", 2, 1, 15, 0xFFFFFFFF, 4, 0, 0xFFFFFFFF, 32, 0, 0xFFFFFFFF)), ("tag", struct.pack("<IHHI", 2, 3, 7, 0))):
        yield f"bytes: {what}", (answer(os.setxattr, f"{d}/x", ACCESS, value), bytes_of(f"{d}/x", ACCESS))
    yield "unknown", answer(os.setxattr, f"{d}/x", "system.posix_acl_other", b"x")


@table
def acl_inherit(d):
    makers = {"open": lambda p, m: opened(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY, m), "mkdir": os.mkdir, "mkfifo": os.mkfifo, "mknod": lambda p, m: os.mknod(p, m | stat.S_IFREG), "symlink": lambda p, m: os.symlink("x", p)}
    for what in ("minimal", "tight", "user", "masked", "group", "both", "nothing"):
        for mask in (0, 0o022, 0o077):
            for mode in (0o666, 0o777, 0o640, 0o7755, 0):
                for maker, do in makers.items():
                    os.mkdir(f"{d}/w")
                    os.setxattr(f"{d}/w", DEFAULT, acl(LISTS[what]))
                    old = os.umask(mask)
                    got = answer(do, f"{d}/w/x", mode)
                    os.umask(old)
                    yield f"{what}: {maker} {mode:04o} masked {mask:03o}", (got, look(f"{d}/w/x"), bytes_of(f"{d}/w/x", ACCESS), bytes_of(f"{d}/w/x", DEFAULT))
                    remove(f"{d}/w")
    os.mkdir(f"{d}/w")
    os.setxattr(f"{d}/w", DEFAULT, acl(LISTS["user"]))
    fd = os.open(f"{d}/w", os.O_TMPFILE | os.O_RDWR, 0o666)
    name_for(fd, f"{d}/w/t")
    os.close(fd)
    yield "tmpfile", (look(f"{d}/w/t"), bytes_of(f"{d}/w/t", ACCESS))


@table
def acl_access(d):
    if not ROOT:
        return
    os.chmod(d, 0o777)
    does = {"r": lambda p: opened(p, os.O_RDONLY), "w": lambda p: opened(p, os.O_WRONLY), "rw": lambda p: opened(p, os.O_RDWR), "access": lambda p: [os.access(p, m, effective_ids=True) for m in (4, 2, 1)],
            "chmod": lambda p: os.chmod(p, 0o777), "set": lambda p: os.setxattr(p, ACCESS, acl(LISTS["tight"])), "get": lambda p: bytes_of(p, ACCESS)}
    below = {"enter": lambda p: os.stat(f"{p}/f").st_size, "list": lambda p: os.listdir(p), "make": lambda p: touch(f"{p}/n"), "unlink": lambda p: os.unlink(f"{p}/f")}
    for who in USERS:
        for what in ("minimal", "tight", "user", "masked", "group", "both", "nothing"):
            for kind, do in [("regular", n) for n in does] + [("dir", n) for n in below]:
                make(kind, f"{d}/x", 0o640, OWNER)
                if kind == "dir":
                    touch(f"{d}/x/f")
                os.setxattr(f"{d}/x", ACCESS, acl(LISTS[what]))
                with as_user(who):
                    got = answer((does | below)[do], f"{d}/x")
                yield f"{who}: {kind} {do} with {what}", (got, look(f"{d}/x"))
                remove(f"{d}/x")


@table
def acl_moves(d):
    """A list stays with its object through rename, link, chown, write and class of operation."""
    touch(f"{d}/f")
    os.setxattr(f"{d}/f", ACCESS, acl(LISTS["user"]))
    os.setxattr(f"{d}/f", "user.other", b"1")
    for step in (lambda: os.rename(f"{d}/f", f"{d}/g"), lambda: os.link(f"{d}/g", f"{d}/f"), lambda: os.unlink(f"{d}/g"), lambda: touch_again(f"{d}/f"), lambda: os.truncate(f"{d}/f", 0),
                 lambda: os.removexattr(f"{d}/f", "user.other"), lambda: ROOT and os.chown(f"{d}/f", 61001, 61003)):
        step()
    yield "list", (bytes_of(f"{d}/f", ACCESS), look(f"{d}/f"))


def touch_again(path):
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"again")
    os.close(fd)
