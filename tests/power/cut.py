#!/usr/bin/env python3
"""Power cuts under a whole vault on ext4: a disk that logs its writes and barriers carries a filesystem with a vault in it; the programs work there. Then for a
cut behind write k: an image of all that came before the last barrier and of a random part of what came after it, ext4's recovery, and the programs open the
vault: what an fsync promised is there, the rest is old, new, cut or absent, nothing is unreadable, check is clean, and once more after a close.

cut.py BUILD [SEED [CUT]]; HF_LONG=1: hundreds of cuts. Of each write all or nothing arrives, or each 4 KiB of it for itself.

Proves [CR-1] (from the first moment of a mount to its close the head on the disk says open) and [CR-6] (a name, mode or attribute that arrived
without the header is believed only on its evidence), [CR-9] (what fsync promised of mode and attributes), and for the whole [CR-2] [CR-3] [CR-4] [CR-5] [CR-7] [CR-8]."""
import bisect, os, random, shutil, struct, subprocess, sys, tempfile, time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import vaultkit
import verdict as verdicts
from scenario import Scenario, see
from vaultkit import Vault, check, finish, skip

LONG = os.environ.get("HF_LONG") == "1"
KEEP = os.environ.get("HF_POWER_KEEP") # a folder for what fails: the image, the element's state, the passcode, the operations
BLOCK, DISK = 4096, 64 << 20
FLUSH = (1 << 64) - 1
HEAD_STATE_AT, HEAD_OPEN = 28, 2


def run(*words):
    r = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if r.returncode:
        raise RuntimeError(f"{' '.join(words)}: exit {r.returncode}: {r.stderr}")
    return r.stdout.strip()


class Attached:
    """An ext4 on a loop device of `file`, mounted at `at`; goes when the block ends."""

    def __init__(self, file, at, fresh=False, options="commit=1"):
        self.file, self.at, self.fresh, self.options, self.device = file, at, fresh, options, None

    def __enter__(self):
        try:
            self.device = run("losetup", "-f", "--show", self.file)
            if self.fresh:
                run("mkfs.ext4", "-q", "-b", str(BLOCK), "-J", "size=4", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", self.device)
            run("mount", "-t", "ext4", "-o", self.options, self.device, self.at)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for _ in range(50):
            if not os.path.ismount(self.at) or subprocess.run(["umount", self.at], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        else:
            subprocess.run(["umount", "-l", self.at], capture_output=True)
        if self.device:
            subprocess.run(["losetup", "-d", self.device], capture_output=True)
            self.device = None


class Recorder:
    """The logging disk at `folder`/disk."""

    def __init__(self, build, folder, log, image="-"):
        self.folder, self.log = folder, log
        self.words = [os.path.join(build, "tests", "power_recorder"), log, str(DISK), image, folder]

    def __enter__(self):
        self.process = subprocess.Popen(self.words)
        end = time.time() + 10
        while not os.path.ismount(self.folder) and time.time() < end:
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.folder], capture_output=True)
        if os.path.ismount(self.folder):
            subprocess.run(["umount", "-l", self.folder], capture_output=True)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def position(self):
        return os.stat(self.log).st_size


class Log:
    """The records: where each begins and ends, and whether it is a barrier."""

    def __init__(self, path):
        self.file = open(path, "rb")
        self.records, at, size = [], 0, os.stat(path).st_size
        while at < size:
            self.file.seek(at)
            offset, length = struct.unpack("<QQ", self.file.read(16))
            self.records.append((at, offset, length))
            at += 16 + length
        self.ends = [at + 16 + length for at, _, length in self.records]

    def data(self, i):
        at, _, length = self.records[i]
        self.file.seek(at + 16)
        return self.file.read(length)


class Image:
    """The disk as of its barriers; cuts must come in rising order. first: what it held before the log."""

    def __init__(self, log, path, first=None):
        self.log, self.path, self.durable, self.next = log, path, first or bytearray(DISK), 0

    def cut(self, last, keep, pieces, rng):
        """Power goes behind record `last`. Returns how many writes were in doubt and how many of them (or of their 4 KiB) came."""
        flush = max((i for i in range(self.next, last + 1) if self.log.records[i][1] == FLUSH), default=self.next)
        while self.next < flush:
            self.put(self.durable, self.next, 0, None)
            self.next += 1
        with open(self.path, "wb") as f:
            f.write(self.durable)
        doubtful = [i for i in range(self.next, last + 1) if self.log.records[i][1] != FLUSH]
        with open(self.path, "r+b") as f:
            for i in doubtful:
                _, offset, length = self.log.records[i]
                step = BLOCK if pieces else max(length, 1)
                data = self.log.data(i)
                for at in range(0, length, step):
                    if rng.random() < keep:
                        f.seek(offset + at)
                        f.write(data[at:at + step])
        return len(doubtful)

    def put(self, image, i, at, length):
        _, offset, size = self.log.records[i]
        if offset != FLUSH:
            image[offset:offset + size] = self.log.data(i)


class PowerVault(Vault):
    """A vault in the filesystem that is mounted at work/disk; what belongs to the element and the session lies outside."""

    def __init__(self, build, attach):
        self.attach = attach
        super().__init__(build)

    def run(self, *words, **options):
        if words[0] == "create": # first the disk that it lies on
            self.disk = os.path.join(self.work, "disk")
            self.recorder_at = os.path.join(self.work, "recorder")
            os.mkdir(self.disk)
            os.mkdir(self.recorder_at)
            self.path = os.path.join(self.disk, "v")
            self.attach(self)
            words = ("create", self.path, *words[2:])
        return super().run(*words, **options)


def workload(vault, recorder, rng, sessions, steps):
    scenario = Scenario(vault.mnt, recorder.position, rng)
    mounts = [] # where the log stood before the open, after it, and before the close
    for session in range(sessions):
        before = recorder.position()
        vault.open()
        at = recorder.position()
        for i in range(steps):
            scenario.step()
            if rng.random() < 0.03: # a settle between
                scenario.promise("lock", lambda: vault.run("lock", vault.path, "--now", passcode=False))
                vault.run("unlock", vault.path, "--passcode-fd", "0")
            if rng.random() < 0.1:
                time.sleep(rng.uniform(0, 0.4)) # ext4 commits by itself
        mounts.append((before, at, recorder.position()))
        scenario.promise("close", vault.close, contents=False)
    return scenario, mounts


def quiet(vault):
    try:
        vault.run("close", vault.path, "--force", passcode=False, want=None, timeout=20)
    except (OSError, subprocess.SubprocessError):
        pass


def head_state(vault):
    with open(os.path.join(vault.path, ".holdfast", "head"), "rb") as f:
        return f.read()[HEAD_STATE_AT]


def verdict(vault, scenario, cut, what):
    """Opens what is left and judges it. Returns what was lost in names, for the figures."""
    opened = vault.open(want=None)
    if not check(opened.returncode == 0, f"{what}: it opens: exit {opened.returncode} {opened.stderr[-300:]}"):
        return
    seen = see(vault.mnt)
    wrong = scenario.judge(seen, cut)
    check(not wrong, f"{what}: " + "; ".join(wrong)[:1500])
    report = vault.check(want=None)
    check(report.returncode == 0, f"{what}: check: exit {report.returncode}: {report.stdout[:400]}")
    with open(os.path.join(vault.mnt, "after"), "wb") as f: # it goes on
        f.write(bytes(9000))
        os.fsync(f.fileno())
    some = next((os.path.join(vault.mnt, p) for p, s in seen.items() if s[0] == "file"), None)
    if some:
        names = [p for p, s in seen.items() if s[0] == "file" and os.path.samefile(os.path.join(vault.mnt, p), some)]
        with open(some, "ab") as f:
            f.write(b"and more")
        seen.update({p: ("file", seen[p][1] + b"and more", *seen[p][2:]) for p in names})
    closed = vault.run("close", vault.path, passcode=False, want=None)
    check(closed.returncode == 0, f"{what}: it closes: {closed.stderr[-300:]}")
    opened = vault.open(want=None)
    if not check(opened.returncode == 0, f"{what}: and opens again: exit {opened.returncode} {opened.stderr[-300:]}"):
        return
    again = see(vault.mnt)
    again.pop("after", None)
    check(again == seen, f"{what}: and is the same: {[p for p in {*seen, *again} if seen.get(p) != again.get(p)]}")
    report = vault.check(want=None)
    check(report.returncode == 0, f"{what}: check after the close: exit {report.returncode}: {report.stdout[:400]}")


def cuts_of(log, mounts, rng, count):
    """Records behind which the power goes: half of them around a barrier, a quarter just after an open returned, the rest anywhere. The first mount has no close before it."""
    low = bisect.bisect_right(log.ends, mounts[0][0])
    high = len(log.ends) - 1
    cuts = [rng.randint(low, high) for _ in range(count)]
    flushes = [i for i in range(low, high + 1) if log.records[i][1] == FLUSH]
    for i in range(0, count, 2):
        cuts[i] = min(high, max(low, rng.choice(flushes) + rng.randint(-4, 2)))
    for i in range(1, count, 4):
        cuts[i] = min(high, bisect.bisect_right(log.ends, rng.choice(mounts)[1]) - 1 + rng.choice((0, 0, 1, 2, 5, 20)))
    return sorted(cuts)


def one_round(build, seed, only, cuts):
    rng = random.Random(seed)
    holder = []

    def attach(vault):
        recorder = Recorder(build, vault.recorder_at, os.path.join(vault.work, "log"))
        recorder.__enter__()
        holder.append(recorder)
        attached = Attached(os.path.join(vault.recorder_at, "disk"), vault.disk, fresh=True)
        holder.append(attached)
        attached.__enter__()
    vault = None
    try:
        vault = PowerVault(build, attach)
        scenario, mounts = workload(vault, holder[0], rng, 3, 60 if not LONG else 120)
    finally:
        for v in vaultkit.vaults:
            quiet(v)
        for thing in reversed(holder):
            thing.__exit__()
    log = Log(os.path.join(vault.work, "log"))
    flushes = sum(r[1] == FLUSH for r in log.records)
    print(f"seed {seed}: {len(scenario.ops)} operations, {len(log.records)} records, {flushes} of them barriers, {log.ends[-1] >> 20} MiB", flush=True)
    image = Image(log, os.path.join(vault.work, "image"))
    for number, last in enumerate(cuts_of(log, mounts, rng, cuts)):
        keep, pieces, part_seed = rng.choice((0.0, 0.2, 0.5, 0.8, 1.0)), rng.random() < 0.5, rng.random()
        if only is not None and number != only:
            continue
        doubt = image.cut(last, keep, pieces, random.Random(part_seed))
        before = verdicts.failed
        what = f"seed {seed} cut {number}: behind record {last}, {doubt} writes in doubt, {keep} of {'4 KiB each' if pieces else 'them'} kept"
        try:
            twice = number % 4 == 3
            if twice:
                what += ", " + cut_again(build, vault, image, random.Random(part_seed))
                shutil.copy(image.path, image.path + "2")
            with Attached(image.path, vault.disk):
                try:
                    if not twice and any(at <= log.ends[last] <= closing for _, at, closing in mounts):
                        check(head_state(vault) == HEAD_OPEN, f"{what}: the head says open: {head_state(vault)}")
                    verdict(vault, scenario, log.ends[last], what)
                finally:
                    quiet(vault)
        except (RuntimeError, OSError, subprocess.SubprocessError) as e:
            check(False, f"{what}: {e}")
        if KEEP and verdicts.failed > before: # the workload's timing decides what a seed gives: so what failed is kept
            keep_failure(vault, image, log, last, doubt, scenario, os.path.join(KEEP, f"{seed}-{number}"), (keep, pieces, part_seed))
    vault.tidy()
    vaultkit.vaults.remove(vault)


def cut_again(build, vault, image, rng):
    """The power goes a second time, while the programs recover from the first."""
    with open(image.path, "rb") as f:
        first = bytearray(f.read())
    path = os.path.join(vault.work, "log2")
    with Recorder(build, vault.recorder_at, path, image.path) as recorder:
        with Attached(os.path.join(vault.recorder_at, "disk"), vault.disk):
            began = recorder.position()
            vault.open(want=None)
            quiet(vault)
    log = Log(path)
    low = bisect.bisect_right(log.ends, began)
    if low >= len(log.ends):
        return "and again, before the first write"
    last = rng.randint(low, len(log.ends) - 1)
    Image(log, image.path, first).cut(last, rng.choice((0.0, 0.5, 1.0)), True, rng)
    return f"and again behind record {last} of {len(log.ends)} of the recovery"


def keep_failure(vault, image, log, last, doubt, scenario, folder, how):
    os.makedirs(folder, exist_ok=True)
    if os.path.exists(image.path + "2"): # what the second cut left
        os.rename(image.path + "2", f"{folder}/image2")
    image.cut(last, how[0], how[1], random.Random(how[2]))
    shutil.copy(image.path, f"{folder}/image")
    shutil.copytree(vault.env["XDG_STATE_HOME"], f"{folder}/state", dirs_exist_ok=True)
    with open(f"{folder}/passcode", "w") as f:
        f.write(vault.passcode + "\n")
    with open(f"{folder}/operations", "w") as f:
        starts = [at for at, _, _ in log.records]
        f.write(f"cut at {log.ends[last]}, the last barrier at {starts[image.next]}\n")
        f.writelines(f"{i} {'done' if after <= log.ends[last] else 'begun' if before <= log.ends[last] else 'later'} {before} {after} {what}\n"
                     for i, (what, before, after) in enumerate(scenario.ops, 1))


def possible():
    if os.geteuid() != 0:
        return "needs root for a loop device and a mount"
    if not os.path.exists("/dev/fuse") or not os.path.exists("/dev/loop-control"):
        return "no FUSE or no loop devices"
    try:
        run("losetup", "-f")
    except (RuntimeError, OSError):
        return "no free loop device"
    return None


def main():
    build = os.path.abspath(sys.argv[1])
    reason = possible() or (None if os.path.exists(os.path.join(build, "tests", "power_recorder")) else "the build has no power_recorder")
    if reason:
        skip(f"power cuts: {reason}")
        finish()
    if os.access("/dev/shm", os.W_OK):
        tempfile.tempdir = "/dev/shm" # an image and a log of some 100 MiB
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
    only = int(sys.argv[3]) if len(sys.argv) > 3 else None
    for i in range(8 if LONG and only is None else 1):
        one_round(build, seed + i, only, 50 if LONG else 12)
    finish()


main()
