"""What the tables of posix.py share: users, objects, what an answer is. Each table is a function of a folder that yields (what, answer); it runs on a plain folder and on the mount."""
import ctypes, errno, fcntl, os, pathlib, socket, stat, struct, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from filekit import C, EXCHANGE, KEEP_SIZE, NOREPLACE, PUNCH, ZERO, fallocate, libc, renameat2

ROOT = os.geteuid() == 0
OWNER, MEMBER, STRANGER = (61001, 61001, ()), (61002, 61002, (61001,)), (61003, 61003, ())
USERS = {"root": (0, 0, ()), "owner": OWNER, "member": MEMBER, "stranger": STRANGER} if ROOT else {"self": (os.getuid(), os.getgid(), ())}
OLD = 1_000_000_000_000_000_000
tables = []


def table(function):
    tables.append(function)
    return function


class as_user:
    """The whole process as another user (root only), until the end of the block."""

    def __init__(self, who):
        self.who = who if isinstance(who, tuple) else USERS[who]

    def __enter__(self):
        uid, gid, groups = self.who
        if ROOT and uid:
            os.setgroups(groups)
            os.setegid(gid)
            os.seteuid(uid)

    def __exit__(self, *_):
        if ROOT and self.who[0]:
            os.seteuid(0)
            os.setegid(0)
            os.setgroups(())


def answer(function, *args, **named):
    """ok, or the errno's name; a number or text that the call gave."""
    try:
        got = function(*args, **named)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))
    return got if isinstance(got, (int, str, bytes, list, tuple)) and not isinstance(got, bool) else "ok"


def touch(path, data=b"x", mode=0o644):
    fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, mode)
    os.write(fd, data)
    os.close(fd)
    os.chmod(path, mode)


def sock(path):
    s = socket.socket(socket.AF_UNIX)
    here = os.open(".", os.O_RDONLY)
    os.chdir(os.path.dirname(path))
    try:
        s.bind(os.path.basename(path))
    finally:
        os.fchdir(here)
        os.close(here)
        s.close()


TYPES = ("regular", "dir", "fifo", "block", "char", "socket", "symlink") if ROOT else ("regular", "dir", "fifo", "socket", "symlink")


def make(kind, path, mode=None, owner=None):
    if mode is None:
        mode = 0o755 if kind == "dir" else 0o644
    if kind == "regular":
        touch(path, mode=mode)
    elif kind == "dir":
        os.mkdir(path, mode)
        os.chmod(path, mode)
    elif kind == "fifo":
        os.mkfifo(path, mode)
    elif kind in ("block", "char"):
        os.mknod(path, mode | (stat.S_IFBLK if kind == "block" else stat.S_IFCHR), os.makedev(1, 2))
    elif kind == "socket":
        sock(path)
    elif kind == "symlink":
        os.symlink("pjd", path)
    elif kind != "none":
        raise ValueError(kind)
    if kind in ("fifo", "block", "char", "socket"):
        os.chmod(path, mode)
    if owner is not None and ROOT and kind != "none":
        os.chown(path, *owner[:2], follow_symlinks=False)
        if kind not in ("symlink",) and mode & 0o6000:
            os.chmod(path, mode)


def look(path):
    """What stat shows, but for times and numbers that differ between filesystems."""
    try:
        st = os.lstat(path)
    except OSError as e:
        return errno.errorcode[e.errno]
    size = st.st_size if not stat.S_ISDIR(st.st_mode) else 0
    return oct(st.st_mode), st.st_uid, st.st_gid, st.st_nlink, size


def but_for_set_id(seen):
    """look()'s answer without the set-id bits, where ARCHITECTURE names them as a known difference: everything else is to be the same."""
    return seen if isinstance(seen, str) else (oct(int(seen[0], 8) & ~0o6000), *seen[1:])


def age(*paths):
    """All times into the past, and the clock goes on, so that `moved` sees what an operation sets."""
    for path in paths:
        os.utime(path, ns=(OLD, OLD), follow_symlinks=False)
    stamps = {path: os.lstat(path).st_ctime_ns for path in paths}
    time.sleep(0.006)  # a tick of the kernel's coarse clock is up to 4 ms
    return stamps


def moved(stamps):
    out = []
    for path, ctime in stamps.items():
        try:
            st = os.lstat(path)
        except OSError:
            out.append("gone")
            continue
        out.append(("a" if st.st_atime_ns != OLD else "") + ("m" if st.st_mtime_ns != OLD else "") + ("c" if st.st_ctime_ns != ctime else ""))
    return tuple(out)


def remove(path):
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            os.chmod(path, 0o700)
            for name in os.listdir(path):
                remove(f"{path}/{name}")
            os.rmdir(path)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def opened(path, flags, mode=0o644):
    os.close(os.open(path, flags, mode))


def name_for(fd, path):
    """A (further) name for an open file."""
    C(libc.linkat(-100, b"/proc/self/fd/%d" % fd, -100, os.fsencode(path), 0x400))


UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2


class timespec(ctypes.Structure):
    _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]


def utimensat(path, a, m, flags=0):
    """a, m: (seconds, nanoseconds)."""
    times = (timespec * 2)(timespec(*a), timespec(*m))
    return C(libc.utimensat(-100, os.fsencode(path), times, flags))
