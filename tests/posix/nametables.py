"""Tables about names: which call may be done on what, errors of paths, renames, links."""
from posixkit import *

CALLS = {  # each with a path that exists or not, as the kind says
    "open r": lambda p: opened(p, os.O_RDONLY | os.O_NONBLOCK),
    "open rw": lambda p: opened(p, os.O_RDWR | os.O_NONBLOCK),
    "open wt": lambda p: opened(p, os.O_WRONLY | os.O_TRUNC | os.O_NONBLOCK),
    "open creat": lambda p: opened(p, os.O_CREAT | os.O_WRONLY | os.O_NONBLOCK),
    "open excl": lambda p: opened(p, os.O_CREAT | os.O_EXCL | os.O_WRONLY),
    "open dir": lambda p: opened(p, os.O_RDONLY | os.O_DIRECTORY),
    "open nofollow": lambda p: opened(p, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK),
    "open path": lambda p: opened(p, os.O_PATH | os.O_NOFOLLOW),
    "open append": lambda p: opened(p, os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK),
    "open sync": lambda p: opened(p, os.O_RDWR | os.O_SYNC | os.O_NONBLOCK),
    "open direct": lambda p: opened(p, os.O_RDWR | os.O_DIRECT | os.O_NONBLOCK),
    "open tmpfile": lambda p: opened(p, os.O_RDWR | os.O_TMPFILE),
    "mkdir": lambda p: os.mkdir(p),
    "mkfifo": lambda p: os.mkfifo(p),
    "mknod": lambda p: os.mknod(p, stat.S_IFREG | 0o644),
    "symlink": lambda p: os.symlink("x", p),
    "bind": sock,
    "unlink": os.unlink,
    "rmdir": os.rmdir,
    "chmod": lambda p: os.chmod(p, 0o705),
    "chown": lambda p: os.chown(p, os.geteuid(), os.getegid()),
    "lchown": lambda p: os.lchown(p, os.geteuid(), os.getegid()),
    "truncate": lambda p: os.truncate(p, 7),
    "truncate neg": lambda p: os.truncate(p, -1),
    "truncate huge": lambda p: os.truncate(p, 1 << 62),
    "utimens": lambda p: utimensat(p, (1, 2), (3, 4)),
    "utimens bad": lambda p: utimensat(p, (1, 2_000_000_000), (3, 4)),
    "lutimens": lambda p: utimensat(p, (1, 2), (3, 4), 0x100),
    "stat": lambda p: os.stat(p).st_mode,
    "lstat": lambda p: os.lstat(p).st_mode,
    "access": lambda p: os.access(p, os.R_OK | os.W_OK),
    "readlink": os.readlink,
    "listdir": lambda p: sorted(os.listdir(p)),
    "chdir": lambda p: at_home(p),
    "statvfs": lambda p: os.statvfs(p).f_namemax,
    "link from": lambda p: os.link(p, os.path.dirname(p.rstrip("/") or p) + "/other"),
    "link nofollow": lambda p: os.link(p, os.path.dirname(p.rstrip("/") or p) + "/other", follow_symlinks=False),
    "link to": lambda p: os.link(os.path.dirname(p.rstrip("/") or p) + "/here", p),
    "rename from": lambda p: os.rename(p, os.path.dirname(p.rstrip("/") or p) + "/other"),
    "rename to": lambda p: os.rename(os.path.dirname(p.rstrip("/") or p) + "/here", p),
    "rename itself": lambda p: os.rename(p, p),
    "getxattr": lambda p: os.getxattr(p, "user.x"),
    "setxattr": lambda p: os.setxattr(p, "user.x", b"1"),
    "lsetxattr": lambda p: os.setxattr(p, "user.x", b"1", follow_symlinks=False),
    "trusted": lambda p: os.setxattr(p, "trusted.x", b"1", follow_symlinks=False),
    "security": lambda p: os.setxattr(p, "security.x", b"1", follow_symlinks=False),
    "nameless xattr": lambda p: os.setxattr(p, "user.", b"1"),
    "strange xattr": lambda p: os.setxattr(p, "strange.x", b"1"),
    "long xattr": lambda p: os.getxattr(p, "user." + "n" * 251),
    "removexattr": lambda p: os.removexattr(p, "user.x"),
    "listxattr": lambda p: sorted(n for n in os.listxattr(p) if not n.startswith("security")),
}


def at_home(path):
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path)
    finally:
        os.fchdir(here)
        os.close(here)


@table
def calls_by_type(d):
    kinds = TYPES + ("none", "link to file", "link to dir", "loop")
    for kind in kinds:
        for call, do in CALLS.items():
            if kind in ("block", "char") and call.startswith("open ") and call != "open path":
                continue  # the mount is nodev
            if call in ("trusted", "security") and kind not in ("regular", "dir", "none"):
                continue  # nothing but files and folders has attributes
            for extra in ("", "/", "/."):
                if extra and call in ("truncate huge", "security", "utimens bad"):
                    continue
                os.mkdir(f"{d}/w")
                touch(f"{d}/w/here")
                if kind == "link to file":
                    touch(f"{d}/w/target")
                    os.symlink("target", f"{d}/w/p")
                elif kind == "link to dir":
                    os.mkdir(f"{d}/w/target")
                    os.symlink("target", f"{d}/w/p")
                elif kind == "loop":
                    os.symlink("p", f"{d}/w/p")
                else:
                    make(kind, f"{d}/w/p")
                got = answer(do, f"{d}/w/p{extra}")
                seen = [(n, look(f"{d}/w/{n}")) for n in sorted(os.listdir(f"{d}/w"))]
                remove(f"{d}/w")
                yield f"{call} on {kind}{extra}", (got, seen)


@table
def calls_by_path(d):
    os.mkdir(f"{d}/w")
    touch(f"{d}/w/here")
    touch(f"{d}/w/file")
    os.symlink("l2", f"{d}/w/l1")
    os.symlink("l1", f"{d}/w/l2")
    base = f"{d}/w"
    fill = lambda n: base + "/" + ("./" * n)[: n - len(base) - 6] + "/x"
    paths = {
        "through a file": f"{base}/file/x", "through nothing": f"{base}/none/x", "through a loop": f"{base}/l1/x", "a loop": f"{base}/l1",
        "name of 255": f"{base}/{'n' * 255}", "name of 256": f"{base}/{'n' * 256}", "below a name of 256": f"{base}/{'n' * 256}/x", "path of 4095": fill(4095).ljust(4095, "x")[:4095],
        "path of 4096": fill(4096).ljust(4096, "x"), "empty": "", "bytes": f"{base}/\udcff\udc81",
    }
    for what, path in paths.items():
        for call, do in CALLS.items():
            if call in ("link to", "rename to") and what != "name of 256":
                do = (lambda p: os.link(f"{base}/here", p)) if call == "link to" else (lambda p: os.rename(f"{base}/here", p))
            if call in ("link from", "link nofollow", "rename from", "bind", "chdir") and len(path) > 200:
                do = {"rename from": lambda p: os.rename(p, f"{base}/other"), "bind": sock, "chdir": at_home}.get(call, lambda p: os.link(p, f"{base}/other"))
            if call == "bind":
                continue
            got = answer(do, path)
            yield f"{call} on {what}", (got, sorted(os.listdir(base)))
            for name in os.listdir(base):
                if name not in ("here", "file", "l1", "l2"):
                    remove(f"{base}/{name}")
            touch(f"{base}/here")


@table
def renames(d):
    """Every kind onto every kind, in one folder and between two, with each flag; parents' links and times, and what an open file sees."""
    kinds = TYPES + ("none", "full dir", "same")
    for source in TYPES + ("full dir", "none"):
        for target in kinds:
            for flags in (0, NOREPLACE, EXCHANGE, NOREPLACE | EXCHANGE, 8):
                for apart in (False, True):
                    a, b = f"{d}/a", f"{d}/b" if apart else f"{d}/a"
                    os.mkdir(a)
                    if apart:
                        os.mkdir(b)
                    for kind, path in ((source, f"{a}/from"), (target, f"{b}/to")):
                        if kind == "same":
                            answer(os.link, f"{a}/from", path, follow_symlinks=False)
                        else:
                            make(kind.replace("full ", ""), path)
                        if kind == "full dir":
                            touch(f"{path}/inside")
                    stamps = age(*{a, b}) if flags in (0, EXCHANGE) else {}
                    got = answer(renameat2, f"{a}/from", f"{b}/to", flags)
                    seen = [look(p) for p in (a, b, f"{a}/from", f"{b}/to")]
                    yield f"{source} to {target}, flags {flags}, {'another' if apart else 'the same'} folder", (got, seen, moved(stamps))
                    remove(a)
                    remove(b)


@table
def rename_places(d):
    os.makedirs(f"{d}/a/b/c")
    touch(f"{d}/f")
    for old, new in (("a", "a/b"), ("a", "a/b/c/x"), ("a/b", "a"), ("a/b/c", "a"), (".", "x"), ("a/.", "x"), ("a/..", "x"), ("a", "."), ("a", "a/.."), ("f", "a/b/"), ("f", "x/"),
                     ("a", "x/"), ("x", "y/"), ("a/b", "f/"), ("f/", "y"), ("none", "none"), ("f", "f"), ("a", "a"), ("a/b", "a/b"), ("f", "a/b/c/f"), ("a/b/c/f", "f")):
        for flags in (0, NOREPLACE, EXCHANGE):
            yield f"{old} to {new} {flags}", (answer(renameat2, f"{d}/{old}", f"{d}/{new}", flags), sorted(os.listdir(d)))
            for back, at in ((f"{d}/x", f"{d}/a"), (f"{d}/y", f"{d}/f")):
                if os.path.lexists(back) and not os.path.lexists(at):
                    os.rename(back, at)


@table
def links(d):
    """Names by the dozen, of each kind that can have them; counts and times after each step."""
    for kind in TYPES:
        os.mkdir(f"{d}/w")
        make(kind, f"{d}/w/0")
        out = []
        for i in range(1, 40):
            got = answer(os.link, f"{d}/w/{i // 2}", f"{d}/w/{i}", follow_symlinks=False)
            out.append((got, look(f"{d}/w/0")))
        numbers = {os.lstat(f"{d}/w/{n}").st_ino for n in os.listdir(f"{d}/w")}
        yield f"{kind}: forty names", (out, len(numbers))
        steps = [answer(os.rename, f"{d}/w/{i}", f"{d}/w/r{i}") for i in range(0, 40, 3)]
        steps += [answer(os.rename, f"{d}/w/r{i}", f"{d}/w/{i + 1}") for i in range(0, 39, 6)]
        yield f"{kind}: renames among them", (steps, sorted((n, look(f"{d}/w/{n}")) for n in os.listdir(f"{d}/w")))
        steps = []
        for name in sorted(os.listdir(f"{d}/w")):
            steps.append((answer(os.rmdir if kind == "dir" else os.unlink, f"{d}/w/{name}"), sorted({look(f"{d}/w/{n}")[3] for n in os.listdir(f"{d}/w")})))
        yield f"{kind}: and away again", steps
        remove(f"{d}/w")
    touch(f"{d}/many", b"many names")
    made = [answer(os.link, f"{d}/many", f"{d}/m{i}") for i in range(300)]
    yield "300 names", (made, os.stat(f"{d}/many").st_nlink, answer(lambda: open(f"{d}/m299", "rb").read()))
    fd = os.open(f"{d}/m7", os.O_RDWR)
    for name in [n for n in os.listdir(d) if n != "m150"]:
        os.unlink(f"{d}/{name}")
    os.pwrite(fd, b"MANY", 0)
    os.close(fd)
    yield "one left", (look(f"{d}/m150"), open(f"{d}/m150", "rb").read())


@table
def directory_links(d):
    """A directory's count is its subdirectories' plus two, whatever comes and goes."""
    out = []
    for i in range(20):
        make(("dir", "regular", "symlink", "dir", "fifo")[i % 5], f"{d}/n{i}")
        out.append(os.stat(d).st_nlink)
    os.rename(f"{d}/n0", f"{d}/n3/in")
    out += [os.stat(d).st_nlink, os.stat(f"{d}/n3").st_nlink]
    os.rename(f"{d}/n5", f"{d}/n8")
    out.append(os.stat(d).st_nlink)
    renameat2(f"{d}/n8", f"{d}/n1", EXCHANGE)
    out.append(os.stat(d).st_nlink)
    renameat2(f"{d}/n1", f"{d}/n3/in", EXCHANGE)
    renameat2(f"{d}/n6", f"{d}/n3/in", EXCHANGE)
    out += [os.stat(d).st_nlink, os.stat(f"{d}/n3").st_nlink]
    yield "counts", out


@table
def removed_but_open(d):
    """What still works on a descriptor whose last name is gone, or whose name is another file's now."""
    for kind in ("regular", "dir"):
        for way in ("removed", "replaced"):
            make(kind, f"{d}/x")
            fd = os.open(f"{d}/x", os.O_RDWR if kind == "regular" else os.O_RDONLY)
            if way == "replaced":
                make(kind, f"{d}/y")
                os.rename(f"{d}/y", f"{d}/x")
            else:
                remove(f"{d}/x")
            st = os.fstat(fd)
            out = [oct(st.st_mode), st.st_nlink, answer(os.fchmod, fd, 0o600), answer(os.fsync, fd), answer(os.utime, fd, ns=(OLD, OLD)), os.fstat(fd).st_mtime_ns]
            out += [answer(os.setxattr, fd, "user.late", b"1"), answer(os.getxattr, fd, "user.late"), answer(os.listxattr, fd)]
            if kind == "regular":
                out += [answer(os.pwrite, fd, b"abc" * 5000, 3), answer(os.ftruncate, fd, 9000), os.fstat(fd).st_size, os.pread(fd, 20, 0), answer(fallocate, fd, PUNCH | KEEP_SIZE, 0, 4096)]
                out.append(answer(name_for, fd, f"{d}/again"))
            else:
                out += [answer(os.listdir, fd), answer(os.mkdir, "q", dir_fd=fd), answer(os.open, "q", os.O_CREAT, dir_fd=fd), answer(os.stat, "..", dir_fd=fd) == "ok"]
            os.close(fd)
            yield f"{kind} {way}", out
            remove(f"{d}/x")
            remove(f"{d}/again")


@table
def tmpfiles(d):
    """O_TMPFILE, and a name for it afterwards."""
    for flags in (os.O_RDWR, os.O_WRONLY, os.O_RDONLY, os.O_RDWR | os.O_EXCL):
        try:
            fd = os.open(d, os.O_TMPFILE | flags, 0o640)
        except OSError as e:
            yield f"open {flags}", errno.errorcode[e.errno]
            continue
        out = [os.fstat(fd).st_nlink, oct(os.fstat(fd).st_mode), os.listdir(d), answer(os.write, fd, b"t" * 9000), answer(os.fchmod, fd, 0o604), os.fstat(fd).st_size]
        out += [answer(os.setxattr, fd, "user.early", b"1"), answer(os.fsync, fd)]
        out.append(answer(name_for, fd, f"{d}/named"))
        out += [os.fstat(fd).st_nlink, answer(os.pwrite, fd, b"more", 0), answer(name_for, fd, f"{d}/named2")]
        os.close(fd)
        out += [look(f"{d}/named"), look(f"{d}/named2"), answer(lambda: open(f"{d}/named2", "rb").read(6)), answer(os.getxattr, f"{d}/named", "user.early")]
        yield f"open {flags}", out
        remove(f"{d}/named")
        remove(f"{d}/named2")
    os.mkdir(f"{d}/sub")
    fds = [os.open(f"{d}/sub", os.O_TMPFILE | os.O_RDWR, 0o600) for _ in range(50)]
    for i, fd in enumerate(fds):
        os.write(fd, b"%d" % i)
    name_for(fds[7], f"{d}/seven")
    out = [os.pread(fd, 9, 0) for fd in fds]
    for fd in fds:
        os.close(fd)
    yield "fifty at once", (out, open(f"{d}/seven", "rb").read(), sorted(os.listdir(d)), os.listdir(f"{d}/sub"))


@table
def large_directory(d):
    """Positions of telldir stay good while the directory is large."""
    n = 20_000 if not os.environ.get("HF_LONG") else 100_000
    for i in range(n):
        os.mknod(f"{d}/entry{i}", stat.S_IFREG | 0o600)
    libc.opendir.restype = libc.readdir64.restype = ctypes.c_void_p
    libc.telldir.restype = ctypes.c_long
    libc.readdir64.argtypes = libc.telldir.argtypes = libc.closedir.argtypes = libc.rewinddir.argtypes = (ctypes.c_void_p,)
    libc.seekdir.argtypes = (ctypes.c_void_p, ctypes.c_long)
    stream = libc.opendir(os.fsencode(d))
    name = lambda entry: ctypes.string_at(entry + 19)
    order, places = [], []
    while True:
        places.append(libc.telldir(stream))
        entry = libc.readdir64(stream)
        if not entry:
            break
        order.append(name(entry))
    good = 0
    picks = list(range(0, len(order), max(1, len(order) // 200)))
    for i in picks + picks[::-1]:
        libc.seekdir(stream, places[i])
        good += name(libc.readdir64(stream)) == order[i]
    libc.rewinddir(stream)
    first = name(libc.readdir64(stream)) == order[0]
    libc.closedir(stream)
    yield "positions", (len(order), len(set(order)), good, first, n + 2 == len(order))
    for i in range(n):
        os.unlink(f"{d}/entry{i}")
    yield "empty again", (os.listdir(d), os.stat(d).st_nlink)


@table
def long_targets(d):
    for n in (1, 59, 60, 255, 1023, 1024, 3055, 3056, 4094, 4095, 4096):
        target = ("/" + "t" * 99) * 41
        got = answer(os.symlink, target[:n], f"{d}/s{n}")
        yield f"symlink of {n}", (got, look(f"{d}/s{n}"), answer(os.readlink, f"{d}/s{n}") == target[:n], answer(os.link, f"{d}/s{n}", f"{d}/h{n}", follow_symlinks=False),
                                 answer(os.readlink, f"{d}/h{n}") == target[:n], answer(os.rename, f"{d}/h{n}", f"{d}/r{n}"), answer(os.readlink, f"{d}/r{n}") == target[:n])
    yield "empty", answer(os.symlink, "", f"{d}/e")
