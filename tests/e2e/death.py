#!/usr/bin/env python3
# runs alone: dead within a second
"""Death is lock: each program killed while files are open, mapped and dirty [CH-7]; and what a program of the same user can do. death.py BUILD"""
import array, os, random, shutil, signal, socket, struct, subprocess, sys, time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from vaultlib import *

BUILD = sys.argv[1]
BLOCK = b"fedcba9876543210" * 256
USER = 65534


def killed(program, signal_number=signal.SIGKILL, locked=False):
    what = f"{program}{' while locked' if locked else ''}"
    v = Vault(BUILD)
    v.open()
    c = v.protected("secret")
    files = {}
    for where in (c, v.path()):
        path = os.path.join(where, "file")
        fd = files[path] = os.open(path, os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, BLOCK * 16, 0)
        os.fsync(fd)
        os.fsync(os.open(where, os.O_RDONLY))
    fds = list(files.values())
    shared = [map_file(fd) for fd in fds]
    private = [map_file(fd, private=True) for fd in fds]
    for m in (*shared, *private):
        check(m[PAGE] == BLOCK[0], "the mappings can be read before")
    check(all(resident(m) > 0 for m in shared), "pages are cached before")
    for fd in fds:
        os.pwrite(fd, b"not fsynced", 9 * PAGE)
    if locked:
        v.lock()
    shared[1][8 * PAGE:8 * PAGE + 5] = b"dirty" # class after-unlock: works while locked
    pid = v.pids()[program]
    began = time.monotonic()
    os.kill(pid, signal_number)
    probes = {}
    for i, fd in enumerate(fds):
        probes |= {
            f"read {i}": lambda fd=fd: os.pread(fd, 10, 0), f"full-page write {i}": lambda fd=fd: os.pwrite(fd, BLOCK, 2 * PAGE),
            f"short write {i}": lambda fd=fd: os.pwrite(fd, b"x", 10 * PAGE), f"fstat {i}": lambda fd=fd: os.fstat(fd), f"fsync {i}": lambda fd=fd: os.fsync(fd),
        }
    waiting = dict(probes)
    while waiting and time.monotonic() < began + 3:
        waiting = {name: fn for name, fn in waiting.items() if not error_of(fn)}
    took = time.monotonic() - began
    check(not waiting and took < 1, f"{what} dead: {sorted(waiting)} still succeed after {took:.2f} s")
    check(within(max(0.1, began + 1 - time.monotonic()), lambda: all(fault_signal(m, PAGE) == signal.SIGBUS for m in (*shared, *private))), f"{what} dead: mappings fault within a second")
    check(within(max(0.1, began + 1 - time.monotonic()), lambda: all(resident(m) == 0 for m in shared)), f"{what} dead: no page is cached within a second")
    check(within(max(0.1, began + 1 - time.monotonic()), lambda: not v.mounted()), f"{what} dead: the mount is gone within a second")
    took = time.monotonic() - began
    check(within(2, lambda: not v.running()), f"{what} dead: other programs are left: {v.running()}")
    for name, fn in probes.items():
        check(error_of(fn), f"{what} dead: {name} succeeds later")
    for m in (*shared, *private):
        m.close()
    for fd in fds:
        os.close(fd)
    check(v.status()["state"] == "closed", f"{what} dead: status says closed")
    v.open()
    for path in files:
        data = open(path, "rb").read()
        same = [n for n in range(16) if data[n * PAGE:(n + 1) * PAGE] != BLOCK and n not in (8, 9, 10)]
        check(len(data) == 16 * PAGE and not same, f"{what} dead: {os.path.basename(os.path.dirname(path))}/file: fsynced pages that differ: {same}")
    v.must("check", v.vault)
    v.close()
    # the filesystem's watcher, which takes a mount away that nobody else does, ends by itself
    check(within(2, lambda: not v.running()) and not v.mounted(), f"after close something is left: {v.running()}")
    v.clean()
    return took


def deaths():
    for program in ("holdfast-fs", "holdfast-enclave", "holdfast-element", "holdfast-super"):
        slowest = max(killed(program, locked=locked) for locked in (False, True))
        print(f"{program} killed: unreadable and unmounted after {slowest:.2f} s")
    killed("holdfast-super", signal.SIGTERM)


def killed_at_work(rounds=8):
    """Random kills under load: what was fsynced is there, check is clean, no try is lost."""
    v = Vault(BUILD)
    rng = random.Random(7)
    fsynced = {}
    for n in range(rounds):
        v.open()
        where = v.path(f"round-{n}")
        os.mkdir(where)
        program = ("holdfast-fs", "holdfast-enclave", "holdfast-super", "holdfast-element")[n % 4]
        pid = v.pids()[program]
        end = time.monotonic() + rng.uniform(0.05, 0.4)
        alive = True
        for i in range(10000):
            if alive and time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
                alive = False
            try:
                path, data = f"{where}/{i}", rng.randbytes(rng.choice((10, 4000, 70000)))
                fd = os.open(path, os.O_RDWR | os.O_CREAT)
                try:
                    os.write(fd, data)
                    os.fsync(fd)
                finally:
                    os.close(fd)
                d = os.open(where, os.O_RDONLY)
                try:
                    os.fsync(d)
                finally:
                    os.close(d)
                fsynced[path] = data
            except OSError:
                break
        check(within(3, lambda: not v.running() and not v.mounted()), f"round {n}: {program} killed: left: {v.running()}")
    v.open()
    wrong = [os.path.relpath(p, v.mnt) for p, data in fsynced.items() if not os.path.exists(p) or open(p, "rb").read() != data]
    check(not wrong, f"fsynced files that are not there after kills: {wrong[:5]}")
    v.must("check", v.vault)
    check(v.status()["failed_since_unlock"] == 0, "no try was counted by a kill")
    v.close()
    print(f"{rounds} kills at work, {len(fsynced)} files fsynced, {len(wrong)} lost")
    v.clean()


def first_open_cut(rounds=8):
    """The very first mount killed before, while and after it makes the root's record: the vault opens all the same."""
    for n in range(rounds):
        v = Vault(BUILD)
        p = v.start("open", v.vault, v.mnt, "--passcode-fd", "0", given=PASS)
        within(5, lambda: "holdfast-fs" in v.running().values())
        time.sleep(n * 0.002)
        for pid, program in v.running().items():
            if program != "holdfast":
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        p.communicate()
        subprocess.run(["umount", "-l", v.mnt], capture_output=True)
        within(3, lambda: not v.running())
        v.open()
        with open(v.path("file"), "w") as f:
            f.write("kept")
        v.must("check", v.vault)
        v.close()
        v.clean()


def intruder():
    """A program of the same user, in the bare way to run."""
    if os.geteuid() != 0:
        skip("an intruder's view needs root to set up")
        return
    log_dir = tempfile.mkdtemp(prefix="hf-e2e-log-")
    os.chown(log_dir, USER, USER)
    log = os.path.join(log_dir, "secrets")
    v = Vault(BUILD, user=USER, env={"HF_TEST_SECRET_LOG": log, "LD_PRELOAD": "/nonexistent/intruder.so", "GLIBC_TUNABLES": "glibc.malloc.check=0"})
    v.open()
    for pid, program in v.running().items():
        if program in ("holdfast-enclave", "holdfast-element", "holdfast-fs"):
            check(b"LD_PRELOAD" not in open(f"/proc/{pid}/environ", "rb").read(), f"{program}: nothing is preloaded into it")
            check("intruder" not in open(f"/proc/{pid}/maps").read(), f"{program}: nothing of the intruder is mapped")
    run = os.path.join(v.work, "run", "holdfast")
    names = [n for n in os.listdir(run) if n.endswith(".sock")]
    check(len(names) == 1 and os.stat(run).st_mode & 0o777 == 0o700 and os.stat(os.path.join(run, names[0])).st_mode & 0o777 == 0o600, "the socket and its directory are the owner's alone")
    path = os.path.join(run, names[0])
    secrets = [bytes.fromhex(line.split()[-1]) for line in open(log)]
    check(len(secrets) > 4, "the secrets are known to this test")

    def talk(uid, messages):
        """A child of that uid sends each message on a connection of its own; the replies, or None when it may not connect."""
        r, w = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            out = b""
            for message, fds in messages:
                s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                s.settimeout(10)
                try:
                    s.connect(path)
                except OSError:
                    os.write(w, b"refused")
                    os._exit(0)
                opened = [os.open("/dev/null", os.O_RDWR) for _ in range(fds)]
                try:
                    s.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", opened))] if fds else [])
                    reply = s.recv(65536)
                except OSError:
                    reply = b"timeout"
                out += struct.pack("<I", len(reply)) + reply
                s.close()
                for fd in opened:
                    os.close(fd)
            os.write(w, out)
            os._exit(0)
        os.close(w)
        data = b""
        while part := os.read(r, 65536):
            data += part
        os.close(r)
        os.waitpid(pid, 0)
        if data == b"refused":
            return None
        replies = []
        while data:
            (n,) = struct.unpack_from("<I", data)
            replies.append(data[4:4 + n])
            data = data[4 + n:]
        return replies

    check(talk(USER - 1, [(struct.pack("<H", 0x0106), 0)]) is None, "another user cannot connect")
    ask_status = [(struct.pack("<HH", 0x0106, len(v.vault)) + v.vault.encode(), 0)]
    way = (v.work, os.path.dirname(run), run, path)
    modes = [os.stat(part).st_mode & 0o777 for part in way]
    for part in way: # whoever opens the way for all is still the only one who is served
        os.chmod(part, 0o666 if part == path else 0o755)
    replies = talk(USER - 1, ask_status)
    check(replies is not None and all(r in (b"", b"timeout") for r in replies), f"another user who can connect is not served: {replies}")
    check(len(talk(0, ask_status)[0]) > 4, "root is, as everywhere")
    for part, mode in zip(way, modes):
        os.chmod(part, mode)
    # [CH-4] verbs of the table alone; the numbers of other channels (control 02xx, keys 03xx, element 04xx, mount 05xx) mean nothing here
    foreign = [struct.pack("<H", base + n) for base in (0x0200, 0x0300, 0x0400, 0x0500) for n in range(16)] + [struct.pack("<H", 0x01FF), struct.pack("<H", 0)]
    replies = talk(USER, [(m, 0) for m in foreign])
    refused = [r for r in replies if len(r) >= 4 and struct.unpack_from("<HH", r) == (1, 16)]
    check(len(refused) == len(foreign), f"numbers of other channels refused: {len(refused)} of {len(foreign)}")
    status = talk(USER, [(struct.pack("<HH", 0x0106, len(v.vault)) + v.vault.encode(), 0)])[0]
    check(status[:4] == struct.pack("<HH", 1, 0), "the owner's verb is answered")
    rng = random.Random(1)
    noise = []
    for i in range(300):
        verb = rng.choice((0x0102, 0x0103, 0x0106, 0x0107, 0x0108, 0x0109, 0x010A, rng.randrange(65536)))
        if verb in (0x0104, 0x0105, 0x010B, 0x010D):
            continue # lock, close, erase are verbs that anyone of this user may say; wait has no answer
        noise.append((struct.pack("<H", verb) + rng.randbytes(rng.randrange(0, 200)), rng.randrange(0, 3)))
    replies = talk(USER, noise)
    check(len(replies) == len(noise) and b"timeout" not in replies, "noise is answered or the connection closed")
    check(not any(secret in reply for reply in (*replies, status) for secret in secrets), "no secret comes out of the owner's socket")
    check(v.status()["state"] == "unlocked" and v.status()["failed_since_unlock"] == 0, "noise changes nothing and spends no try")
    # a second supervisor, by the command and by hand
    check(v.run("open", v.vault, v.mnt, "--passcode-fd", "0", given=PASS).returncode == 1, "open refuses a second time")
    os.rename(path, path + ".hidden")
    p = v.run("open", v.vault, v.mnt, "--passcode-fd", "0", given=PASS)
    check(p.returncode == 1 and "holds this vault" in p.stderr, f"with the socket hidden a second supervisor is refused: {p.returncode} {p.stderr.strip()}")
    os.rename(path + ".hidden", path)
    check(v.status()["state"] == "unlocked", "the first goes on")
    for pid, program in v.running().items():
        if program in ("holdfast-enclave", "holdfast-element", "holdfast-fs"):
            as_user = ["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups"]
            p = subprocess.run([*as_user, "strace", "-p", str(pid), "-o", "/dev/null"], capture_output=True, text=True, timeout=10)
            check(p.returncode != 0 and "Operation not permitted" in p.stderr, f"{program}: strace of the same user is refused")
    for program in ("holdfast-enclave", "holdfast-element", "holdfast-fs"):
        p = subprocess.run([*as_user, "strace", "-f", "-o", "/dev/null", os.path.join(v.bin, program)], capture_output=True, text=True, timeout=20)
        check(p.returncode != 0 and "tracer" in p.stderr, f"{program} refuses to start under a tracer: {p.returncode} {p.stderr.strip()[:80]}")
    v.close()
    v.clean()
    shutil.rmtree(log_dir)


import tempfile
for part in sys.argv[2:] or ("deaths", "killed_at_work", "first_open_cut", "intruder"):
    globals()[part]()
finish()
