"""The filesystems that are compared. Each one's own folder lies on the same ext4 image; each is mounted at the same place."""
import json, os, shutil, subprocess, time

PACKAGES = {"gocryptfs": "gocryptfs", "securefs": "securefs", "encfs": "encfs", "cryfs": "cryfs"}
LABELS = ["ext4", "holdfast", "gocryptfs", "securefs", "encfs", "cryfs"]
PASSCODE = "correct horse battery staple otter lamp"


def run(*argv, feed=None, check=True, env=None):
    """Standard output; a failure says what the program wrote."""
    done = subprocess.run(argv, input=feed, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


class Disk:
    """An ext4 image on a loop device, written whole once, so that no run pays for its blocks."""
    def __init__(self, work, image, mib, direct):
        self.image, self.base = image, f"{work}/base"
        os.makedirs(self.base, exist_ok=True)
        with open(image, "wb") as f:
            for _ in range(mib):
                f.write(bytes(1 << 20))
        run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard", image)
        self.loop = run("losetup", f"--direct-io={'on' if direct else 'off'}", "--show", "-f", image).strip()
        run("mount", "-o", "noatime", self.loop, self.base)

    def remove(self):
        run("umount", self.base, check=False)
        run("losetup", "-d", self.loop, check=False)
        os.unlink(self.image)


class System:
    """One filesystem, made afresh for a round: make, mount, …, unmount. options: what holdfast's open gets besides."""
    def __init__(self, label, work, base, program, options=()):
        self.label, self.kind, self.options = label, label.split(":")[0], list(options)
        self.work, self.back, self.at, self.program = work, f"{base}/back", f"{work}/mnt", program
        self.key = f"{work}/passcode"
        self.env = dict(os.environ, HOME=f"{work}/home", CRYFS_FRONTEND="noninteractive", CRYFS_NO_UPDATE_CHECK="true",
                        XDG_RUNTIME_DIR=f"{work}/run", XDG_STATE_HOME=f"{work}/state")
        for folder in (self.at, f"{work}/home", f"{work}/run", f"{work}/state"):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(self.key, "w") as f:
            f.write(PASSCODE)

    def _run(self, *argv, feed=None, check=True):
        return run(*argv, feed=feed, check=check, env=self.env)

    def make(self):
        self.destroy()
        os.makedirs(self.back)
        if self.kind == "gocryptfs":
            self._run("gocryptfs", "-q", "-init", "-passfile", self.key, self.back)
        elif self.kind == "securefs":
            self._run("securefs", "create", "--pass", PASSCODE, self.back)
        elif self.kind == "encfs":
            self._start(["encfs", "--standard", "--stdinpass", self.back, self.at])
            self.unmount()
        elif self.kind == "holdfast":
            os.rmdir(self.back)
            self._run(self.program, "create", self.back, "--element", "software", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0", feed=PASSCODE + "\n")

    def _start(self, argv):
        """Programs that go to the background and may keep the descriptors they were given."""
        with open(self.key) as passcode, open(f"{self.work}/log", "a") as log:
            subprocess.run(argv, stdin=passcode, stdout=log, stderr=log, env=self.env, check=True)
        for _ in range(200):
            if os.path.ismount(self.at):
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.label}: not mounted, see {self.work}/log")

    def mount(self):
        if self.kind == "ext4":
            self._run("mount", "--bind", self.back, self.at)
            return
        self._start({"gocryptfs": ["gocryptfs", "-q", "-passfile", self.key, self.back, self.at],
                     "securefs": ["securefs", "mount", "-b", "--pass", PASSCODE, self.back, self.at],
                     "encfs": ["encfs", "--stdinpass", self.back, self.at],
                     "cryfs": ["cryfs", self.back, self.at],
                     "holdfast": [self.program, "open", self.back, self.at, "--passcode-fd", "0", *self.options]}[self.kind])

    def unmount(self):
        if not os.path.ismount(self.at):
            return
        if self.kind == "holdfast":
            self._run(self.program, "close", self.back)
            return
        pids = self.daemons()
        for _ in range(100):
            self._run("umount", self.at, check=False)
            if not os.path.ismount(self.at):
                break
            time.sleep(0.1)
        for _ in range(100): # what it still writes must not fall into the next run
            if not any(os.path.exists(f"/proc/{pid}") for pid in pids):
                break
            time.sleep(0.05)

    def destroy(self):
        self.unmount()
        shutil.rmtree(self.back, ignore_errors=True)
        shutil.rmtree(f"{self.work}/home/.local", ignore_errors=True) # CryFS knows each folder for ever

    def daemons(self):
        """Its processes: holdfast says which, the others name their folder on the command line."""
        if self.kind == "holdfast":
            said = self._run(self.program, "status", self.back, "--json", check=False)
            return [pid for name, pid in json.loads(said or "{}").get("pids", {}).items() if pid]
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = open(f"/proc/{pid}/cmdline").read().split("\0")
            except OSError:
                continue
            if os.path.basename(words[0]) == self.kind and self.back in words:
                found.append(int(pid))
        return found

    def daemon_seconds(self):
        """Processor seconds of its processes so far: what does not depend on the load."""
        total = 0
        for pid in self.daemons():
            try:
                fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
            except OSError:
                pass
        return total / os.sysconf("SC_CLK_TCK")

    def settle_caches(self):
        """Before the kernel's caches are dropped: a filesystem that keeps its own for a second lets go."""
        if self.kind == "cryfs":
            time.sleep(1.2)
