"""What ordinary programs do with a file's content, for files.py."""
import fcntl, hashlib, mmap, os, struct, subprocess, sys

from filekit import *


@case
def create_append_overwrite(d):
    out = []
    for n in (0, 1, 3391, 3392, 3393, 4064, 7455, 7456, 7457, 100_000, 1 << 20):
        put(f"{d}/f{n}", noise(n))
        put(f"{d}/f{n}", noise(5000, 2), flags=os.O_WRONLY | os.O_APPEND)
        fd = os.open(f"{d}/f{n}", os.O_RDWR)
        out += [os.pwrite(fd, b"x" * 10, at) for at in (0, 3387, 7450, n, n + 4999)]
        out += [os.pread(fd, 100, at) for at in (3380, n - 5 if n > 5 else 0, n + 6000)]
        out.append(os.fstat(fd).st_size)
        os.close(fd)
    out.append(get(os.open, f"{d}/f0", os.O_CREAT | os.O_EXCL))
    out.append(get(os.open, f"{d}/none", os.O_RDONLY))
    out.append(get(os.open, f"{d}/f0/x", os.O_RDONLY))
    out.append(get(os.open, f"{d}/none/x", os.O_CREAT | os.O_RDWR))
    out.append(get(os.open, d, os.O_WRONLY))
    out.append(get(os.open, f"{d}/f0", os.O_DIRECTORY))
    fd = os.open(f"{d}/f0", os.O_RDONLY)
    out.append(get(os.write, fd, b"x"))
    out.append(get(os.ftruncate, fd, 1))
    os.close(fd)
    return out


@case
def truncate(d):
    out, data = [], noise(50_000)
    for n in (0, 1, 3391, 3392, 3393, 7456, 7457, 30_000, 49_999, 50_000, 50_001, 200_000):
        p = f"{d}/t{n}"
        put(p, data)
        os.truncate(p, n)
        out.append(hashlib.sha256(cat(p)).hexdigest())
        os.truncate(p, 60_000)
        out.append(hashlib.sha256(cat(p)).hexdigest())
        put(p, b"tail", flags=os.O_WRONLY | os.O_APPEND)
        for m in (40_000, 10, 20_000, 3392, 3393, 0, 9_000):
            os.truncate(p, m)
            out.append(hashlib.sha256(cat(p)).hexdigest())
    put(f"{d}/again", data)
    put(f"{d}/again", b"short")
    out += [cat(f"{d}/again"), get(os.truncate, d, 0), get(os.truncate, f"{d}/none", 0), get(os.truncate, f"{d}/again", -1)]
    os.utime(f"{d}/again", ns=(PAST, PAST))
    fd = os.open(f"{d}/again", os.O_WRONLY)
    os.ftruncate(fd, 3)
    os.close(fd)
    return out


def segments(fd, size):
    """Data according to SEEK_DATA; all else must read as zeros."""
    at, found = 0, []
    while at < size:
        start = get(os.lseek, fd, at, os.SEEK_DATA)
        if start == "ENXIO":
            break
        end = os.lseek(fd, start, os.SEEK_HOLE)
        found.append((start, end))
        at = end
    return found


def holes_are_zero(path):
    size, data = os.stat(path).st_size, cat(path)
    fd = os.open(path, os.O_RDONLY)
    at, good = 0, True
    for start, end in segments(fd, size) + [(size, size)]:
        good = good and not any(data[at:start])
        at = end
    os.close(fd)
    return good


@case
def sparse(d):
    out = []
    fd = os.open(f"{d}/s", os.O_CREAT | os.O_RDWR)
    for at in (0, 1 << 20, 5 << 20, 40 << 20):
        os.pwrite(fd, noise(10_000, at), at)
    os.ftruncate(fd, 50 << 20)
    size = 50 << 20
    out.append(os.fstat(fd).st_size)
    found = segments(fd, size)
    out += [len(found), [abs(s - at) < 8192 and abs(e - at - 10_000) < 8192 for (s, e), at in zip(found, (0, 1 << 20, 5 << 20, 40 << 20))]]
    out += [get(os.lseek, fd, size, os.SEEK_DATA), get(os.lseek, fd, size, os.SEEK_HOLE), get(os.lseek, fd, 45 << 20, os.SEEK_DATA)]
    out += [os.lseek(fd, 45 << 20, os.SEEK_HOLE), get(os.lseek, fd, -1, os.SEEK_DATA), os.fstat(fd).st_blocks < 1000]
    os.close(fd)
    out += [holes_are_zero(f"{d}/s")]
    for i in range(12):
        put(f"{d}/tail{i}", b"x" * (1000 * i))
        os.truncate(f"{d}/tail{i}", 100_000)
        fd = os.open(f"{d}/tail{i}", os.O_WRONLY)
        os.pwrite(fd, b"late", 50_000 + i * 4000)
        os.close(fd)
        out.append(holes_are_zero(f"{d}/tail{i}"))
    return out


@case
def falloc(d):
    out = []
    put(f"{d}/p", noise(100_000))
    fd = os.open(f"{d}/p", os.O_RDWR)
    for mode, offset, length in ((PUNCH | KEEP_SIZE, 0, 100), (PUNCH | KEEP_SIZE, 3000, 1000), (PUNCH | KEEP_SIZE, 20_000, 30_000), (PUNCH | KEEP_SIZE, 99_000, 5000),
                                 (ZERO, 60_000, 10_000), (ZERO, 95_000, 10_000), (ZERO | KEEP_SIZE, 104_000, 10_000), (0, 0, 50_000), (0, 110_000, 10_000),
                                 (KEEP_SIZE, 0, 200_000), (PUNCH, 0, 10), (PUNCH | KEEP_SIZE, 0, 0), (PUNCH | KEEP_SIZE, 500_000, 100), (0, 0, -1), (KEEP_SIZE, -1, 10)):
        out += [get(fallocate, fd, mode, offset, length), os.fstat(fd).st_size]
        out.append(hashlib.sha256(os.pread(fd, 300_000, 0)).hexdigest())
    os.pwrite(fd, b"into the hole", 30_000)
    os.ftruncate(fd, 35_000)
    os.ftruncate(fd, 80_000)
    out.append(hashlib.sha256(os.pread(fd, 300_000, 0)).hexdigest())
    os.close(fd)
    out.append(holes_are_zero(f"{d}/p"))
    put(f"{d}/q", noise(500_000))
    fd = os.open(f"{d}/q", os.O_RDWR)
    for at in range(0, 500_000, 37_000):
        fallocate(fd, PUNCH | KEEP_SIZE, at, 9_000)
    for at in range(5_000, 500_000, 74_000):
        os.pwrite(fd, b"back" * 500, at)
    os.close(fd)
    out.append(holes_are_zero(f"{d}/q"))
    return out


@case
def mappings(d):
    out = []
    put(f"{d}/m", noise(100_000))
    fd = os.open(f"{d}/m", os.O_RDWR)
    a, b = mmap.mmap(fd, 100_000), mmap.mmap(fd, 100_000)
    a[50_000:50_010] = b"0123456789"
    out.append(b[50_000:50_010])
    os.pwrite(fd, b"by write", 60_000)
    out.append(a[60_000:60_008])
    a[99_990:] = b"to the end"
    out.append(os.pread(fd, 20, 99_985))
    private = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE)
    private[0:4] = b"mine"
    a.flush()
    os.fsync(fd)
    a.close(), b.close(), private.close()
    os.close(fd)
    out.append(hashlib.sha256(cat(f"{d}/m")).hexdigest())
    fd = os.open(f"{d}/grown", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 1 << 20)
    m = mmap.mmap(fd, 1 << 20)
    for at in range(0, 1 << 20, 65_536):
        m[at:at + 3] = b"abc"
    m.close()
    os.close(fd)
    return out


@case
def direct(d):
    out = []
    fd = os.open(f"{d}/o", os.O_CREAT | os.O_RDWR | os.O_DIRECT)
    block = mmap.mmap(-1, 1 << 16)
    block[:] = noise(1 << 16)
    out += [get(os.pwrite, fd, block, 0), get(os.pwrite, fd, block, 1 << 18)]
    for at, n in ((0, 4096), (1 << 18, 8192), (3 << 16, 1 << 16), ((1 << 18) + 61_440, 65_536)):
        target = mmap.mmap(-1, n)
        got = get(os.preadv, fd, [target], at)
        out += [got, bytes(target[:got]) if isinstance(got, int) else got]
    plain = os.open(f"{d}/o", os.O_RDWR)
    os.pwrite(plain, b"buffered", 100)
    target = mmap.mmap(-1, 4096)
    os.preadv(fd, [target], 0)
    out.append(target[100:108])
    block[:8] = b"directly"
    os.pwrite(fd, block, 0)
    out.append(os.pread(plain, 8, 0))
    os.close(fd), os.close(plain)
    return out


@case
def locks(d):
    out = []
    put(f"{d}/l", b"x" * 100)
    a, b = os.open(f"{d}/l", os.O_RDWR), os.open(f"{d}/l", os.O_RDWR)
    out += [get(fcntl.flock, a, fcntl.LOCK_EX | fcntl.LOCK_NB), get(fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB), get(fcntl.flock, b, fcntl.LOCK_SH | fcntl.LOCK_NB)]
    fcntl.flock(a, fcntl.LOCK_UN)
    out.append(get(fcntl.flock, b, fcntl.LOCK_EX | fcntl.LOCK_NB))
    fcntl.lockf(a, fcntl.LOCK_EX, 10, 0)
    code = "import fcntl,os,sys\nf=os.open(sys.argv[1],os.O_RDWR)\nfor s,n in ((0,5),(10,5)):\n try: fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB,n,s); print('got')\n except OSError as e: print(e.errno)"
    out.append(subprocess.run([sys.executable, "-c", code, f"{d}/l"], capture_output=True, text=True).stdout)
    ofd = struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 50, 10, 0)
    out.append(get(fcntl.fcntl, a, 37, ofd) == ofd)
    out.append(get(fcntl.fcntl, b, 37, ofd))
    os.close(a), os.close(b)
    return out


@case
def copy_range(d):
    out = []
    put(f"{d}/src", noise(300_000))
    a, b = os.open(f"{d}/src", os.O_RDONLY), os.open(f"{d}/dst", os.O_CREAT | os.O_RDWR)
    done = 0
    while done < 300_000:
        n = get(os.copy_file_range, a, b, 300_000 - done, done, done)
        if not isinstance(n, int) or n == 0:
            out.append(n)
            break
        done += n
    out += [done, get(os.copy_file_range, a, b, 1000, 5, 400_000), get(os.copy_file_range, a, b, 10, 300_000, 0)]
    os.close(a), os.close(b)
    return out


@case
def unlinked_open(d):
    out = []
    put(f"{d}/u", noise(20_000))
    fd = os.open(f"{d}/u", os.O_RDWR)
    os.unlink(f"{d}/u")
    out += [os.fstat(fd).st_nlink, os.fstat(fd).st_size, os.pread(fd, 10, 19_990), os.pwrite(fd, b"more", 30_000), os.fstat(fd).st_size]
    os.ftruncate(fd, 5)
    out += [os.pread(fd, 100, 0), get(os.fchmod, fd, 0o600), oct(os.fstat(fd).st_mode), get(os.fsync, fd), get(os.open, f"{d}/u", os.O_RDONLY)]
    put(f"{d}/u", b"another")
    out += [os.pread(fd, 10, 0), cat(f"{d}/u"), get(os.setxattr, fd, "user.a", b"x"), get(os.getxattr, fd, "user.a"), get(os.utime, fd, ns=(PAST, PAST))]
    out.append(os.fstat(fd).st_mtime_ns)
    if ROOT:
        out.append(get(os.fchown, fd, 5, 6))
    os.close(fd)
    put(f"{d}/over", b"old")
    fd = os.open(f"{d}/over", os.O_RDWR)
    put(f"{d}/new", b"new")
    os.rename(f"{d}/new", f"{d}/over")
    out += [os.pread(fd, 9, 0), os.fstat(fd).st_nlink, os.pwrite(fd, b"OLD", 0), cat(f"{d}/over")]
    os.close(fd)
    return out
