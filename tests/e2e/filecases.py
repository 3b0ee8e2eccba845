"""What ordinary programs do with names and attributes, for files.py."""
import ctypes, os, random, socket, stat, threading, time

from filekit import *


@case
def rename(d):
    out = []
    for name in "abcdef":
        put(f"{d}/{name}", name.encode() * 5000)
    os.makedirs(f"{d}/full/in")
    put(f"{d}/full/in/x", b"deep")
    os.mkdir(f"{d}/empty")
    os.mkdir(f"{d}/empty2")
    os.utime(f"{d}/full", ns=(PAST, PAST))
    os.utime(f"{d}/full/in", ns=(PAST, PAST))
    os.symlink("target", f"{d}/l1")
    os.symlink("other", f"{d}/l2")
    fd = os.open(f"{d}/b", os.O_RDWR)
    r = lambda a, b, f=0: out.append(get(renameat2, f"{d}/{a}", f"{d}/{b}", f))
    r("a", "b")
    out += [os.pread(fd, 9, 0), os.fstat(fd).st_nlink, os.pwrite(fd, b"still", 4), os.pread(fd, 9, 0)]
    os.close(fd)
    r("b", "c", NOREPLACE)
    r("b", "g", NOREPLACE)
    r("c", "d", EXCHANGE)
    r("c", "none", EXCHANGE)
    r("none", "x")
    r("g", "empty")
    r("empty", "g")
    r("empty", "full")
    r("full", "empty")
    r("empty/in", "empty2/in2")
    r("empty2", "empty2/in2/below")
    r("empty", "c", EXCHANGE)
    r("c", "empty2", EXCHANGE)
    r("e", "e")
    r("e", "empty2/in2/e")
    os.link(f"{d}/f", f"{d}/f2")
    r("f", "f2")
    r("l1", "l2")
    r("l2", "c")
    r("l2", "moved")
    r("moved", "g")
    r("g", "empty/l")
    r("empty", "e2")
    out.append(sorted(os.listdir(d)))
    os.mkdir(f"{d}/up")
    os.mkdir(f"{d}/up/down")
    r("up/down", "up/../top")
    r("top/.", "q")
    r("up", "top/..")
    for name in ("x", "y"):
        os.symlink(name * 3, f"{d}/s{name}")
    r("sx", "new", NOREPLACE)
    r("sy", "new", NOREPLACE)
    put(f"{d}/overlink", b"x")
    r("overlink", "new")
    return out


@case
def hard_links(d):
    out = []
    put(f"{d}/a", b"one")
    for i in range(6):
        os.link(f"{d}/a", f"{d}/l{i}")
    os.mkdir(f"{d}/sub")
    os.link(f"{d}/l3", f"{d}/sub/m")
    out += [os.stat(f"{d}/a").st_nlink, os.stat(f"{d}/a").st_ino == os.stat(f"{d}/sub/m").st_ino]
    out += [get(os.link, f"{d}/a", f"{d}/l0"), get(os.link, d, f"{d}/dir"), get(os.link, f"{d}/none", f"{d}/x")]
    put(f"{d}/l2", b"changed everywhere", flags=os.O_WRONLY)
    out.append(cat(f"{d}/sub/m"))
    os.unlink(f"{d}/a")
    os.unlink(f"{d}/l3")
    os.chmod(f"{d}/l1", 0o640)
    os.rename(f"{d}/l1", f"{d}/sub/l1")
    for i in range(30):
        os.link(f"{d}/l2", f"{d}/t")
        os.unlink(f"{d}/t")
    out += [os.stat(f"{d}/l2").st_nlink, cat(f"{d}/sub/l1")]
    os.mkdir(f"{d}/from")
    os.symlink("a link that gets a name elsewhere", f"{d}/from/s")
    os.utime(f"{d}/from", ns=(PAST, PAST + 5))
    os.link(f"{d}/from/s", f"{d}/t", follow_symlinks=False)
    out += [os.stat(f"{d}/from").st_mtime_ns, os.readlink(f"{d}/t")]  # its old directory did not change
    for kind in ("file", "link"):  # more names than a header has place for
        top = f"{d}/{kind}s"
        os.mkdir(top)
        put(f"{top}/0", b"many") if kind == "file" else os.symlink("many", f"{top}/0")
        for i in range(1, 50):
            os.link(f"{top}/{i - 1}", f"{top}/{i}", follow_symlinks=False)
        for i in range(0, 50, 7):
            os.rename(f"{top}/{i}", f"{top}/r{i}")
        for i in range(1, 50, 9):
            out.append(get(os.unlink, f"{top}/{i}"))
    return out


@case
def exchanged_links(d):
    out = []
    os.symlink("one", f"{d}/a")
    os.symlink("two", f"{d}/b")
    os.mkdir(f"{d}/dir")
    put(f"{d}/c", b"file")
    out += [get(renameat2, f"{d}/a", f"{d}/b", EXCHANGE), os.readlink(f"{d}/a"), get(renameat2, f"{d}/a", f"{d}/c", EXCHANGE), cat(f"{d}/a")]
    out += [get(renameat2, f"{d}/c", f"{d}/dir", EXCHANGE), os.readlink(f"{d}/dir"), get(os.rename, f"{d}/dir", f"{d}/c/in"), os.readlink(f"{d}/c/in")]
    put(f"{d}/odd", b"a mode of its own")
    os.chmod(f"{d}/odd", 0o1600)
    put(f"{d}/born odd", b"", mode=0o1600)
    return out


@case
def symlinks(d):
    out = []
    for n in (1, 15, 59, 60, 100, 1000, 3054, 3055, 3056, 4000, 4094, 4095):
        os.symlink("t" * n, f"{d}/s{n}")
        out += [os.lstat(f"{d}/s{n}").st_size, len(os.readlink(f"{d}/s{n}"))]
        os.rename(f"{d}/s{n}", f"{d}/r{n}")
        out.append(os.readlink(f"{d}/r{n}") == "t" * n)
        os.utime(f"{d}/r{n}", ns=(PAST, PAST + n), follow_symlinks=False)
    out += [get(os.symlink, "t" * 4096, f"{d}/big"), get(os.symlink, "", f"{d}/none"), get(os.symlink, "x", f"{d}/r1")]
    os.symlink(b"\xff\x01 bytes", f"{d}/bytes")
    put(f"{d}/file", b"here")
    os.symlink("file", f"{d}/good")
    os.symlink("loop", f"{d}/loop")
    out += [cat(f"{d}/good"), get(cat, f"{d}/loop"), get(cat, f"{d}/r15"), os.readlink(os.fsencode(f"{d}/bytes")), get(os.readlink, f"{d}/file")]
    os.unlink(f"{d}/r60")
    os.unlink(f"{d}/r4094")
    return out


@case
def directories(d):
    out = []
    os.makedirs(f"{d}/a/b/c/d/e/f")
    os.mkdir(f"{d}/mode", 0o711)
    os.mkdir(f"{d}/m2", 0o500)
    out += [get(os.mkdir, f"{d}/a"), get(os.rmdir, f"{d}/a"), get(os.rmdir, f"{d}/none"), get(os.unlink, f"{d}/a"), get(os.mkdir, f"{d}/none/x")]
    put(f"{d}/file")
    out += [get(os.rmdir, f"{d}/file"), get(os.mkdir, f"{d}/file/x"), get(os.rmdir, f"{d}/a/b/c/d/e/f"), get(os.rmdir, f"{d}/a/.")]
    fd = os.open(f"{d}/a/b", os.O_RDONLY)
    out += [os.listdir(fd), get(os.fsync, fd), get(os.unlink, "c", dir_fd=fd), get(os.mkdir, "viafd", dir_fd=fd)]
    os.close(fd)
    os.mkdir(f"{d}/gone")
    fd = os.open(f"{d}/gone", os.O_RDONLY)
    os.rmdir(f"{d}/gone")
    out += [get(os.mkdir, "x", dir_fd=fd), os.fstat(fd).st_nlink, get(os.listdir, fd)]
    os.close(fd)
    os.mkdir(f"{d}/setgid", 0o755)
    if ROOT:
        os.chown(f"{d}/setgid", 0, 50)
    os.chmod(f"{d}/setgid", 0o2755)
    os.mkdir(f"{d}/setgid/sub")
    put(f"{d}/setgid/file")
    os.symlink("x", f"{d}/setgid/link")
    os.mkfifo(f"{d}/setgid/fifo")
    return out


@case
def modes_and_owners(d):
    out = []
    old = os.umask(0)
    for mode in (0, 0o400, 0o600, 0o777, 0o1644, 0o2755, 0o4755, 0o6711, 0o7777):
        put(f"{d}/c{mode:o}", b"x", mode)
        put(f"{d}/m{mode:o}", b"x")
        out.append(get(os.chmod, f"{d}/m{mode:o}", mode))
        os.mkdir(f"{d}/d{mode:o}")
        os.utime(f"{d}/d{mode:o}", ns=(PAST, PAST))
        os.chmod(f"{d}/d{mode:o}", mode)
    os.umask(0o077)
    put(f"{d}/masked", b"", 0o666)
    os.mkdir(f"{d}/maskeddir")
    os.umask(old)
    if ROOT:
        for who in ((1, 2), (1000, -1), (-1, 1000), (65534, 65534)):
            put(f"{d}/o{who}", b"x", 0o6755)
            os.chmod(f"{d}/o{who}", 0o6755)
            out.append(get(os.chown, f"{d}/o{who}", *who))
            out.append(oct(os.stat(f"{d}/o{who}").st_mode))
            os.mkdir(f"{d}/od{who}")
            os.chown(f"{d}/od{who}", *who)
            os.symlink("x", f"{d}/ol{who}")
            os.lchown(f"{d}/ol{who}", *who)
        put(f"{d}/suid", b"x")
        os.chmod(f"{d}/suid", 0o6777)
        os.chown(f"{d}/suid", 1000, 1000)
        os.chmod(f"{d}/suid", 0o6777)
        put(f"{d}/suid", b"yy", flags=os.O_WRONLY)
    put(f"{d}/time", b"x")
    os.utime(f"{d}/time", ns=(PAST, PAST))
    os.chmod(f"{d}/time", 0o600)
    return out


@case
def lost_privileges(d):
    """[NM-8] Set-id bits and capabilities go with a write, a change of size, a new owner; by a caller without CAP_FSETID both, by root the capabilities alone."""
    out = []
    capability = bytes.fromhex("0100000202000000000000000000000000000000")
    ways = {"write": lambda p: put(p, b"new", flags=os.O_WRONLY), "append": lambda p: put(p, b"new", flags=os.O_WRONLY | os.O_APPEND),
            "cut": lambda p: os.truncate(p, 1), "grow": lambda p: os.truncate(p, 100000), "emptied": lambda p: put(p, flags=os.O_WRONLY | os.O_TRUNC),
            "owner": lambda p: os.chown(p, os.getuid(), os.getgid()), "read": cat}
    for name, way in ways.items():
        for mode in (0o6755, 0o2745, 0o4700, 0o755):
            path = f"{d}/{name}{mode:o}"
            put(path, b"old content")
            os.setxattr(path, "user.note", b"stays")
            if ROOT:
                os.setxattr(path, "security.capability", capability)
            os.chmod(path, mode)
            def bare():
                """In a child that has no CAP_FSETID (and as a plain user just so)."""
                pid = os.fork()
                if pid == 0:
                    if ROOT:
                        header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
                        libc.syscall(125, header, data) # capget
                        data[0] &= ~(1 << 4)
                        libc.syscall(126, header, data) # capset
                    way(path)
                    os._exit(0)
                return os.waitpid(pid, 0)[1]
            out.append([name, oct(mode), get(bare), oct(os.stat(path).st_mode), get(os.getxattr, path, "security.capability"), get(os.getxattr, path, "user.note")])
            if ROOT:
                os.chmod(path, mode)
                os.setxattr(path, "security.capability", capability)
                out.append([get(way, path) is None, oct(os.stat(path).st_mode), get(os.getxattr, path, "security.capability")])
    return out


@case
def times(d):
    out = []
    put(f"{d}/f", b"x")
    os.mkdir(f"{d}/d")
    for p in ("f", "d"):
        for t in (0, 1, PAST, -PAST, 2 ** 31 * 10 ** 9 + 5, 999_999_999):
            os.utime(f"{d}/{p}", ns=(t, t + 1))
            st = os.stat(f"{d}/{p}")
            out += [st.st_atime_ns, st.st_mtime_ns]
    os.utime(f"{d}/f", ns=(PAST, PAST))
    before = os.stat(f"{d}/f")
    cat(f"{d}/f")
    out.append(os.stat(f"{d}/f").st_mtime_ns)
    time.sleep(0.02)
    put(f"{d}/f", b"y", flags=os.O_WRONLY)
    after = os.stat(f"{d}/f")
    out += [after.st_mtime_ns > before.st_mtime_ns, after.st_ctime_ns > before.st_ctime_ns, time.time() - after.st_mtime < 5]
    os.utime(f"{d}/d", ns=(PAST, PAST))
    put(f"{d}/d/new")
    out.append(os.stat(f"{d}/d").st_mtime_ns > PAST)
    os.utime(f"{d}/d", ns=(PAST, PAST))
    os.unlink(f"{d}/d/new")
    out.append(os.stat(f"{d}/d").st_mtime_ns > PAST)
    for p, again in (("stamp", lambda p: put(p)), ("stamp2", lambda p: os.truncate(p, 0))):
        put(f"{d}/{p}")
        os.utime(f"{d}/{p}", ns=(PAST, PAST))
        again(f"{d}/{p}")
        out.append(os.stat(f"{d}/{p}").st_mtime_ns > PAST)
    put(f"{d}/held", b"abc")
    fd = os.open(f"{d}/held", os.O_RDWR)
    os.write(fd, b"new data")
    os.utime(fd, ns=(PAST, PAST + 7))
    os.close(fd)
    put(f"{d}/old", noise(50_000))
    os.utime(f"{d}/old", ns=(PAST, PAST))
    os.rename(f"{d}/old", f"{d}/older")
    os.link(f"{d}/older", f"{d}/oldest")
    return out


@case
def xattrs(d):
    out = []
    put(f"{d}/f", b"x")
    os.mkdir(f"{d}/dir")
    for p in (f"{d}/f", f"{d}/dir"):
        out.append(get(os.getxattr, p, "user.none"))
        for name, value in (("user.a", b"1"), ("user.b", b""), ("user.c", bytes(range(256))), ("user." + "n" * 100, b"long name"), ("user.ü", b"x")):
            out.append(get(os.setxattr, p, name, value))
            out.append(get(os.getxattr, p, name))
        out += [get(os.setxattr, p, "user.a", b"2", os.XATTR_CREATE), get(os.setxattr, p, "user.x", b"2", os.XATTR_REPLACE)]
        out += [get(os.setxattr, p, "user.new", b"2", os.XATTR_CREATE), get(os.setxattr, p, "user.a", b"22", os.XATTR_REPLACE)]
        out += [get(os.removexattr, p, "user.b"), get(os.removexattr, p, "user.b"), sorted(os.listxattr(p))]
        out += [get(os.getxattr, p, "user.a"), get(os.setxattr, p, "user.big", noise(2000)), get(os.getxattr, p, "user.big")]
        buffer = ctypes.create_string_buffer(1)
        out.append(get(lambda: C(libc.getxattr(os.fsencode(p), b"user.c", buffer, 1))))
        out.append(get(os.setxattr, p, "user.", b"x"))
        out.append(get(os.setxattr, p, "nonsense.a", b"x"))
    os.chmod(f"{d}/f", 0o600)
    os.rename(f"{d}/f", f"{d}/dir/f")
    os.rename(f"{d}/dir", f"{d}/dir2")
    out.append({n: os.getxattr(f"{d}/dir2/f", n) for n in sorted(os.listxattr(f"{d}/dir2/f"))})
    os.symlink("f", f"{d}/dir2/l")
    out.append(get(os.setxattr, f"{d}/dir2/l", "user.a", b"x", follow_symlinks=False))
    if ROOT:
        out += [get(os.setxattr, f"{d}/dir2/f", "trusted.t", b"x"), get(os.getxattr, f"{d}/dir2/f", "trusted.t")]
    return out


@case
def many_xattrs(d):
    put(f"{d}/f", b"x")
    for i in range(40):
        os.setxattr(f"{d}/f", f"user.k{i}", b"v%d" % i)
    for i in range(0, 40, 3):
        os.removexattr(f"{d}/f", f"user.k{i}")
    return [sorted(os.listxattr(f"{d}/f"))]


@case
def statfs(d):
    st = os.statvfs(d)
    return [st.f_namemax, st.f_bavail > 0, st.f_files > 0, st.f_bsize >= 512]


@case
def names(d):
    out = []
    rng = random.Random(5)
    alphabet = bytes(set(range(1, 256)) - {ord("/")})
    for n in (1, 15, 16, 17, 127, 128, 173, 174, 175, 176, 177, 190, 191, 192, 200, 250, 254, 255):
        name = bytes(rng.choice(alphabet) for _ in range(n))
        name = b"q" + name[1:] if name in (b".", b"..") else name
        p = os.fsencode(d) + b"/" + name
        put(p, name)
        out.append(cat(p) == name)
        other = bytes(rng.choice(alphabet) for _ in range(n - 1)) + b"2"
        os.rename(p, os.fsencode(d) + b"/" + other)
        os.link(os.fsencode(d) + b"/" + other, os.fsencode(d) + b"/L" + other[1:])
        os.mkdir(os.fsencode(d) + b"/D" + other[1:])
        os.symlink(other, os.fsencode(d) + b"/S" + other[1:])
    out += [get(put, f"{d}/" + "n" * 256), get(os.mkdir, f"{d}/" + "n" * 256), get(os.rename, f"{d}/none", f"{d}/" + "m" * 256)]
    for odd in (".hf", ".hf+", ".hf~x", ".holdfast", "Lx", "L" + "A" * 43, "...", "..x", " ", "\n", "\\", "con", "é", "e\u0301"):
        out.append(get(put, f"{d}/{odd}", odd.encode()))
        out.append(get(cat, f"{d}/{odd}"))
    long = "u" * 255
    put(f"{d}/{long}", b"x")
    os.unlink(f"{d}/{long}")
    os.mkdir(f"{d}/{long}")
    put(f"{d}/{long}/{'v' * 255}", b"deep")
    os.rename(f"{d}/{long}", f"{d}/{'w' * 255}")
    out += [cat(f"{d}/{'w' * 255}/{'v' * 255}"), len(os.listdir(d))]
    return out


@case
def readdir_while_changing(d):
    """Entries that stay are listed exactly once, whatever comes and goes beside them."""
    for i in range(5000):
        os.close(os.open(f"{d}/stay{i}", os.O_CREAT | os.O_WRONLY))
    end = threading.Event()

    def change():
        i = 0
        while not end.is_set():
            put(f"{d}/go{i}", b"")
            if i >= 20:
                os.unlink(f"{d}/go{i - 20}")
            i += 1
        for k in range(max(0, i - 20), i):
            os.unlink(f"{d}/go{k}")

    worker = threading.Thread(target=change)
    worker.start()
    out = []
    for _ in range(3):
        listed = [e.name for e in os.scandir(d) if e.name.startswith("stay")]
        out.append((len(listed), len(set(listed))))
    end.set()
    worker.join()
    for e in os.scandir(d):  # deleting while listing
        if int(e.name[4:]) % 2:
            os.unlink(e.path)
    left = sorted(os.listdir(d))
    out.append(len(left))
    for name in left[: len(left) - 50]:
        os.unlink(f"{d}/{name}")
    return out


@case
def special(d):
    out = [get(os.mkfifo, f"{d}/fifo", 0o640), oct(os.stat(f"{d}/fifo").st_mode)]
    s = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(d)
    out.append(get(s.bind, "sock"))
    s.listen()
    c = socket.socket(socket.AF_UNIX)
    out.append(get(c.connect, "sock"))
    os.chdir(here)
    s.close(), c.close()

    def feed():
        with open(f"{d}/fifo", "wb") as f:
            f.write(b"through the pipe")

    worker = threading.Thread(target=feed)
    worker.start()
    out.append(cat(f"{d}/fifo"))
    worker.join()
    if ROOT:
        out += [get(os.mknod, f"{d}/chr", 0o600 | stat.S_IFCHR, os.makedev(1, 3)), get(os.mknod, f"{d}/blk", 0o600 | stat.S_IFBLK, os.makedev(7, 9))]
        os.chmod(f"{d}/chr", 0o644)
        os.chown(f"{d}/chr", 3, 4)
    out.append(get(os.mknod, f"{d}/reg", 0o600 | stat.S_IFREG))
    os.rename(f"{d}/fifo", f"{d}/fifo2")
    os.link(f"{d}/fifo2", f"{d}/fifo3")
    os.utime(f"{d}/fifo2", ns=(PAST, PAST))
    return out


@case
def as_another_user(d):
    """Permissions, checked by the kernel, from the modes that the mount shows. (Root's mount is root's alone without --allow-other.)"""
    out = []
    os.mkdir(f"{d}/no", 0o000)
    put(f"{d}/ro", b"x", 0o400)
    out.append(get(os.access, f"{d}/ro", os.W_OK))
    out.append(get(os.access, f"{d}/no", os.X_OK))
    out.append(get(os.access, f"{d}/ro", os.X_OK))
    return out
