"""A real vault on a real mount for the tests beside this file: made, opened, closed, killed; nothing stays mounted or running, however the test ends."""
import atexit, errno, gc, json, os, pathlib, shutil, signal, subprocess, sys, tempfile, time

from verdict import check, finish, mounted, skip, users  # its users' as well

PROGRAMS = ("super", "element", "enclave", "fs")
vaults = []


def answer(function, *args, **named):
    """What the call gives, or its errno's name."""
    try:
        return function(*args, **named)
    except OSError as e:
        return errno.errorcode[e.errno]


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def cat(path):
    with open(path, "rb") as f:
        return f.read()


class Vault:
    """Everything of one vault lies in `work`: v the vault, mnt the mount point, plain a plain directory, state and run the XDG folders."""

    def __init__(self, build, *options):
        self.hf = os.path.abspath(os.path.join(build, "src", "holdfast"))
        self.work = tempfile.mkdtemp(prefix="hf-e2e-")
        self.path, self.mnt, self.plain = (os.path.join(self.work, n) for n in ("v", "mnt", "plain"))
        for name in ("mnt", "plain", "state", "run"):
            os.mkdir(os.path.join(self.work, name), 0o700)
        self.env = dict(os.environ, XDG_STATE_HOME=os.path.join(self.work, "state"), XDG_RUNTIME_DIR=os.path.join(self.work, "run"))
        vaults.append(self)
        self.told = set()  # the numbers of its programs, by status
        self.passcode = self.run("passphrase", passcode=False).stdout.strip()
        self.run("create", self.path, "--element", "software", "--kdf", "64,1", "--no-recovery", "--passcode-fd", "0", *options)

    def run(self, *words, want=0, passcode=True, timeout=120):
        with tempfile.TemporaryFile("w+", errors="surrogateescape") as out, tempfile.TemporaryFile("w+", errors="surrogateescape") as err:
            # Files, not pipes: what `open` starts lives on.
            r = subprocess.run([self.hf, *words], input=self.passcode + "\n" if passcode else "", text=True, stdout=out, stderr=err, env=self.env, timeout=timeout)
            out.seek(0)
            err.seek(0)
            r.stdout, r.stderr = out.read(), err.read()
        if want is not None and r.returncode != want:
            raise RuntimeError(f"holdfast {' '.join(words)}: exit {r.returncode}, not {want}: {r.stdout}{r.stderr}")
        return r

    def open(self, *options, want=0):
        r = self.run("open", self.path, self.mnt, "--passcode-fd", "0", *options, want=want)
        if r.returncode == 0:
            self.told = set(json.loads(self.run("status", self.path, "--json", passcode=False).stdout)["pids"].values())
        return r

    def close(self):
        gc.collect() # a file that this test has let go of only in an exception's frames is still open
        r = self.run("close", self.path, passcode=False, want=None)
        if r.returncode != 0:
            raise RuntimeError(f"holdfast close: exit {r.returncode}: {r.stderr}; users: {users(self.mnt)}")
        return r

    def reopen(self):
        self.close()
        self.open()

    def check(self, want=0):
        return self.run("check", self.path, "--json", "--passcode-fd", "0", want=want, timeout=300)

    @staticmethod
    def carries(pid, mark):
        try:
            return mark in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:  # not dumpable, and we are not root: then status has told its number
            return False

    def processes(self):
        """Of this vault alone, name -> pids: they are the supervisor's, which is known by its environment, and its children."""
        mark = ("XDG_RUNTIME_DIR=" + self.env["XDG_RUNTIME_DIR"]).encode()
        found, parents = {}, {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
                name, rest = stat[stat.index("(") + 1:stat.rindex(")")], stat[stat.rindex(")") + 2:].split()
                if not name.startswith("holdfast-") or rest[0] == "Z":
                    continue
                parents[int(entry)] = (name[9:], int(rest[1]), int(entry) in self.told or self.carries(entry, mark))
            except (OSError, ValueError):
                continue
        ours = {pid for pid, (_, _, marked) in parents.items() if marked}
        for _ in range(3):
            ours |= {pid for pid, (_, parent, _) in parents.items() if parent in ours}
        for pid in ours:
            found.setdefault(next(p for p in PROGRAMS if p.startswith(parents[pid][0])), []).append(pid)
        return found

    def tidy(self):
        try:
            self.run("close", self.path, "--force", passcode=False, want=None, timeout=20)
        except (OSError, subprocess.SubprocessError):
            pass
        for _ in range(30): # one over the other, where programs were killed
            if not any(line.split()[4] == self.mnt for line in open("/proc/self/mountinfo")):
                break
            subprocess.run(["umount", "-l", self.mnt], capture_output=True)
        for pids in self.processes().values():
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
        subprocess.run(["chmod", "-R", "u+rwX", self.work], capture_output=True)
        shutil.rmtree(self.work, ignore_errors=True)


def kill(v):
    """Everything at once, as a crash does it; what was written stays in the kernel."""
    for pids in v.processes().values():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    end = time.time() + 20
    while (v.processes() or mounted(v.mnt)) and time.time() < end:
        if mounted(v.mnt):
            os.system(f"umount -l '{v.mnt}' 2>/dev/null || fusermount3 -uz '{v.mnt}' 2>/dev/null")
        time.sleep(0.05)


def tidy():
    while vaults:
        vaults.pop().tidy()


def stop(*_):
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(1)


SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
atexit.register(tidy)
for number in SIGNALS:
    signal.signal(number, stop)
