#!/usr/bin/env python3
from book import *
import hashlib, struct
import debugger
from bed import *

row("A3", "root after the lock")
SHOWN = {"HF_TEST_NO_MEMFD_SECRET": "1", "HF_TEST_DUMPABLE": "1"}
v = Sample(env={} if root() else SHOWN)
v.open()
path = os.path.join(v.secret, NAME)
fd = os.open(path, os.O_RDWR)
mapped = map_file(fd)
listed = os.listdir(v.secret) and os.pread(fd, 10, 0) and mapped[5] is not None
files = v.secrets("file-key-complete")["file-key-complete"][-40:]


def wanted():
    keys = v.secrets("kek", "complete", "class-key complete", "file-key-complete", "name-key-complete", "kek-half", "element-auth", "release-secret")
    values = {f"{label} {k[:3].hex()}": k for label, found in keys.items() for k in found[-40:]}
    for k in files:  # a file's pages are under keys made of its own
        values[f"page-key {k[:3].hex()}"] = hashlib.blake2b(struct.pack("<I", 1), digest_size=32, key=k, salt=struct.pack("<H", 10) + bytes(14), person=b"holdfast-kdf-v1\0").digest()
    return {**values, "passcode": PASS.encode(), **TRACES}


def everywhere(values):
    """Ordinary memory through /proc/PID/mem, hidden memory by the programs' own hand: {program: hits}, and how many bytes lay hidden."""
    found, hidden = {}, 0
    for program, pid in v.pids().items():
        hits = memory_hits(pid, values) or set()
        if debugger.able:
            more, size = debugger.hidden_hits(pid, values)
            hits, hidden = hits | more, hidden + size
        found[program] = hits
    return found, hidden


kinds = lambda found: sorted({hit.rsplit(" ", 1)[0] if " " in hit and hit.split()[0] in ("kek", "complete", "class-key", "file-key-complete", "name-key-complete", "kek-half", "element-auth",
                                                                                                   "release-secret", "page-key") else hit for hits in found.values() for hit in hits})
with attack("reads all memory of all programs: by /proc/PID/mem, and memfd_secret by a debugger that runs code in them") as a:
    # the marks lie in a file of class after-unlock too, whose plaintext may stay: it goes for this trial
    shutil.rmtree(v.path("plain"))
    os.sync()
    before, hidden = everywhere(wanted())
    a.works({"complete", "file-key-complete", "name-key-complete"} <= set(kinds(before)), f"unlocked: {len(set().union(*before.values()))} secrets found ({', '.join(kinds(before))}) in {hidden // 1024} KiB of hidden memory and all the other")
    v.lock()
    after, _ = everywhere(wanted())
    left = kinds(after)
    a.came_out(left, f"locked: {left or 'none'}")

with attack("reads what was open or mapped before the lock, what the kernel has cached, and the names") as a:
    v.unlock()
    a.works(os.pread(fd, 10, 0) and fault_signal(mapped) == 0 and resident(mapped) > 0 and NAME in os.listdir(v.secret), "unlocked: descriptor, mapping, cached pages and names can be read")
    v.lock()
    came = {"descriptor": not error_of(os.pread, fd, 10, 0), "mapping": fault_signal(mapped) == 0, "cached pages": resident(mapped) > 0, "names": not error_of(os.listdir, v.secret), "open": not error_of(get, path),
            "/proc/PID/fd": not error_of(get, f"/proc/self/fd/{fd}")}
    a.came_out(any(came.values()), f"locked: {[n for n, got in came.items() if got] or 'none'} of {', '.join(came)}")

with attack("dumps each program with gdb (generate-core-file), and makes one die of SIGSEGV") as a:
    a.needs(root(), "needs root")
    cores = tempfile.mkdtemp(dir=v.work)

    def dumped(values):
        found = {}
        for program, pid in v.pids().items():
            if program == "holdfast-super":
                continue # it never has any of it (tests/e2e/lock.py)
            core = os.path.join(cores, program)
            subprocess.run(["gdb", "-q", "-nx", "-batch", "-p", str(pid), "-ex", f"generate-core-file {core}"], capture_output=True, timeout=60, stdin=subprocess.DEVNULL, env={"PATH": "/usr/bin:/bin", "HOME": cores, "DEBUGINFOD_URLS": ""})
            data = get(core) if os.path.exists(core) else b""
            found[program] = ({name for name, value in values.items() if value in data}, len(data))
        return found

    v.unlock()
    os.pread(fd, 100, 0)
    open_now = dumped(wanted())
    a.works(any(hits & {"content", "name"} for hits, _ in open_now.values()), f"unlocked: {sum(size for _, size in open_now.values()) >> 20} MiB of cores, found {sorted(set().union(*(hits for hits, _ in open_now.values())))[:4]}")
    v.lock()
    cores_now = dumped(wanted())
    hits = sorted(set().union(*(hits for hits, _ in cores_now.values())))
    a.came_out(hits, f"locked: {hits or 'none'}")
    pid = v.pids()["holdfast-enclave"]
    own = sleeper(cwd=cores, preexec_fn=lambda: __import__("resource").setrlimit(4, (-1, -1)))
    os.kill(own.pid, signal.SIGSEGV)
    own.wait()
    piped = open("/proc/sys/kernel/core_pattern").read().startswith("|")
    a.works(piped or any("core" in n for n in os.listdir(cores) if not n.startswith("holdfast")), "another program that dies of SIGSEGV leaves a core file")
    home = os.readlink(f"/proc/{pid}/cwd")
    seen = set(os.listdir(home)) | set(os.listdir(cores))
    os.kill(pid, signal.SIGSEGV)
    within(5, lambda: not v.running())
    new = (set(os.listdir(home)) | set(os.listdir(cores))) - seen
    a.came_out([n for n in new if "core" in n], f"the enclave dies of SIGSEGV: new core files {sorted(n for n in new if 'core' in n) or 'none'}")
    v.close("--force") if v.mounted() else None
mapped.close()
os.close(fd)
if not v.running():
    v.open()

with attack("goes on reading class after-unlock, whose keys stay until the inactivity limit", admitted=True) as a:
    os.makedirs(v.path("plain"), exist_ok=True)
    put(v.path("plain", "later"), BODY)
    v.lock()
    a.came_out(not error_of(get, v.path("plain", "later")), "a file of class after-unlock: read")
v.clean()
close()
