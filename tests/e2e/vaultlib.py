"""What the tests on a real mount share: a vault in a folder of its own, its programs, and a count of verdicts. Leaves nothing mounted or running."""
import atexit, ctypes, errno, gc, json, mmap, os, shutil, signal, subprocess, sys, tempfile, time

from verdict import check, finish, mounted, skip, users

libc = ctypes.CDLL(None, use_errno=True)
PASS, OTHER = "correct horse battery staple otter lamp", "seven brass kettles under a wide river"
PAGE = 4096
BLOCK = b"0123456789abcdef" * 256
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1)) # so that what is left is taken away


def put(path, data=BLOCK):
    with open(path, "wb") as f:
        f.write(data)
    return path


def get(path):
    with open(path, "rb") as f:
        return f.read()


def error_of(fn, *args, **kwargs):
    """The name of the errno that fn fails with, '' when it succeeds."""
    try:
        fn(*args, **kwargs)
        return ""
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e.errno))


def within(seconds, fn):
    """True when fn becomes true in time."""
    end = time.monotonic() + seconds
    while not fn():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def fault_signal(mapping, at=0):
    """The signal that a child dies of when it reads the mapping, 0 when it can read."""
    pid = os.fork()
    if pid == 0:
        libc.signal(signal.SIGBUS, None)
        address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
        ctypes.string_at(address + at, 1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def resident(mapping):
    """How many of the mapping's pages are in the page cache."""
    size = len(mapping)
    pages = (size + PAGE - 1) // PAGE
    seen = (ctypes.c_ubyte * pages)()
    hold = ctypes.c_char.from_buffer(mapping)
    if libc.mincore(ctypes.c_void_p(ctypes.addressof(hold)), ctypes.c_size_t(size), seen) != 0:
        raise OSError(ctypes.get_errno(), "mincore")
    return sum(b & 1 for b in seen)


def map_file(path_or_fd, private=False, size=None):
    fd = path_or_fd if isinstance(path_or_fd, int) else os.open(path_or_fd, os.O_RDWR)
    m = mmap.mmap(fd, size or os.fstat(fd).st_size, flags=mmap.MAP_PRIVATE if private else mmap.MAP_SHARED)
    if fd is not path_or_fd:
        os.close(fd)
    return m


def running(folder):
    """Processes whose program lies in folder: {pid: name}."""
    found = {}
    for entry in os.listdir("/proc"):
        try:
            exe = os.readlink(f"/proc/{entry}/exe") if entry.isdigit() else ""
        except OSError:
            continue
        if os.path.dirname(exe.removesuffix(" (deleted)")) == folder:
            found[int(entry)] = os.path.basename(exe)
    return found


def memory_hits(pid, values):
    """Which of the values (name -> bytes) lie in the process's memory; None when it cannot be read at all."""
    hits, readable = set(), False
    try:
        maps = open(f"/proc/{pid}/maps").read().splitlines()
        mem = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError:
        return None
    for line in maps:
        span, mode = line.split()[:2]
        start, end = (int(x, 16) for x in span.split("-"))
        if "r" not in mode or line.endswith(("[vsyscall]", "[vvar]", "[vvar_vclock]")):
            continue
        tail, at = b"", start
        while at < end:
            try:
                part = os.pread(mem, min(4 << 20, end - at), at)
            except OSError:
                break
            if not part:
                break
            readable = True
            block = tail + part
            hits.update(name for name, value in values.items() if value in block)
            tail, at = block[-1100:], at + len(part)
    os.close(mem)
    return hits if readable else None


def where_found(pid, values):
    """Prints where in the process's memory the values lie, for whoever looks for the reason."""
    for line in open(f"/proc/{pid}/maps"):
        start, end = (int(x, 16) for x in line.split()[0].split("-"))
        try:
            with open(f"/proc/{pid}/mem", "rb") as mem:
                mem.seek(start)
                block = mem.read(end - start)
        except (OSError, ValueError, OverflowError):
            continue
        for name, value in values.items():
            at = block.find(value)
            if at >= 0:
                print(f"  {name}: {block.count(value)} times in {line.strip()}, first at {at:#x}: {block[max(0, at - 32):at + len(value) + 32]}")


class Vault:
    """A vault of its own in a temporary folder; the programs are copies there, so that what runs can be told from other tests."""

    def __init__(self, build, kdf="64,1", user=None, env=(), recovery=False, create=()):
        self.work = tempfile.mkdtemp(prefix="hf-e2e-")
        self.bin = os.path.join(self.work, "bin")
        os.mkdir(self.bin)
        source = os.path.join(os.path.abspath(build), "src")
        for name in ("holdfast", "holdfast-super", "holdfast-enclave", "holdfast-element", "holdfast-fs"):
            shutil.copy(os.path.join(source, name), self.bin)
        self.hf, self.user = os.path.join(self.bin, "holdfast"), user
        self.vault, self.mnt, self.phrase = (os.path.join(self.work, n) for n in ("vault", "mnt", "phrase"))
        self.env = {"PATH": "/usr/bin:/bin", "HOME": self.work, "XDG_STATE_HOME": os.path.join(self.work, "state"), "XDG_RUNTIME_DIR": os.path.join(self.work, "run"), **dict(env)}
        for name in ("state", "run", "mnt"):
            os.mkdir(os.path.join(self.work, name), 0o700)
        if user is not None:
            for where in (self.work, *(os.path.join(self.work, n) for n in ("state", "run", "mnt"))):
                os.chown(where, user, user)
        atexit.register(self.clean, os.getpid())
        extra = ["--recovery-file", self.phrase] if recovery else ["--no-recovery"]
        self.must("create", self.vault, "--element", "software", "--kdf", kdf, "--attempts", "9", "--delays", "0", *extra, "--passcode-fd", "0", *create, given=PASS)

    def command(self, *words):
        as_user = ["setpriv", "--reuid", str(self.user), "--regid", str(self.user), "--clear-groups"] if self.user is not None else []
        return [*as_user, self.hf, *words]

    def start(self, *words, given=""):
        p = subprocess.Popen(self.command(*words), env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        p.stdin.write(given if given.endswith("\n") else given + "\n")
        p.stdin.close()
        p.stdin = None
        return p

    def run(self, *words, given="", timeout=60):
        return subprocess.run(self.command(*words), env=self.env, input=given if given.endswith("\n") else given + "\n", capture_output=True, text=True, timeout=timeout)

    def must(self, *words, given="", want=0, timeout=60):
        """A verb that ends as it should (a verdict); returns what it printed."""
        p = self.run(*words, given=given, timeout=timeout)
        check(p.returncode == want, f"{words[0]}: exit {p.returncode}, not {want}: {p.stderr.strip()} {p.stdout.strip()}")
        return p.stdout

    def open(self, *more, passcode=PASS, want=0):
        return self.must("open", self.vault, self.mnt, "--passcode-fd", "0", *more, given=passcode, want=want)

    def unlock(self, passcode=PASS, want=0):
        return self.must("unlock", self.vault, "--passcode-fd", "0", given=passcode, want=want)

    def lock(self):
        return self.must("lock", "--now", self.vault)

    def close(self, *more, want=0):
        gc.collect() # a file that this test has let go of only in an exception's frames is still open
        out = self.must("close", self.vault, *more, want=want)
        if want == 0 and self.mounted():
            print("users:", users(self.mnt), flush=True)
        return out

    def status(self):
        return json.loads(self.run("status", self.vault, "--json").stdout)

    def pids(self):
        return {k: v for k, v in self.status()["pids"].items() if v}

    def mounted(self):
        return mounted(self.mnt)

    def running(self):
        return running(self.bin)

    def path(self, *parts):
        return os.path.join(self.mnt, *parts)

    def protected(self, *parts, cls="complete"):
        """A new directory of the class."""
        where = self.path(*parts)
        os.mkdir(where)
        self.must("protect", "--class", cls, where)
        return where

    def clean(self, pid=None):
        if pid is not None and pid != os.getpid():
            return # a forked child of the test
        if not os.path.exists(self.work):
            return
        subprocess.run(self.command("close", self.vault, "--force"), env=self.env, capture_output=True, timeout=30)
        for _ in range(100):
            if not self.running():
                break
            time.sleep(0.02)
        for left in self.running():
            try:
                os.kill(left, signal.SIGKILL)
            except ProcessLookupError:
                pass
        while self.mounted():
            if subprocess.run(["umount", "-l", self.mnt], capture_output=True).returncode != 0:
                break
        shutil.rmtree(self.work, ignore_errors=True)


def telling_vault(build, **more):
    """An open vault whose programs (a test build's) note their secrets in a log and may be read, and that log. [PR-3] is off in them, or nothing could be read."""
    log = os.path.join(tempfile.mkdtemp(prefix="hf-e2e-log-"), "secrets")
    v = Vault(build, env={"HF_TEST_SECRET_LOG": log, "HF_TEST_NO_MEMFD_SECRET": "1", "HF_TEST_DUMPABLE": "1"}, **more)
    v.open()
    if not os.path.exists(log) or os.path.getsize(log) == 0:
        raise RuntimeError("this build logs no secrets: meson setup -Dtesting=true")
    return v, log
