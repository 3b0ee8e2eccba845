"""What is measured. A workload is a row: its name, its unit (s: less is better; MB/s and IOPS: more), and what page of design calls its goal (times ext4)."""
import os, random, subprocess, time

ROWS = { # name: (unit, goal as a multiple of ext4's time, what it does)
    "seqwrite": ("MB/s", 1.5, "write one big file, fsync"),
    "seqread_cold": ("MB/s", 2.5, "read it, caches dropped"),
    "seqread_again": ("MB/s", 3.4, "read it again"),
    "randread_1": ("IOPS", 1.0, "random reads of 4 KiB, caches dropped, one job"),
    "randread_4": ("IOPS", 1.7, "… four jobs"),
    "randwrite": ("IOPS", 4.8, "random writes of 4 KiB in place, fsync at the end"),
    "untar": ("s", 4.2, "tar x of the tree, sync"),
    "ls_cold": ("s", 1.6, "ls -lR, caches dropped"),
    "ls_warm": ("s", 1.0, "ls -lR again"),
    "md5_cold": ("s", 2.0, "md5sum of every file, caches dropped"),
    "grep_warm": ("s", 5.0, "grep -r after it"),
    "git_add": ("s", 2.3, "git init, git add of the tree"),
    "git_status_cold": ("s", 3.5, "git status, caches dropped"),
    "git_status_warm": ("s", 1.4, "git status again"),
    "rm": ("s", 2.7, "rm -r of the tree and its .git, sync"),
    "sqlite_delete": ("s", 2.3, "2,000 transactions, journal DELETE, synchronous FULL"),
    "sqlite_wal": ("s", 1.5, "… journal WAL"),
}
GROUPS = {"big": list(ROWS)[:6], "files": list(ROWS)[6:15], "databases": list(ROWS)[15:]}
TRACE = "/sys/kernel/tracing"


def make_tree(path, files, seed=1):
    """A tar of a tree as sources have it: the same for the same seed, on every machine. About 10 KB a file."""
    rng = random.Random(seed)
    words = ["".join(rng.choice("etaoinshrdlu") for _ in range(rng.randint(2, 9))) for _ in range(3000)]
    import io, tarfile
    folders = ["tree"]
    for i in range(files // 14):
        folders.append(f"{rng.choice(folders)}/{rng.choice(words)}{i}")
    with tarfile.open(path, "w") as tar:
        for folder in folders:
            info = tarfile.TarInfo(folder)
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, 1700000000
            tar.addfile(info)
        for i in range(files):
            size = min(int(rng.lognormvariate(8.3, 1.35)), 1 << 20)
            text = " ".join(rng.choices(words, k=size // 7 + 1)).replace(" e", "\n e")[:size].encode()
            info = tarfile.TarInfo(f"{rng.choice(folders)}/{rng.choice(words)}{i}.c")
            info.size, info.mode, info.mtime = len(text), 0o644, 1700000000 + i
            tar.addfile(info, io.BytesIO(text))


def make_sql(path, journal):
    with open(path, "w") as f:
        f.write(f"PRAGMA journal_mode={journal}; PRAGMA synchronous=FULL; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b BLOB);\n")
        for i in range(2000):
            f.write(f"INSERT INTO t(a,b) VALUES('row {i} name and address of a contact',x'{'00112233445566778899aabbccddeeff' * 2}');\n")


def make_inputs(folder, files, big_mib):
    """In memory, so that reading them costs every filesystem the same."""
    os.makedirs(folder, exist_ok=True)
    make_tree(f"{folder}/tree.tar", files)
    for journal in ("DELETE", "WAL"):
        make_sql(f"{folder}/{journal}.sql", journal)
    with open(f"{folder}/big", "wb") as f:
        for _ in range(big_mib):
            f.write(os.urandom(1 << 20))


def busy():
    """The share of the processors' time that somebody used during 0.3 s."""
    def read():
        n = [int(x) for x in open("/proc/stat").readline().split()[1:]]
        return sum(n[:8]), n[3] + n[4]
    (total, idle) = read()
    time.sleep(0.3)
    (total2, idle2) = read()
    return 1 - (idle2 - idle) / max(1, total2 - total)


class Requests:
    """How many requests the kernel sends to the filesystem, by kind: independent of the load. None where the kernel has no such tracepoint."""
    EVENT = f"{TRACE}/events/fuse/fuse_request_send"

    def __init__(self):
        if not os.path.isdir(f"{TRACE}/events"):
            subprocess.run(["mount", "-t", "tracefs", "nodev", TRACE], stderr=subprocess.DEVNULL)
        self.there = os.path.isdir(self.EVENT)

    @staticmethod
    def _set(path, text):
        with open(path, "w") as f:
            f.write(text)

    def begin(self):
        if self.there:
            self._set(f"{TRACE}/buffer_size_kb", "65536")
            self._set(f"{TRACE}/trace", "")
            self._set(f"{self.EVENT}/enable", "1")

    def end(self):
        if not self.there:
            return {}
        self._set(f"{self.EVENT}/enable", "0")
        counts = {}
        with open(f"{TRACE}/trace", errors="replace") as trace:
            for line in trace:
                at = line.find("(FUSE_")
                if at >= 0:
                    kind = line[at + 6:line.index(")", at)]
                    counts[kind] = counts.get(kind, 0) + 1
        self._set(f"{TRACE}/trace", "")
        return counts


class Round:
    """One filesystem through the chosen workloads. result(name, value, client_s, daemon_s, requests) is called for each."""
    def __init__(self, system, inputs, big_mib, seconds, chosen, result, requests=None):
        self.system, self.at, self.inputs, self.big_mib, self.seconds = system, system.at, inputs, big_mib, seconds
        self.chosen, self.result, self.requests = chosen, result, requests
        self.base = os.path.dirname(system.back)

    def sync(self):
        for path in (self.at, self.base):
            fd = os.open(path, os.O_RDONLY)
            subprocess.run(["sync", "-f", path], check=True)
            os.close(fd)

    def cold(self):
        self.sync()
        self.system.settle_caches()
        self.sync()
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3")

    def wait_quiet(self):
        end = time.monotonic() + 15
        while busy() > 0.12 and time.monotonic() < end:
            pass

    def measure(self, name, command, value=None, before=None, quiet=True):
        """command: a shell line; $M is the mountpoint. value(seconds, output) makes the figure, else it is the time."""
        wanted = name in self.chosen
        if before:
            before()
        if wanted and quiet and not self.requests:
            self.wait_quiet()
        if wanted and self.requests:
            self.requests.begin()
        cpu, client, start = self.system.daemon_seconds() if wanted else 0, os.times(), time.monotonic()
        done = subprocess.run(["bash", "-c", command], cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=dict(os.environ, M=self.at, BASE=self.base, IN=self.inputs, HOME=f"{self.system.work}/home"))
        took, used = time.monotonic() - start, os.times()
        counts = self.requests.end() if wanted and self.requests else {}
        if not wanted:
            return
        figure = None
        if done.returncode == 0:
            figure = value(took, done.stdout) if value else took
        else:
            print(f"  {self.system.label}: {name} failed: {done.stderr.strip()[-300:]}")
        self.result(name, figure, used.children_user + used.children_system - client.children_user - client.children_system,
                    self.system.daemon_seconds() - cpu, counts)

    def any_of(self, group):
        return any(name in self.chosen for name in GROUPS[group])

    def big(self):
        rate = lambda took, _: self.big_mib / took
        fio = ("fio --name=j --directory=$M --filename=big --ioengine=psync --bs=4k --group_reporting --output-format=terse --terse-version=3 "
               "--randrepeat=1 ")
        part = self.big_mib // 4
        self.measure("seqwrite", "dd if=$IN/big of=$M/big bs=1M conv=fsync status=none", rate, self.sync)
        self.measure("seqread_cold", "dd if=$M/big of=/dev/null bs=1M status=none", rate, self.cold)
        self.measure("seqread_again", "dd if=$M/big of=/dev/null bs=1M status=none", rate, quiet=False)
        if subprocess.run(["cmp", "-s", f"{self.at}/big", f"{self.inputs}/big"]).returncode:
            raise RuntimeError(f"{self.system.label}: what was written is not what is read")
        for jobs in (1, 4):
            if f"randread_{jobs}" in self.chosen:
                self.measure(f"randread_{jobs}", f"{fio} --rw=randread --numjobs={jobs} --size={part}M --offset_increment={part}M --runtime={self.seconds}",
                             lambda _, out: float(out.split(";")[7]), self.cold)
        if "randwrite" in self.chosen:
            self.measure("randwrite", f"{fio} --rw=randwrite --size={self.big_mib}M --io_size=128M --end_fsync=1 --runtime={2 * self.seconds}",
                         lambda _, out: float(out.split(";")[46]) / 4 / (float(out.split(";")[49]) / 1000), self.cold)
        os.unlink(f"{self.at}/big")

    def files(self):
        tree = "$M/t"
        os.mkdir(f"{self.at}/t")
        self.measure("untar", f"tar xf $IN/tree.tar -C {tree} && sync -f $M && sync -f $BASE", before=self.sync)
        self.measure("ls_cold", f"ls -lR {tree} >/dev/null", before=self.cold)
        self.measure("ls_warm", f"ls -lR {tree} >/dev/null", quiet=False)
        self.measure("md5_cold", f"find {tree} -type f -print0 | xargs -0 md5sum >/dev/null", before=self.cold)
        self.measure("grep_warm", f"grep -rc zzqqxx {tree} >/dev/null || true", quiet=False)
        done = subprocess.run(["tar", "df", f"{self.inputs}/tree.tar", "-C", f"{self.at}/t"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env=dict(os.environ, LC_ALL="C"))
        times = [line for line in done.stdout.splitlines() if line.endswith(": Mod time differs")]
        if done.returncode > 1 or len(times) < len(done.stdout.splitlines()):
            raise RuntimeError(f"{self.system.label}: the tree is not what was unpacked")
        if times: # securefs and CryFS: a time that is set before the file is closed is lost
            print(f"  {self.system.label}: {len(times)} times of change are not what was unpacked")
        if any(name.startswith("git") for name in self.chosen):
            self.measure("git_add", f"cd {tree} && git init -q . 2>/dev/null && git config core.fsync none && git add -A")
            self.measure("git_status_cold", f"cd {tree} && git status --porcelain >/dev/null", before=self.cold)
            self.measure("git_status_warm", f"cd {tree} && git status --porcelain >/dev/null", quiet=False)
        self.measure("rm", f"rm -rf {tree} && sync -f $M && sync -f $BASE", before=self.cold)

    def databases(self):
        for journal in ("DELETE", "WAL"):
            name = f"sqlite_{journal.lower()}"
            if name not in self.chosen:
                continue
            self.measure(name, f"sqlite3 $M/{journal}.db < $IN/{journal}.sql >/dev/null", before=self.sync)
            rows = subprocess.run(["sqlite3", f"{self.at}/{journal}.db", "select count(*) from t"], stdout=subprocess.PIPE, text=True).stdout.strip()
            if rows != "2000":
                raise RuntimeError(f"{self.system.label}: SQLite has {rows or 'no'} rows of 2000")
            for name in os.listdir(self.at):
                if name.startswith(journal):
                    os.unlink(f"{self.at}/{name}")

    def run(self):
        for group in GROUPS:
            if self.any_of(group):
                getattr(self, group)()
