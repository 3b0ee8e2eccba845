#!/usr/bin/env python3
"""A mount under everything at once, for long: stress-ng's filesystem class with --verify, random I/O beside a model, writers of a class that is locked and unlocked
meanwhile. Contents stay right, and at each round's quiet point memory and descriptors of every program are what they were. soak.py BUILD; HF_LONG=1: 20 minutes.

At a quiet point nobody works, the stress is removed, the kernel has let go of what it cached. What grows from one quiet point to the next is kept by us: a leak of
a byte an operation shows, while the caches that a working mount has do not."""
import atexit, json, os, random, shutil, statistics, subprocess, sys, tempfile, threading, time

ROOT = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(ROOT, "posix"), os.path.join(ROOT, "e2e")]
from fsx import File
from vaultkit import PROGRAMS, Vault, check, finish, skip, tidy

LONG = os.environ.get("HF_LONG") == "1"
MINUTES = float(os.environ.get("HF_SOAK_MINUTES", 20 if LONG else 0.4))
ROUND_S = 55 if LONG else 6
# Of stress-ng's class `filesystem`, without those that need another thing than files of the mount: mounts and devices of their own (bind-mount, binderfs), ioctls that
# are a disk filesystem's alone (chattr, fiemap, file-ioctl, inode-flags, verity), leases and handles that FUSE has not (handle, lease), no files at all (dup, eventfd, procfs), every mount of the machine (io),
# all the room there is (dirmany, fsize), or a full inode's attributes changed without any room (xattr: a change needs some for its evidence [CR-6]).
STRESSORS = """access chdir chmod chown copy-file dentry dir dirdeep dnotify fallocate fanotify fcntl filename flock fpunch fstat getdent hdd inotify iomix ioprio
               link locka lockf lockofd mknod open rename symlink sync-file touch utime""".split()
SIZES = [word for name in ("copy-file", "fallocate", "hdd", "iomix", "sync-file") for word in (f"--{name}-bytes", "128m")] + ["--dirdeep-inodes", "5000"]  # what it made it removes, however long that takes
# The filesystem's heap has eight threads' arenas: it takes a step of some MiB when a stressor first wants buffers of a new size (measured: one or two in 20 minutes, 2.7 to 5.7 MiB
# each) and is the same to the KiB in the rounds between. A leak grows in every round, so what counts is the median step, and a cap on the whole. The others' secrets lie in an
# arena of fixed length, their heap takes nothing in these verbs.
STEP_KIB, CAP_KIB = 64, {"fs": 32 * 1024, "super": 512, "enclave": 512, "element": 512}
MANY_ROUNDS = 8  # before that the first ones, which fill what is filled once, are most of them
GROWTH_FDS = 8  # the few nodes that the kernel may still know or not: measured 18 to 23, in no order


class Writer(threading.Thread):
    """Writes class complete while it is locked and unlocked: what was acknowledged is there after each unlock."""

    def __init__(self, path, seed):
        super().__init__()
        self.path, self.rng, self.model, self.stop, self.wrong, self.refused, self.writes = path, random.Random(seed), bytearray(200_000), False, [], 0, 0

    def run(self):
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, self.model, 0)
        while not self.stop:
            at, data = self.rng.randrange(190_000), self.rng.randbytes(self.rng.randrange(1, 9000))
            try:
                done = os.pwrite(fd, data, at)  # short when the lock came in the middle
                self.model[at:at + done] = data[:done]
                self.writes += 1
                got = os.pread(fd, 5000, at)
                if got != self.model[at:at + len(got)]:
                    self.wrong.append(f"other bytes at {at}")
            except OSError as e:
                if e.errno != 126: # ENOKEY
                    self.wrong.append(str(e))
                self.refused += 1
                self.model[at:at + len(data)] = self.again(fd, data, at)
        try:
            if os.pread(fd, 300_000, 0) != bytes(self.model):
                self.wrong.append("other bytes at the end")
        except OSError as e:
            self.wrong.append(f"at the end: {e}")
        os.close(fd)

    def again(self, fd, data, at):
        """A write that was refused may have come in part: it is made until it holds."""
        for _ in range(2000):
            try:
                os.pwrite(fd, data, at)
                return data
            except OSError:
                time.sleep(0.01)
        self.wrong.append("no unlock came")
        return data


def disk():
    """An ext4 of its own: what fills it fills nothing else."""
    folder = tempfile.mkdtemp(prefix="hf-soak-")
    image, mount = os.path.join(folder, "image"), os.path.join(folder, "disk")
    os.mkdir(mount)
    with open(image, "w") as f:
        f.truncate(4 << 30)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-N", "500000", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, mount], check=True)
    atexit.register(lambda: (tidy(), subprocess.run(["umount", "-l", mount]), shutil.rmtree(folder, ignore_errors=True)))
    return mount


# fanotify marks every mount of the machine, and waits, unkillably, in one whose filesystem never came up (another test's): it sees those of this vault alone.
ALONE = """awk -v keep="$1" '$0 ~ / - fuse/ && $5 != keep { print $5 }' /proc/self/mountinfo | while read -r mount; do umount -l "$mount"; done; shift; exec "$@\""""


def stress(v, where, names, seconds):
    os.mkdir(where)
    return subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c", ALONE, "sh", v.mnt, "stress-ng", *(word for name in names for word in (f"--{name}", "1")), *SIZES, "--verify", "--timeout", f"{seconds:.0f}s", "--temp-path", where],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd="/")


def judge(process, names):
    out, _ = process.communicate(timeout=ROUND_S + 400)
    # inotify says that an event was late, which it is where a lock or the drop of caches is under way, and counts it as no failure.
    said = [line for line in out.splitlines() if (": fail:" in line or ": error:" in line) and "inotify: timed waiting" not in line]
    check(process.returncode == 0 and not said, f"stress-ng {' '.join(names)}: exit {process.returncode}: {(said or out.splitlines()[-2:])[:4]}")
    return [line.split(": skipping stressor")[0].split()[-1] for line in out.splitlines() if "skipping stressor" in line]


def random_io(v, number, ends, seed):
    """fsx beside its model until the time is over; the number of files that were taken through."""
    done = 0
    while time.monotonic() < ends:
        file = File(f"{v.mnt}/fsx{number}", seed + done)
        try:
            file.run(100)
        except (AssertionError, OSError) as e:
            check(False, f"fsx seed {seed + done} after {len(file.log)} steps: {e}: {file.log[-12:]}")
            return done
        done += 1
    return done


def pids(v):
    told = json.loads(v.run("status", v.path, "--json", passcode=False).stdout)["pids"]  # of the filesystem's two processes the one that serves, not the one that waits to unmount
    return {name: told["holdfast-" + name] for name in PROGRAMS}


def measure(v):
    """{program: (KiB of memory, descriptors)} when nobody works."""
    found = {}
    for name, pid in pids(v).items():
        with open(f"/proc/{pid}/status") as f:
            rss = next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))
        found[name] = rss, len(os.listdir(f"/proc/{pid}/fd"))
    return found


def quiet(v):
    """The kernel forgets the mount, the filesystem settles; memory is asked for until it falls no more."""
    last = None
    for _ in range(40):
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")
        time.sleep(0.5)
        now = measure(v)
        if last and all(now[p][0] >= last[p][0] - 64 and now[p][1] == last[p][1] for p in PROGRAMS):
            return now
        last = now
    return last


def main():
    if os.geteuid() != 0:
        skip("the kernel's caches, and the memory of programs that are not dumpable, are root's to look at")
        finish()
    tempfile.tempdir = disk()
    v = Vault(sys.argv[1], "--grace", "0")
    v.open()
    seed = random.SystemRandom().randrange(1 << 32)
    print("soak from seed", seed)
    rng = random.Random(seed)
    os.mkdir(f"{v.mnt}/secret")
    v.run("protect", "--class", "complete", f"{v.mnt}/secret", passcode=False)
    seen, left, not_run, locks, writes, refused, files = [], [], set(), 0, 0, 0, 0
    begin = time.monotonic()
    while time.monotonic() < begin + MINUTES * 60 or len(seen) < 3:
        if not left:
            left = rng.sample(STRESSORS, len(STRESSORS))
        names, left = left[:6 if LONG else 4], left[6 if LONG else 4:]
        where, ends = f"{v.mnt}/stress{len(seen)}", time.monotonic() + ROUND_S
        process = stress(v, where, names, ROUND_S)
        writers = [Writer(f"{v.mnt}/secret/w{n}", rng.randrange(1 << 30)) for n in range(2)]
        counts = [0, 0]
        def io(n, first):
            counts[n] = random_io(v, n, ends, first)
        others = [threading.Thread(target=io, args=(n, rng.randrange(1 << 30))) for n in range(2)]
        for t in (*writers, *others):
            t.start()
        while time.monotonic() < ends:
            time.sleep(rng.uniform(0.3, 2))
            v.run("lock", "--now", v.path, passcode=False)
            time.sleep(rng.uniform(0, 0.5))
            v.run("unlock", v.path, "--passcode-fd", "0")
            locks += 1
        for w in writers:
            w.stop = True
        for t in (*writers, *others):
            t.join(120)
        not_run.update(judge(process, names))
        check(not any(t.is_alive() for t in (*writers, *others)), "all come to their end")
        wrong = [text for w in writers for text in w.wrong]
        check(not wrong, f"class complete through {locks} locks: {wrong[:4]}")
        writes, refused, files = writes + sum(w.writes for w in writers), refused + sum(w.refused for w in writers), files + sum(counts)
        shutil.rmtree(where)
        seen.append(quiet(v))
        print(f"round {len(seen)} ({' '.join(names)}): " + ", ".join(f"{p} {kib} KiB {fds} descriptors" for p, (kib, fds) in seen[-1].items()), flush=True)
    minutes = (time.monotonic() - begin) / 60
    check(writes > 0 and refused > 0 and files > 0 and locks > 0, f"there was work: {writes} writes, {refused} refused while locked, {files} files of fsx, {locks} locks")
    rest = seen[len(seen) // 4:]
    for p in PROGRAMS:
        kib, step = rest[-1][p][0] - rest[0][p][0], statistics.median(after[p][0] - before[p][0] for before, after in zip(rest, rest[1:]))
        fds = rest[-1][p][1] - rest[0][p][1]
        check(kib < CAP_KIB[p], f"{p}'s memory grows: {kib} KiB from {rest[0][p][0]}")
        check(step < STEP_KIB or len(seen) < MANY_ROUNDS, f"{p}'s memory grows by {step:.0f} KiB a round")
        check(fds <= GROWTH_FDS, f"{p}'s descriptors grow: {fds} from {rest[0][p][1]}")
        print(f"figure: soak memory growth {p} = {kib} KiB")
        print(f"figure: soak memory growth a round, median, {p} = {step:.0f} KiB")
        print(f"figure: soak descriptor growth {p} = {fds} descriptors")
    if not_run:
        print(f"stress-ng left out by itself: {' '.join(sorted(not_run))}")
    print(f"figure: soak = {minutes:.1f} minutes")
    print(f"figure: soak locks and unlocks = {locks} times")
    v.reopen()
    check(v.check(want=None).returncode == 0, "check")
    v.close()
    finish()


main()
