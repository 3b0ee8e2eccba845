#!/usr/bin/env python3
"""Many files, large files, many writers: cost per operation stays, memory comes back. HF_LONG=1: a million files. scale.py BUILD [FILES]

The cost is the filesystem's processor time, which does not depend on the machine's load."""
import os, random, subprocess, sys, threading, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]
LONG = os.environ.get("HF_LONG") == "1"
FILES = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000 if LONG else 40_000
ROOT = os.geteuid() == 0
BASE = 64 << 20  # what the program has whatever the number of files: idle contents, the index, what the heap keeps


def rss(pid):
    return next(int(l.split()[1]) * 1024 for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS"))


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forget():
    """The kernel lets go of what it knows of the mount."""
    with open("/proc/sys/vm/drop_caches", "w") as f:
        f.write("2")


def many_files():
    v = Vault(BUILD)
    v.open()
    pid = v.pids()["holdfast-fs"]
    before, parts, top = rss(pid), [], v.path("top")
    os.mkdir(top)
    part = FILES // 5
    for d in range(FILES // 1000):
        if d * 1000 % part == 0:
            parts.append(cpu(pid))
        os.mkdir(f"{top}/{d}")
        for i in range(1000):
            os.close(os.open(f"{top}/{d}/file {i}", os.O_CREAT | os.O_WRONLY, 0o644))
    parts.append(cpu(pid))
    costs = [(b - a) / part * 1e6 for a, b in zip(parts, parts[1:])]
    print(f"{FILES} files: create {' '.join(f'{c:.0f}' for c in costs)} us of processor time each, memory {(rss(pid) - before) / FILES:.0f} bytes each")
    check(max(costs[1:]) < 2 * costs[0] + 20, f"creating a file costs the same with few and with many: {costs}")
    def walk():
        return sum(1 for folder, _, names in os.walk(top) for name in names if os.lstat(f"{folder}/{name}").st_size == 0)
    for turn in ("first", "second"):
        if ROOT:
            forget()
        start = cpu(pid)
        check(walk() == FILES, f"all are listed and looked at, {turn} time")
        print(f"list and stat: {(cpu(pid) - start) / FILES * 1e6:.0f} us each, memory {(rss(pid) - before) / FILES:.0f} bytes each")
    if ROOT:
        forget()
        check(within(120, lambda: (forget(), time.sleep(1), rss(pid) - before < 200 * FILES + BASE)[2]),
              f"files that are not in use take less than 200 bytes: {(rss(pid) - before) / FILES:.0f}")
        print(f"not in use: {(rss(pid) - before) / FILES:.0f} bytes each")
    else:
        skip("the kernel's caches are root's to drop")
    start = cpu(pid)
    subprocess.run(["rm", "-rf", top], check=True)
    print(f"remove: {(cpu(pid) - start) / FILES * 1e6:.0f} us each")
    check(os.listdir(v.mnt) == [], "all are removed")
    check(v.status()["state"] == "unlocked", "and the vault is well")
    v.close()
    v.clean()


def large_file():
    """A sparse file of 100 GiB, as a database has it: random places are written and read."""
    v = Vault(BUILD)
    v.open()
    size, rng = 100 << 30, random.Random(7)
    writes = 50_000 if LONG else 1500
    fd = os.open(v.path("base"), os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, size)
    places = {rng.randrange(size >> 13) * 8192: i for i in range(writes)}
    for at, i in places.items():
        os.pwrite(fd, f"block {i} ".encode().ljust(8192, b"."), at)
    os.fsync(fd)
    good = sum(os.pread(fd, 8192, at) == f"block {i} ".encode().ljust(8192, b".") for at, i in places.items())
    check(good == len(places), f"{good} of {len(places)} blocks are read back")
    hole = next(at for at in (rng.randrange(size >> 13) * 8192 for _ in range(100)) if at not in places)
    check(os.pread(fd, 8192, hole) == bytes(8192) and os.fstat(fd).st_size == size, "between them is nothing")
    check(os.fstat(fd).st_blocks * 512 < writes * 8192 * 4, "and takes no room")
    os.close(fd)
    v.close()
    v.open()
    fd = os.open(v.path("base"), os.O_RDONLY)
    good = sum(os.pread(fd, 8192, at) == f"block {i} ".encode().ljust(8192, b".") for at, i in list(places.items())[::7])
    check(good == len(list(places)[::7]), "and after close and open")
    device = os.stat(v.mnt).st_dev
    ahead = f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb"
    if ROOT and os.path.exists(ahead):
        check(open(ahead).read().strip() == "1024", "on root's own mount the kernel reads 1 MiB ahead")
    else:
        skip("how far the kernel reads ahead is root's to say")
    os.close(fd)
    v.close()
    v.clean()


def many_writers(*more):
    """64 at once: each has its own file, and all append to one."""
    v = Vault(BUILD)
    v.open(*more)
    rounds = 400 if LONG else 25
    wrong = []
    shared = v.path("shared")
    open(shared, "w").close()
    def write(n):
        rng, image = random.Random(n), bytearray(200_000)
        line = f"writer {n:02} ".encode() * 9 + b"\n"
        fd, log = os.open(v.path(f"own{n}"), os.O_RDWR | os.O_CREAT), os.open(shared, os.O_WRONLY | os.O_APPEND)
        for i in range(rounds):
            at, data = rng.randrange(190_000), rng.randbytes(rng.randrange(1, 9000))
            os.pwrite(fd, data, at)
            image[at:at + len(data)] = data
            os.write(log, line)
            if i % 10 == 9:
                os.fsync(fd)
            at = rng.randrange(190_000)
            got = os.pread(fd, 5000, at)
            if got != bytes(image[at:at + len(got)]):
                wrong.append((n, i))
        os.close(log)
        os.ftruncate(fd, 200_000)
        if os.pread(fd, 200_001, 0) != bytes(image[:200_000]):
            wrong.append((n, "end"))
        os.close(fd)
    threads = [threading.Thread(target=write, args=(n,)) for n in range(64)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(240)
    check(not any(t.is_alive() for t in threads), "64 writers come to their end")
    check(not wrong, f"each reads what it wrote: {wrong[:5]}")
    lines = open(shared, "rb").read().split(b"\n")[:-1]
    want = sorted((f"writer {n:02} ".encode() * 9) for n in range(64) for _ in range(rounds))
    check(sorted(lines) == want, f"appended lines are whole, none is missing: {len(lines)} of {len(want)}")
    v.close()
    v.clean()


many_files()
large_file()
many_writers()
many_writers("--for", "databases")
finish()
