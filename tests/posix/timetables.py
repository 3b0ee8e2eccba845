"""Which times an operation sets, of the object and of its folders; and what open files, positions, locks and sizes do."""
import threading

from posixkit import *


@table
def times_of_operations(d):
    def on_fd(do, flags=os.O_RDWR):
        def run(p):
            fd = os.open(p, flags)
            try:
                return do(fd)
            finally:
                os.close(fd)
        return run

    file_does = {
        "read": on_fd(lambda fd: os.read(fd, 10)), "read at end": on_fd(lambda fd: os.pread(fd, 10, 100)), "write": on_fd(lambda fd: os.write(fd, b"z")), "write nothing": on_fd(lambda fd: os.write(fd, b"")),
        "append": on_fd(lambda fd: os.write(fd, b"z"), os.O_WRONLY | os.O_APPEND), "truncate down": lambda p: os.truncate(p, 0), "truncate up": lambda p: os.truncate(p, 9000),
        "truncate same": lambda p: os.truncate(p, 1), "ftruncate same": on_fd(lambda fd: os.ftruncate(fd, 1)), "open trunc": lambda p: opened(p, os.O_WRONLY | os.O_TRUNC),
        "open creat": lambda p: opened(p, os.O_WRONLY | os.O_CREAT), "open": lambda p: opened(p, os.O_RDONLY), "chmod": lambda p: os.chmod(p, 0o600), "chmod same": lambda p: os.chmod(p, 0o644),
        "chown same": lambda p: os.chown(p, os.getuid(), os.getgid()), "chown none": lambda p: os.chown(p, -1, -1), "link": lambda p: os.link(p, p + "2"), "unlink": os.unlink,
        "rename": lambda p: os.rename(p, p + "2"), "rename over": lambda p: (touch(p + "2"), os.rename(p, p + "2")), "rename itself": lambda p: os.rename(p, p),
        "setxattr": lambda p: os.setxattr(p, "user.x", b"1"), "fallocate": on_fd(lambda fd: fallocate(fd, 0, 0, 9000)), "fallocate keep": on_fd(lambda fd: fallocate(fd, KEEP_SIZE, 0, 9000)),
        "fallocate inside": on_fd(lambda fd: fallocate(fd, 0, 0, 1)), "punch": on_fd(lambda fd: fallocate(fd, PUNCH | KEEP_SIZE, 0, 1)), "zero": on_fd(lambda fd: fallocate(fd, ZERO, 0, 1)),
        "fsync": on_fd(os.fsync), "stat": os.stat, "getxattr": lambda p: answer(os.getxattr, p, "user.none"), "access": lambda p: os.access(p, os.R_OK), "two names gone": two_names,
    }
    for name, do in file_does.items():
        os.mkdir(f"{d}/w")
        touch(f"{d}/w/f")
        stamps = age(f"{d}/w/f", f"{d}/w")
        got = answer(do, f"{d}/w/f")
        what = moved(stamps)
        if name.startswith("read"):  # the mount is noatime
            what = tuple(x.replace("a", "") for x in what)
        yield f"file: {name}", (got if name != "stat" else 0, what, look(f"{d}/w/f"), look(f"{d}/w/f2"))
        if os.path.exists(f"{d}/w/f2") and name in ("rename", "link"):
            yield f"file: {name}, the new name", os.stat(f"{d}/w/f2").st_mtime_ns == OLD
        remove(f"{d}/w")
    for kind in TYPES:
        os.mkdir(f"{d}/w")
        stamps = age(f"{d}/w")
        make(kind, f"{d}/w/x")
        yield f"made: {kind}", moved(stamps)
        stamps = age(f"{d}/w")
        remove(f"{d}/w/x")
        yield f"removed: {kind}", moved(stamps)
        make(kind, f"{d}/w/x")
        os.mkdir(f"{d}/v")
        stamps = age(f"{d}/w", f"{d}/v", f"{d}/w/x")
        os.rename(f"{d}/w/x", f"{d}/v/x")
        yield f"moved: {kind}", (moved(stamps)[:2], os.lstat(f"{d}/v/x").st_mtime_ns == OLD)
        remove(f"{d}/w")
        remove(f"{d}/v")
    dir_does = {"list": os.listdir, "stat": lambda p: os.stat(p) and 0, "chmod": lambda p: os.chmod(p, 0o700), "create": lambda p: touch(f"{p}/n"), "fail": lambda p: answer(os.mkdir, f"{p}/sub"),
                "lookup": lambda p: answer(os.stat, f"{p}/none"), "rmdir": lambda p: os.rmdir(f"{p}/sub"), "xattr": lambda p: os.setxattr(p, "user.x", b"1"), "write below": lambda p: touch(f"{p}/sub/n"),
                "open": lambda p: opened(p, os.O_RDONLY), "rename inside": lambda p: os.rename(f"{p}/sub", f"{p}/sub2"), "fsync": lambda p: on_fd(os.fsync, os.O_RDONLY)(p)}
    for name, do in dir_does.items():
        os.mkdir(f"{d}/w")
        os.mkdir(f"{d}/w/sub")
        stamps = age(f"{d}/w")
        got = answer(do, f"{d}/w")
        yield f"folder: {name}", (got, moved(stamps) if name != "list" else tuple(x.replace("a", "") for x in moved(stamps)))
        remove(f"{d}/w")


def two_names(path):
    os.link(path, path + "2")
    os.unlink(path)


@table
def data_through_flags(d):
    flags = {"append": os.O_APPEND, "sync": os.O_SYNC, "dsync": os.O_DSYNC, "excl": os.O_EXCL, "noctty": os.O_NOCTTY, "noatime": os.O_NOATIME, "nonblock": os.O_NONBLOCK, "directory": os.O_DIRECTORY,
             "nofollow": os.O_NOFOLLOW, "path": os.O_PATH, "trunc": os.O_TRUNC, "creat": os.O_CREAT, "tmpfile": os.O_TMPFILE, "direct": os.O_DIRECT}
    for access in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR, 3):
        for name, flag in flags.items():
            for name2, flag2 in flags.items():
                if name2 < name:
                    continue
                for kind in ("regular", "dir", "none"):
                    make(kind, f"{d}/x")
                    try:
                        fd = os.open(f"{d}/x", access | flag | flag2, 0o644)
                        out = [answer(os.read, fd, 2) if flag != os.O_DIRECT and flag2 != os.O_DIRECT else 0, answer(os.pwrite, fd, b"ab", 3) if "direct" not in (name, name2) else 0, answer(os.ftruncate, fd, 10),
                               answer(os.lseek, fd, 0, os.SEEK_END) if kind != "dir" and not os.path.isdir(f"{d}/x") else 0]
                        os.close(fd)
                    except OSError as e:
                        out = errno.errorcode[e.errno]
                    yield f"{kind} {access} {name} {name2}", (out, look(f"{d}/x"))
                    remove(f"{d}/x")


@table
def appending_together(d):
    def work(k):
        fd = os.open(f"{d}/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for i in range(200):
            os.write(fd, b"%02d-%05d\n" % (k, i))
        os.close(fd)

    pids = []
    for k in range(6):
        pid = os.fork()
        if pid == 0:
            work(k)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    lines = open(f"{d}/log", "rb").read().splitlines()
    yield "six writers", (len(lines), len(set(lines)), sorted(lines)[:3], [x for x in lines if x.startswith(b"03")] == [b"03-%05d" % i for i in range(200)])


@table
def locks(d):
    touch(f"{d}/f", b"x" * 1000)
    F_OFD_SETLK = 37
    lock = lambda kind, start, length: struct.pack("hhqqi4x", kind, 0, start, length, 0)

    def other(do):
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.write(w, repr(answer(do)).encode())
            os._exit(0)
        os.waitpid(pid, 0)
        os.close(w)
        got = os.read(r, 4096).decode()
        os.close(r)
        return got

    def with_lock(setter, flags=os.O_RDWR):
        fd = os.open(f"{d}/f", flags)
        try:
            return setter(fd)
        finally:
            os.close(fd)

    fd = os.open(f"{d}/f", os.O_RDWR)
    for first in (fcntl.F_RDLCK, fcntl.F_WRLCK):
        for second in (fcntl.F_RDLCK, fcntl.F_WRLCK):
            for command, what in ((fcntl.F_SETLK, "posix"), (F_OFD_SETLK, "ofd")):
                fcntl.fcntl(fd, command, lock(first, 10, 20))
                out = [other(lambda: (with_lock(lambda f: fcntl.fcntl(f, c, lock(second, s, n))), "got")[1]) for c in (fcntl.F_SETLK, F_OFD_SETLK) for s, n in ((0, 10), (9, 2), (29, 1), (30, 0), (0, 0))]
                fcntl.fcntl(fd, command, lock(fcntl.F_UNLCK, 0, 0))
                yield f"{what} {first} against {second}", out
    for first in (fcntl.LOCK_SH, fcntl.LOCK_EX):
        for second in (fcntl.LOCK_SH, fcntl.LOCK_EX):
            fcntl.flock(fd, first)
            yield f"flock {first} against {second}", (other(lambda: (with_lock(lambda f: fcntl.flock(f, second | fcntl.LOCK_NB)), "got")[1]), other(lambda: (with_lock(lambda f: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)), "got")[1]))
            fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


@table
def sizes_and_holes(d):
    """Where data and holes are after each way to make them; large offsets."""
    for size in (0, 1, 4095, 4096, 4097, 1 << 20, 1 << 40, 1 << 43):
        fd = os.open(f"{d}/s", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        out = [answer(os.ftruncate, fd, size), os.fstat(fd).st_size, answer(os.lseek, fd, 0, os.SEEK_DATA), answer(os.lseek, fd, 0, os.SEEK_HOLE), answer(os.lseek, fd, size, os.SEEK_DATA), answer(os.lseek, fd, size + 1, os.SEEK_HOLE)]
        if 4096 < size <= 1 << 40:
            out += [answer(os.pwrite, fd, b"end", size - 3), os.pread(fd, 10, size - 5), answer(os.lseek, fd, 0, os.SEEK_HOLE), os.stat(fd).st_blocks < 1000]
        os.close(fd)
        os.unlink(f"{d}/s")
        yield f"size {size}", out
    for mode in range(0, 0x80):
        fd = os.open(f"{d}/s", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
        os.write(fd, b"d" * 20_000)
        if mode in (0x08, 0x20):  # collapse and insert: a clean refusal, as on disks that do not have them
            yield f"fallocate {mode:#x}", "not asked"
        else:
            got = answer(fallocate, fd, mode, 4096, 8192)
            yield f"fallocate {mode:#x}", (got, os.fstat(fd).st_size, os.pread(fd, 30_000, 0))
        os.close(fd)
    fd = os.open(f"{d}/s", os.O_RDWR)
    for offset, length in ((-1, 1), (0, 0), (0, -1), (1 << 62, 1 << 62)):
        yield f"fallocate {offset} {length}", answer(fallocate, fd, 0, offset, length)
    os.close(fd)


@table
def running_programs(d):
    """ETXTBSY in both directions."""
    import shutil, subprocess
    shutil.copy("/bin/sleep", f"{d}/sleep")
    os.chmod(f"{d}/sleep", 0o755)
    child = subprocess.Popen([f"{d}/sleep", "30"])
    out = [answer(opened, f"{d}/sleep", os.O_WRONLY), answer(opened, f"{d}/sleep", os.O_RDWR), answer(os.truncate, f"{d}/sleep", 0), answer(os.rename, f"{d}/sleep", f"{d}/moved"), answer(opened, f"{d}/moved", os.O_RDONLY)]
    child.terminate()
    child.wait()
    fd = os.open(f"{d}/moved", os.O_WRONLY)
    try:
        subprocess.run([f"{d}/moved", "0"])
        out.append("ran")
    except OSError as e:
        out.append(errno.errorcode[e.errno])
    os.close(fd)
    yield "text busy", out + [subprocess.run([f"{d}/moved", "0"]).returncode]


@table
def positions(d):
    """Threads that write at places of their own while one truncates; what a reader sees is never anything else."""
    touch(f"{d}/f", b"\0" * 400_000)
    bad = []

    def write(k):
        fd = os.open(f"{d}/f", os.O_RDWR)
        for i in range(100):
            at = (k * 97 + i * 4001) % 390_000
            os.pwrite(fd, bytes([k + 1]) * 700, at)
            if set(os.pread(fd, 700, at)) - set(range(9)):
                bad.append(at)
        os.close(fd)

    workers = [threading.Thread(target=write, args=(k,)) for k in range(6)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    yield "six writers", (bad, os.stat(f"{d}/f").st_size, set(open(f"{d}/f", "rb").read()) <= set(range(7)))
