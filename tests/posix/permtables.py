"""Tables about who may: modes of folders and files, sticky folders, chmod, chown, set-id bits, times."""
from posixkit import *

MODES = [0] + [bits << shift for bits in range(1, 8) for shift in (6, 3, 0)]
DOES = {
    "create": lambda d: opened(f"{d}/new", os.O_CREAT | os.O_WRONLY),
    "mkdir": lambda d: os.mkdir(f"{d}/new"),
    "mkfifo": lambda d: os.mkfifo(f"{d}/new"),
    "symlink": lambda d: os.symlink("x", f"{d}/new"),
    "link": lambda d: os.link(f"{d}/mine", f"{d}/new"),
    "unlink": lambda d: os.unlink(f"{d}/mine"),
    "rmdir": lambda d: os.rmdir(f"{d}/sub"),
    "rename": lambda d: os.rename(f"{d}/mine", f"{d}/new"),
    "rename dir": lambda d: os.rename(f"{d}/sub", f"{d}/new"),
    "exchange": lambda d: renameat2(f"{d}/mine", f"{d}/sub", EXCHANGE),
    "stat": lambda d: os.stat(f"{d}/mine").st_size,
    "open": lambda d: opened(f"{d}/mine", os.O_RDONLY),
    "chmod": lambda d: os.chmod(f"{d}/mine", 0o600),
    "truncate": lambda d: os.truncate(f"{d}/mine", 0),
    "list": lambda d: sorted(os.listdir(d)),
    "tmpfile": lambda d: opened(d, os.O_TMPFILE | os.O_RDWR),
    "access": lambda d: [os.access(d, m) for m in (os.F_OK, os.R_OK, os.W_OK, os.X_OK)],
    "setxattr": lambda d: os.setxattr(d, "user.x", b"1"),
    "getxattr": lambda d: os.getxattr(d, "user.y"),
    "utime": lambda d: os.utime(d),
    "utime set": lambda d: os.utime(d, ns=(1, 1)),
}


@table
def folder_modes(d):
    for who in USERS:
        for mode in MODES:
            for does, do in DOES.items():
                os.mkdir(f"{d}/w")
                touch(f"{d}/w/mine", mode=0o666)
                os.mkdir(f"{d}/w/sub")
                for path in ("/w/mine", "/w/sub", "/w"):
                    if ROOT:
                        os.chown(d + path, *OWNER[:2])
                os.chmod(f"{d}/w", mode)
                with as_user(who):
                    got = answer(do, f"{d}/w")
                seen = look(f"{d}/w")
                os.chmod(f"{d}/w", 0o755)
                yield f"{who}: {does} in {mode:03o}", (got, seen, sorted(os.listdir(f"{d}/w")))
                remove(f"{d}/w")


@table
def file_modes(d):
    does = {"r": lambda p: opened(p, os.O_RDONLY), "w": lambda p: opened(p, os.O_WRONLY), "rw": lambda p: opened(p, os.O_RDWR), "trunc": lambda p: opened(p, os.O_WRONLY | os.O_TRUNC),
            "r trunc": lambda p: opened(p, os.O_RDONLY | os.O_TRUNC), "truncate": lambda p: os.truncate(p, 0), "chmod": lambda p: os.chmod(p, 0o777), "utime": os.utime,
            "utime set": lambda p: os.utime(p, ns=(1, 1)), "setxattr": lambda p: os.setxattr(p, "user.x", b"1"), "getxattr": lambda p: os.getxattr(p, "user.x"),
            "access": lambda p: [os.access(p, m, effective_ids=True) for m in (os.R_OK, os.W_OK, os.X_OK)], "link": lambda p: os.link(p, p + "2"),
            "noatime": lambda p: opened(p, os.O_RDONLY | os.O_NOATIME), "trusted": lambda p: os.setxattr(p, "trusted.x", b"1"), "list": lambda p: os.listxattr(p)}
    os.chmod(d, 0o777)
    for who in USERS:
        for mode in MODES + [0o1000, 0o1777, 0o4755, 0o2755, 0o6711, 0o7777]:
            for kind in ("regular", "fifo"):
                for name, do in does.items():
                    if kind == "fifo" and name in ("r", "w", "rw", "trunc", "r trunc", "noatime", "trusted"):
                        continue
                    make(kind, f"{d}/f", mode, OWNER)
                    os.chmod(f"{d}/f", mode)
                    with as_user(who):
                        got = answer(do, f"{d}/f")
                    yield f"{who}: {name} of {kind} {mode:04o}", (got, look(f"{d}/f"))
                    remove(f"{d}/f")
                    remove(f"{d}/f2")


@table
def created_modes(d):
    """The mode that a new object gets from the request, the umask and its folder; its owner and group."""
    makers = {"open": lambda p, m: opened(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY, m), "mkdir": os.mkdir, "mkfifo": os.mkfifo, "mknod": lambda p, m: os.mknod(p, m | stat.S_IFREG)}
    for who in USERS:
        for folder in (0o777, 0o1777, 0o2777, 0o3777):
            for mask in (0, 0o022, 0o077, 0o777):
                for mode in (0, 0o644, 0o755, 0o777, 0o1000, 0o1755, 0o2755, 0o4755, 0o6755, 0o7777):
                    for name, do in makers.items():
                        os.mkdir(f"{d}/w")
                        if ROOT:
                            os.chown(f"{d}/w", *OWNER[:2])
                        os.chmod(f"{d}/w", folder)
                        old = os.umask(mask)
                        with as_user(who):
                            got = answer(do, f"{d}/w/x", mode)
                        os.umask(old)
                        yield f"{who}: {name} {mode:04o} masked {mask:03o} in {folder:04o}", (got, look(f"{d}/w/x"))
                        remove(f"{d}/w/x")
                        remove(f"{d}/w")


@table
def chmods(d):
    os.chmod(d, 0o777)
    for who in USERS:
        for kind in TYPES:
            if kind == "symlink":
                continue
            for group in ((61001, 61002, 0) if ROOT else (os.getgid(),)):
                for mode in (0, 0o777, 0o1000, 0o1644, 0o2755, 0o2745, 0o4755, 0o6777, 0o7777):
                    make(kind, f"{d}/x", 0o666, (OWNER[0], group))
                    stamps = age(f"{d}/x") if mode in (0, 0o6777) and group != 61002 else {}
                    with as_user(who):
                        got = answer(os.chmod, f"{d}/x", mode)
                    yield f"{who}: {kind} of group {group} to {mode:04o}", (got, look(f"{d}/x"), moved(stamps))
                    remove(f"{d}/x")


@table
def chowns(d):
    if not ROOT:
        return
    os.chmod(d, 0o777)
    for who in USERS:
        for kind in TYPES:
            for before in (0o644, 0o755, 0o2745, 0o4755, 0o6711, 0o6666):
                for uid, gid in ((-1, -1), (61001, 61001), (61001, -1), (-1, 61001), (61002, -1), (-1, 61002), (61003, 61003), (0, 0)):
                    # The kernel asks nothing of FUSE that would tell: ext4 takes set-id bits away or refuses, here they stay.
                    unasked = uid == gid == -1 and before & 0o6000 and kind != "dir"
                    make(kind, f"{d}/x", before, OWNER)
                    stamps = age(f"{d}/x") if before in (0o644, 0o6711) and kind in ("regular", "dir") else {}
                    with as_user(who):
                        got = answer(os.lchown, f"{d}/x", uid, gid)
                    yield f"{who}: {kind} {before:04o} to {uid}:{gid}", but_for_set_id(look(f"{d}/x")) if unasked else (got, look(f"{d}/x"), moved(stamps))
                    remove(f"{d}/x")


@table
def sticky(d):
    if not ROOT:
        return
    for who in USERS:
        for folder_owner in (0, 61001, 61002, 61003):
            for object_owner in (0, 61001, 61002, 61003):
                for kind in TYPES:
                    for does in ("remove", "rename", "onto"):
                        os.mkdir(f"{d}/w")
                        os.chown(f"{d}/w", folder_owner, 0)
                        os.chmod(f"{d}/w", 0o1777)
                        make(kind, f"{d}/w/x", 0o666, (object_owner, 0))
                        uid, gid, _ = USERS[who]
                        make(kind, f"{d}/w/own", 0o666, (uid, gid))
                        with as_user(who):
                            got = {"remove": lambda: answer(os.rmdir if kind == "dir" else os.unlink, f"{d}/w/x"), "rename": lambda: answer(os.rename, f"{d}/w/x", f"{d}/w/y"),
                                   "onto": lambda: answer(os.rename, f"{d}/w/own", f"{d}/w/x")}[does]()
                        yield f"{who}: {does} {kind} of {object_owner} in folder of {folder_owner}", (got, sorted(os.listdir(f"{d}/w")))
                        remove(f"{d}/w")


@table
def moving_directories(d):
    """A directory that goes to another parent needs write permission in itself, since its `..` changes."""
    if not ROOT:
        return
    for who in USERS:
        for mode in (0o777, 0o755, 0o555, 0o711):
            for owner in (0, 61001, 61003):
                for sticky_bit in (0, 0o1000):
                    for parent in ("a", "b"):
                        os.mkdir(f"{d}/{parent}")
                        os.chmod(f"{d}/{parent}", 0o777 | sticky_bit)
                    make("dir", f"{d}/a/x", mode, (owner, owner))
                    with as_user(who):
                        got = answer(os.rename, f"{d}/a/x", f"{d}/b/x")
                        same = answer(os.rename, f"{d}/a/x", f"{d}/a/y")
                    yield f"{who}: {mode:o} of {owner} sticky {sticky_bit:o}", (got, same)
                    remove(f"{d}/a")
                    remove(f"{d}/b")


@table
def set_id_bits(d):
    """What takes the set-id bits from a file."""
    def through_map(p):
        import mmap
        fd = os.open(p, os.O_RDWR)
        with mmap.mmap(fd, 0) as m:
            m[0] = 65
            m.flush()
        os.close(fd)

    def with_fd(do):
        def run(p):
            fd = os.open(p, os.O_RDWR)
            try:
                return do(fd)
            finally:
                os.close(fd)
        return run

    does = {"write": with_fd(lambda fd: os.write(fd, b"y")), "pwrite": with_fd(lambda fd: os.pwrite(fd, b"y", 5)), "nothing": with_fd(lambda fd: os.write(fd, b"")),
            "append": lambda p: touch_end(p), "truncate": lambda p: os.truncate(p, 0), "truncate same": lambda p: os.truncate(p, 1), "ftruncate": with_fd(lambda fd: os.ftruncate(fd, 9)),
            "open trunc": lambda p: opened(p, os.O_WRONLY | os.O_TRUNC), "fallocate": with_fd(lambda fd: fallocate(fd, 0, 0, 5000)), "punch": with_fd(lambda fd: fallocate(fd, PUNCH | KEEP_SIZE, 0, 1)),
            "zero": with_fd(lambda fd: fallocate(fd, ZERO, 0, 1)), "map": through_map, "read": with_fd(lambda fd: os.read(fd, 1)), "setxattr": lambda p: os.setxattr(p, "user.x", b"1"),
            "utime": os.utime, "link": lambda p: os.link(p, p + "2"), "rename": lambda p: os.rename(p, p + "2"), "chmod": lambda p: os.chmod(p, 0o6755), "copy range": with_fd(copy_here)}
    os.chmod(d, 0o777)
    for who in USERS:
        for mode in (0o4777, 0o2777, 0o6777, 0o2767, 0o6666, 0o4666):
            for name, do in does.items():
                # The kernel does not tell who is of the group; the bit without execution means nothing.
                seen = but_for_set_id if mode in (0o2767, 0o6666) and who == "stranger" else lambda s: s
                make("regular", f"{d}/x", mode, OWNER)
                with as_user(who):
                    got = answer(do, f"{d}/x")
                yield f"{who}: {name} on {mode:o}", (got, seen(look(f"{d}/x")), seen(look(f"{d}/x2")))
                remove(f"{d}/x")
                remove(f"{d}/x2")


def touch_end(path):
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(fd, b"end")
    os.close(fd)


def copy_here(fd):
    other = os.open("/etc/passwd", os.O_RDONLY)
    try:
        return os.sendfile(fd, other, 0, 10)
    finally:
        os.close(other)


@table
def setting_times(d):
    """utimensat with now, omit and values, by owner, writer and others."""
    os.chmod(d, 0o777)
    values = {"now": (0, UTIME_NOW), "omit": (0, UTIME_OMIT), "set": (1_000_000, 7), "old": (-1_000, 999_999_999), "late": (4_000_000_000, 1), "bad": (0, 1_000_000_000)}
    for who in USERS:
        for mode in (0o666, 0o644, 0o444, 0):
            for a, atime in values.items():
                for m, mtime in values.items():
                    for kind in ("regular", "dir") if mode == 0o644 else ("regular",):
                        make(kind, f"{d}/x", mode, OWNER)
                        stamps = age(f"{d}/x") if who in ("root", "self", "owner") and mode == 0o644 else {}
                        with as_user(who):
                            got = answer(utimensat, f"{d}/x", atime, mtime)
                        st = os.stat(f"{d}/x")
                        given = [t if t in (1_000_000 * 10 ** 9 + 7, -1_000 * 10 ** 9 + 999_999_999, 4_000_000_000 * 10 ** 9 + 1, OLD) else "now" for t in (st.st_atime_ns, st.st_mtime_ns)]
                        yield f"{who}: {kind} {mode:03o} {a} {m}", (got, given, moved(stamps))
                        remove(f"{d}/x")


@table
def symlink_times(d):
    os.symlink("x", f"{d}/l")
    for i, (a, m) in enumerate((((5, 6), (7, 8)), ((0, UTIME_OMIT), (9, 1)), ((0, UTIME_NOW), (0, UTIME_OMIT)), ((1, 1), (0, UTIME_NOW)))):
        stamps = age(f"{d}/l")
        yield f"{i}", (answer(utimensat, f"{d}/l", a, m, 0x100), moved(stamps))


@table
def protected_ways(d):
    """Several steps down, each of which may refuse; relative to descriptors too."""
    os.chmod(d, 0o777)
    os.makedirs(f"{d}/a/b/c")
    touch(f"{d}/a/b/c/f", mode=0o666)
    fd = os.open(f"{d}/a/b/c", os.O_RDONLY)
    for who in USERS:
        for level in ("a", "a/b", "a/b/c"):
            for mode in (0o777, 0o666, 0o111, 0o444, 0):
                os.chmod(f"{d}/{level}", mode)
                with as_user(who):
                    got = [answer(lambda: os.stat(f"{d}/a/b/c/f").st_size), answer(os.listdir, f"{d}/a/b"), answer(lambda: os.stat("f", dir_fd=fd).st_size), answer(os.listdir, fd),
                           answer(opened, f"{d}/a/b/c/new", os.O_CREAT | os.O_WRONLY), answer(os.unlink, f"{d}/a/b/c/new")]
                os.chmod(f"{d}/{level}", 0o777)
                remove(f"{d}/a/b/c/new")
                yield f"{who}: {level} {mode:03o}", got
    os.close(fd)
