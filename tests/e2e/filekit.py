"""What the cases of files.py share: a case is a function that works in a folder of its own and returns what it saw."""
import ctypes, errno, fcntl, hashlib, mmap, os, random, socket, stat, struct, subprocess, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
ROOT = os.geteuid() == 0
NOREPLACE, EXCHANGE = 1, 2
KEEP_SIZE, PUNCH, COLLAPSE, ZERO, INSERT = 1, 2, 8, 16, 32
PAST = 1_000_000_000_123_456_789
cases = []


def case(function):
    cases.append(function)
    return function


def C(result):
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def renameat2(a, b, flags):
    return C(libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), flags))


def fallocate(fd, mode, offset, length):
    return C(libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)))


def get(function, *args, **named):
    """The result, or the errno's name."""
    try:
        return function(*args, **named)
    except OSError as e:
        return errno.errorcode.get(e.errno, e.errno)


def put(path, data=b"", mode=0o644, flags=os.O_CREAT | os.O_WRONLY | os.O_TRUNC):
    fd = os.open(path, flags, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view):]
    finally:
        os.close(fd)


def cat(path):
    with open(path, "rb") as f:
        return f.read()


def digest(path):
    return hashlib.sha256(cat(path)).hexdigest()[:16]


def noise(n, seed=1):
    return random.Random(seed).randbytes(n)
